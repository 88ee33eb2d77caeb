"""The configuration folder, and the keys of a schema."""

from pathlib import Path

import pytest

from pixelpersona.cli import schemas
from pixelpersona.cli.schemas import ConfigSource, Key, config_folder, schema_keys
from pixelpersona.config.pixelate import PixelateConfig
from tests.cli.paint import Config
from tests.composing import COMMANDS, compose_tree, root_schema


def test_keys_of_a_schema() -> None:
    keys = list(schema_keys(Config))
    assert keys[:11] == [
        "name",
        "timing",
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
    assert keys[-3:] == ["photo", "model", "steps"]


def test_path_keys_come_from_types_and_metadata() -> None:
    paths = {name for name, key in schema_keys(Config).items() if key.is_path}
    assert paths == {"photo", "model", "timing", "lora.path", "paths.runs", "paths.cache"}


# Keys of one word, over which a plain comma sweeps. Any other text key has metadata TEXT.
WORDS = {
    "dataset.framing",
    "eval.damage",
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


@pytest.mark.parametrize("command", COMMANDS)
def test_every_text_key_takes_any_text_or_is_a_word(command: str) -> None:
    keys = schema_keys(root_schema(command))
    strings = {name for name, key in keys.items() if key.kind is str}
    texts = {name for name, key in keys.items() if key.is_text}
    paths = {name for name, key in keys.items() if key.is_path}
    assert strings - texts - paths <= WORDS
    assert not texts & WORDS


def test_kinds_of_keys() -> None:
    keys = schema_keys(PixelateConfig)
    assert keys["name"] == Key(str, is_text=True)
    assert keys["photo"] == Key(Path, is_path=True)
    assert keys["out"] == Key(Path, is_path=True, is_text=True)
    assert keys["palette_out"] == keys["timing"] == Key(Path, is_optional=True, is_path=True)
    assert keys["num_workers"] == keys["pixelate.factor"] == Key(int, is_optional=True)
    assert keys["scale"] == Key(int)
    assert {name for name, key in keys.items() if key.is_list} == {"pixelate.locked"}
    lists = {name for name, key in keys.items() if key.may_list_texts}
    assert lists == {"face", "pixelate.locked", "pixelate.palette"}


@pytest.mark.parametrize("option", ConfigSource("train", config_folder()).options("pixelate"))
@pytest.mark.parametrize(
    ("words", "has_factor"), [([], True), (["pixelate.height=9"], False), (["pixelate.width=9"], False)]
)
def test_factor_gives_way_to_height_and_width(option: str, words: list[str], has_factor: bool) -> None:
    tree = compose_tree("train", f"pixelate={option}", *words)
    assert (tree.pixelate.factor is not None) == has_factor
    given = compose_tree("train", "pixelate.factor=5", "pixelate.height=9")
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
    both = ConfigSource("paint", folder, tmp_path / "more")
    assert both.options("lora") == [
        "mine",
        "r4",
        "r8",
        "unfinished",
    ]
    assert ConfigSource("paint", folder).options("lora") == ["r4", "r8", "unfinished"]
