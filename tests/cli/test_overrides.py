"""Quoting of path keys: any file name reaches the configuration as it was typed."""

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from pixelpersona.cli.overrides import as_typed, command_line, drop_plus, quote_paths

KEYS = frozenset({"photo", "lora.path"})
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30)
# The special characters of Hydra's and OmegaConf's grammars, in any order.
GRAMMAR = st.text(alphabet="$\\{}'\"x ,=()[]:", min_size=1, max_size=12)


@given(NAMES | GRAMMAR)
def test_any_text_survives_hydra_and_omegaconf(name: str) -> None:
    quoted_already = len(name) >= 2 and name[0] == name[-1] and name[0] in "'\""
    if quoted_already or name.strip().lower() == "null":
        return
    (word,) = quote_paths([f"photo={name}"], KEYS)
    (override,) = OverridesParser.create().parse_overrides([word])
    assert not override.is_sweep_override()
    assert OmegaConf.create({"photo": override.value()}).photo == name
    assert as_typed([word], KEYS) == [f"photo={name}"]
    # A sweep formats each job's overrides again.
    (again,) = OverridesParser.create().parse_overrides([f"photo={override.get_value_element_as_str()}"])
    assert again.value() == override.value()


@pytest.mark.parametrize(
    "word",
    ["lora.rank=4", "steps='3'", "photo=null", 'photo="a b.jpg"', "photo='null'", "photo=\"'a'\"", "-m"],
)
def test_words_that_need_their_quotes_keep_them(word: str) -> None:
    assert as_typed([word], KEYS) == [word]


@pytest.mark.parametrize(
    "word", ["lora.rank=4,8", "photo='a b.jpg'", 'photo="a b.jpg"', "photo=null", "photo", "-m", "lora=r8"]
)
def test_other_words_are_not_changed(word: str) -> None:
    assert quote_paths([word], KEYS) == [word]


def test_plus_is_kept_for_groups_and_hydra_only() -> None:
    words = ["+lora.rank=3", "++photo=+a", "+experiment=demo", "+hydra.verbose=true", "steps=3"]
    expected = ["lora.rank=3", "photo=+a", "+experiment=demo", "+hydra.verbose=true", "steps=3"]
    assert drop_plus(words, frozenset({"experiment"})) == expected


def test_command_line_is_quoted_for_a_shell() -> None:
    words = ["lora.rank=8", "timing=t.json", "photo=a b.jpg", "lora.targets=[to_q]"]
    line = command_line("train", words)
    assert line == "python -m pixelpersona.train lora.rank=8 'photo=a b.jpg' 'lora.targets=[to_q]'"
    assert shlex.split(line)[3:] == [words[0], *words[2:]]
