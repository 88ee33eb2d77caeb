"""The configuration folder, and the keys of a schema."""

from pathlib import Path

import pytest

from pixelpersona.cli import schemas
from pixelpersona.cli.schemas import (
    compose_config,
    config_folder,
    default_groups,
    group_options,
    path_keys,
    register,
    schema_keys,
    typed_keys,
)
from pixelpersona.config.dashboard import DashboardConfig
from pixelpersona.config.evaluate import EvaluateConfig
from pixelpersona.config.export import ExportConfig
from pixelpersona.config.pixelate import PixelateConfig
from pixelpersona.config.prepare import PrepareConfig
from pixelpersona.config.pretrain import PretrainConfig
from pixelpersona.config.report import ReportConfig
from pixelpersona.config.stylize import StylizeConfig
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


# Keys of one word, over which a plain comma sweeps. Any other text key has metadata {"text": True}.
WORDS = {
    "dataset.framing",
    "framing",
    "loop.best_metric",
    "loss.kind",
    "lr_schedule.kind",
    "model.framing",
    "model.name",
    "pixelate.dither",
    "pixelate.downsample",
    "pixelate.fit",
    "sampler.kind",
}
SCHEMAS = [
    DashboardConfig, EvaluateConfig, ExportConfig, PixelateConfig, PrepareConfig, PretrainConfig,
    ReportConfig, StylizeConfig, TrainConfig,
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_text_key_takes_any_text_or_is_a_word(schema: type) -> None:
    keys = typed_keys(schema)
    strings = {key for key, kind, _ in schema_keys(schema) if kind is str}
    assert strings - keys.texts - keys.paths <= WORDS
    assert not keys.texts & WORDS


def test_keys_are_sorted_by_what_their_values_are() -> None:
    keys = typed_keys(PixelateConfig)
    assert {"name", "out"} <= keys.texts
    assert {"photo", "out", "palette_out"} <= keys.paths
    assert {"timing", "palette_out", "num_workers", "pixelate.factor"} <= keys.optional
    assert "scale" not in keys.optional
    assert keys.lists == {"pixelate.locked"}
    assert keys.text_lists == {"pixelate.locked", "pixelate.palette"}


def test_default_groups_are_those_of_the_defaults_list(folder: Path, tmp_path: Path) -> None:
    assert default_groups("paint", None, folder) == {"hydra", "paths", "lora", "experiment"}
    assert default_groups("nowhere", tmp_path, folder) == frozenset()


@pytest.mark.parametrize("option", group_options("pixelate", config_folder()))
@pytest.mark.parametrize(("words", "has_factor"), [([], True), (["pixelate.height=9"], False)])
def test_factor_gives_way_to_height_and_width(option: str, words: list[str], has_factor: bool) -> None:
    register("train", TrainConfig)
    tree = compose_config(config_folder(), "train", [f"pixelate={option}", *words])
    assert (tree.pixelate.factor is not None) == has_factor
    given = compose_config(config_folder(), "train", ["pixelate.factor=5", "pixelate.height=9"])
    assert given.pixelate.factor == 5


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
