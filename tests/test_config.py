"""Path keys and their quoting: any text arrives as it was typed."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import MissingConfigException
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from pixelpersona.config import (
    as_typed,
    config_folder,
    drop_plus,
    explain,
    path_keys,
    quote_paths,
    schema_keys,
)

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30)
# Hydra's and OmegaConf's own characters, in the orders nobody thinks of.
GRAMMAR = st.text(alphabet="$\\{}'\"x ,=()[]:", min_size=1, max_size=12)


@dataclass(kw_only=True, slots=True)
class Lora:
    rank: int = 4
    path: Path | None = None


@dataclass(kw_only=True, slots=True)
class Config:
    lora: Lora = field(default_factory=Lora)
    photo: Path = Path("me.jpg")
    model: str = field(default="tiny", metadata={"path": True})
    sizes: list[int] | None = None


def test_keys_of_a_schema() -> None:
    assert [key for key, _, _ in schema_keys(Config)] == [
        "lora",
        "lora.rank",
        "lora.path",
        "photo",
        "model",
        "sizes",
    ]


def test_path_keys_come_from_types_and_metadata() -> None:
    assert path_keys(Config) == {"photo", "model", "lora.path"}


@given(NAMES | GRAMMAR)
def test_any_text_survives_hydra_and_omegaconf(name: str) -> None:
    quoted_already = len(name) >= 2 and name[0] == name[-1] and name[0] in "'\""
    if quoted_already or name.strip().lower() == "null":
        return
    (word,) = quote_paths([f"photo={name}"], frozenset({"photo"}))
    (override,) = OverridesParser.create().parse_overrides([word])
    assert not override.is_sweep_override()
    assert OmegaConf.create({"photo": override.value()}).photo == name
    assert as_typed([word], frozenset({"photo"})) == [f"photo={name}"]
    # A sweep writes each job's overrides out again.
    (again,) = OverridesParser.create().parse_overrides([f"photo={override.get_value_element_as_str()}"])
    assert again.value() == override.value()


@pytest.mark.parametrize(
    "word",
    ["lora.rank=4", "steps='3'", "photo=null", 'photo="a b.jpg"', "photo='null'", "photo=\"'a'\"", "-m"],
)
def test_what_cannot_be_typed_plainly_keeps_its_quotes(word: str) -> None:
    assert as_typed([word], path_keys(Config)) == [word]


@pytest.mark.parametrize(
    "word", ["lora.rank=4,8", "photo='a b.jpg'", 'photo="a b.jpg"', "photo=null", "photo", "-m", "lora=r8"]
)
def test_other_words_are_left_alone(word: str) -> None:
    assert quote_paths([word], path_keys(Config)) == [word]


def test_plus_is_kept_for_groups_and_hydra_only() -> None:
    words = ["+lora.rank=3", "++photo=+a", "+experiment=demo", "+hydra.verbose=true", "steps=3"]
    expected = ["lora.rank=3", "photo=+a", "+experiment=demo", "+hydra.verbose=true", "steps=3"]
    assert drop_plus(words, frozenset({"experiment"})) == expected


def test_the_configuration_folder_is_absolute_and_real() -> None:
    assert config_folder().is_absolute()
    assert (config_folder() / "hydra" / "default.yaml").is_file()


@pytest.mark.parametrize(("launcher", "extra"), [("joblib", "joblib"), ("submitit_slurm", "submitit")])
def test_a_launcher_that_is_not_installed_names_its_package(launcher: str, extra: str) -> None:
    error = MissingConfigException("", f"hydra/launcher/{launcher}", ["basic"])
    line = explain(error, Config, config_folder())
    assert line == f"hydra/launcher={launcher}: needs a package: pip install 'pixelpersona[{extra}]'"
