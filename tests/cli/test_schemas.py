"""The configuration folder, and the keys of a schema."""

from pathlib import Path

import pytest

from pixelpersona.cli import schemas
from pixelpersona.cli.schemas import (
    compose_config,
    config_folder,
    group_options,
    path_keys,
    register,
    schema_keys,
)
from pixelpersona.config.evaluate import EvaluateConfig
from pixelpersona.config.train import TrainConfig
from tests.cli.paint import Config


def test_keys_of_a_schema() -> None:
    keys = [key for key, _, _ in schema_keys(Config)]
    assert keys[:9] == [
        "lora",
        "lora.rank",
        "lora.alpha",
        "lora.path",
        "loss",
        "loss.kind",
        "loss.weight",
        "loss.betas",
        "paths",
    ]
    assert keys[-3:] == ["steps", "name", "timing"]


def test_path_keys_come_from_types_and_metadata() -> None:
    assert path_keys(Config) == {"photo", "model", "timing", "lora.path", "paths.runs", "paths.cache"}


def test_config_folder_is_absolute_and_exists() -> None:
    assert config_folder().is_absolute()
    assert (config_folder() / "hydra" / "default.yaml").is_file()


def test_config_folder_of_a_wheel_is_inside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schemas, "PACKAGE", tmp_path / "pixelpersona")
    with pytest.raises(FileNotFoundError, match="install again"):
        config_folder()
    for folder in (tmp_path / "conf", tmp_path / "pixelpersona" / "conf"):
        folder.mkdir(parents=True)
        assert config_folder() == folder


def test_options_of_a_group_in_two_folders(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "more" / "lora").mkdir(parents=True)
    (tmp_path / "more" / "lora" / "mine.yaml").touch()
    assert group_options("lora", folder, tmp_path / "more") == ["mine", "r4", "r8", "unfinished"]
    assert group_options("lora", folder, None) == ["r4", "r8", "unfinished"]


# --- the group `finetune` follows `model` -------------------------------------------------------------

MODEL_CASES: list[tuple[list[str], str | None]] = [
    (["model=tiny"], "tiny"),
    (["model=sd15"], "sd15"),
    (["experiment=celeba_sd15"], "sd15"),
    (["experiment=celeba_sd15", "model=tiny"], "tiny"),
    *(([f"experiment={name}"], None) for name in group_options("experiment", config_folder())),
]


@pytest.mark.parametrize(("words", "model"), MODEL_CASES, ids=lambda case: "-".join(case or []))
def test_finetune_follows_model(words: list[str], model: str | None) -> None:
    register("train", TrainConfig)
    tree = compose_config(config_folder(), "train", words)
    choices = tree.hydra.runtime.choices
    assert choices["finetune"] == choices["model"] == tree.model.name == (model or tree.model.name)


@pytest.mark.parametrize("model", ["tiny", "sd15"])
def test_finetune_follows_model_in_an_evaluation(model: str) -> None:
    register("evaluate", EvaluateConfig)
    tree = compose_config(config_folder(), "evaluate", [f"model={model}"])
    assert tree.hydra.runtime.choices["finetune"] == model


def test_finetune_can_be_chosen_apart_from_model() -> None:
    register("train", TrainConfig)
    tree = compose_config(config_folder(), "train", ["finetune=sd15"])
    assert (tree.model.name, tree.finetune.lr) == ("tiny", 1e-4)
