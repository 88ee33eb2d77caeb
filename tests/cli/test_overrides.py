"""Quoting: any file name and text reaches the configuration as it was typed."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from pixelpersona.cli.overrides import as_typed, command_line, drop_plus, quote, refuse_unsupported
from pixelpersona.cli.schemas import Key

KEYS = {
    "photo": Key(Path, is_path=True),
    "lora.path": Key(Path, is_path=True),
    "best": Key(Path, is_optional=True, is_path=True),
    "title": Key(str, is_text=True),
    "group": Key(str, is_optional=True, is_text=True),
    "tags": Key(list[str]),
    "others": Key(list[Path]),
    "palette": Key(Any),
    "betas": Key(list[float]),
    "steps": Key(int),
    "decay": Key(float, is_optional=True),
}
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30)
# The special characters of Hydra's and OmegaConf's grammars, in any order.
GRAMMAR = st.text(alphabet="$\\{}'\"x ,=()[]:", min_size=1, max_size=12)


ITEMS = st.text(alphabet="#한글 a1e.=:;(){}/\\!?&-'", min_size=1, max_size=8).map(str.strip).filter(bool)


@pytest.mark.parametrize("key", ["photo", "title"])
@given(name=NAMES | GRAMMAR)
def test_any_text_survives_hydra_and_omegaconf(key: str, name: str) -> None:
    quoted_already = len(name) >= 2 and name[0] in "'\"" and name[-1] in "'\""
    if quoted_already or name.strip().lower() == "null" or name.startswith("~"):
        return
    (word,) = quote([f"{key}={name}"], KEYS)
    (override,) = OverridesParser.create().parse_overrides([word])
    assert not override.is_sweep_override()
    assert OmegaConf.create({key: override.value()})[key] == name
    assert as_typed([word], KEYS) == [f"{key}={name}"]
    # A sweep formats each job's overrides again.
    (again,) = OverridesParser.create().parse_overrides([f"{key}={override.get_value_element_as_str()}"])
    assert again.value() == override.value()


@given(st.lists(ITEMS, min_size=1, max_size=4))
def test_any_list_of_texts_survives_hydra(items: list[str]) -> None:
    if any(item[0] in "'\"" or item.lower() == "null" for item in items):
        return
    typed = f"tags=[{','.join(items)}]"
    (word,) = quote([typed], KEYS)
    (override,) = OverridesParser.create().parse_overrides([word])
    assert override.value() == items
    assert as_typed([word], KEYS) == [typed]


@pytest.mark.parametrize(
    ("typed", "quoted"),
    [
        ("tags=[#3a7bd5,123e45,000000]", "tags=['#3a7bd5','123e45','000000']"),
        ("palette=[#3a7bd5, 123e45]", "palette=['#3a7bd5','123e45']"),
        ("tags=['#3a7bd5',\"a,b\"]", "tags=['#3a7bd5',\"a,b\"]"),
        ("tags=[a],[b,c]", "tags=['a'],['b','c']"),
        ("tags=a", "tags=['a']"),
        ("tags=a,b", "tags=['a'],['b']"),
        ("tags=[]", "tags=[]"),
        ("others=[a b.safetensors,c (1)]", "others=['a b.safetensors','c (1)']"),
        ("others=['a,b.safetensors',c]", "others=['a,b.safetensors','c']"),
        ("tags=choice([a],[b])", "tags=choice([a],[b])"),
        ("palette=pico8", "palette=pico8"),
        ("palette=8,16", "palette=8,16"),
        ("betas=0.3", "betas=[0.3]"),
        ("betas=0.3,0.5", "betas=[0.3],[0.5]"),
        ("betas=[0.3,0.5]", "betas=[0.3,0.5]"),
        ("betas=${weights}", "betas=${weights}"),
        ("title=a, b", "title='a, b'"),
        ("title='a','b'", "title='a','b'"),
        ("title=choice(a,b)", "title=choice(a,b)"),
        ("title=r-${steps}-${oc.env:X}-${other}", r"title='r-${steps}-${oc.env:X}-\${other}'"),
        ("photo=r-${steps}", r"photo='r-\${steps}'"),
        ("title=None", "title='None'"),
        ("group=None", "group=null"),
        ("best=None", "best=null"),
        ("decay=None", "decay=null"),
        ("decay=None,0.99", "decay=null,0.99"),
        ("steps=None", "steps=None"),
    ],
)
def test_values_are_quoted_as_their_key_needs_it(typed: str, quoted: str) -> None:
    assert quote([typed], KEYS) == [quoted]


def test_home_is_expanded_in_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    words = ["photo=~/x 1.jpg", "photo='~/x.jpg'", "title=~/x", "photo=./~x"]
    expected = ["photo='/home/me/x 1.jpg'", "photo='~/x.jpg'", "title='~/x'", "photo='./~x'"]
    assert quote(words, KEYS) == expected
    words = ["others=[~/x 1,b,'~/x']", "others=~/x", "tags=[~/x]"]
    expected = ["others=['/home/me/x 1','b','~/x']", "others=['/home/me/x']", "tags=['~/x']"]
    assert quote(words, KEYS) == expected


@pytest.mark.parametrize("word", ["hydra.run.dir=x", "+hydra.sweep.subdir=x"])
def test_folders_of_hydra_are_refused(word: str) -> None:
    with pytest.raises(ValueError, match="accepted only the default"):
        refuse_unsupported(["steps=3", word])
    refuse_unsupported(["hydra.run.dir=.", "hydra.job.chdir=False", "hydra.launcher.n_jobs=2"])


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
    assert quote([word], KEYS) == [word]


def test_plus_is_kept_for_hydra_only() -> None:
    words = ["+lora.rank=3", "++photo=+a", "+experiment=demo", "+hydra.verbose=true", "steps=3"]
    expected = ["lora.rank=3", "photo=+a", "experiment=demo", "+hydra.verbose=true", "steps=3"]
    assert drop_plus(words) == expected


def test_command_line_is_quoted_for_a_shell() -> None:
    words = ["lora.rank=8", "timing=t.json", "photo=a b.jpg", "lora.targets=[to_q]"]
    line = command_line("train", words)
    assert line == "python -m pixelpersona.train lora.rank=8 'photo=a b.jpg' 'lora.targets=[to_q]'"
    assert shlex.split(line)[3:] == [words[0], *words[2:]]
