"""Texts, lists, nulls and ranges as a user types them, on a command line of a small command, `note`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pixelpersona import stylize
from pixelpersona.cli.command import command
from pixelpersona.cli.overrides import overrides
from pixelpersona.config.command import CommandConfig
from pixelpersona.config.field_kinds import NOT_NEGATIVE, SEED, TEXT
from pixelpersona.config.stylize import StylizeConfig
from pixelpersona.recipes import stylization
from tests.cli.paint import Paths

CONF = """
defaults:
  - note_schema
  - _self_
  - hydra: default
paths: {runs: runs, cache: .cache}
name: note
title: a title
group: a group
photo: null
tags: []
palette: 16
weights: []
seed: 0
decay: 0.9
timing: null
"""


@dataclass(kw_only=True, slots=True)
class NoteConfig(CommandConfig):
    """Keys of every kind."""

    paths: Paths
    title: str = field(metadata=TEXT)
    group: str | None = field(metadata=TEXT)
    photo: Path | None
    tags: list[str]
    palette: Any
    weights: list[float]
    seed: int = field(metadata=SEED)
    decay: float | None = field(metadata=NOT_NEGATIVE)


Note = Callable[..., list[NoteConfig]]


@pytest.fixture
def note(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Note:
    """Runs `note` in an empty folder; returns the configurations its body was called with."""
    (folder / "note.yaml").write_text(CONF)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*words: str, body: Callable[[NoteConfig], None] | None = None) -> list[NoteConfig]:
        seen: list[NoteConfig] = []

        def main(config: NoteConfig) -> None:
            seen.append(config)
            if body is not None:
                body(config)

        command("note", NoteConfig, folder=folder)(main)(list(words))
        return seen

    return run


TEXTS = [
    "한글 초상화, 픽셀 아트",
    "it's [a] {b} (c) #1",
    'say "hi", a=b: ${x} $y \\',
    "007",
    "true",
    "1e3",
    "#",
    "'tis 'odd' here",
    "choice(a) of 1",
    " two  spaces ",
    "~me",
    "",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_key_takes_any_text(note: Note, text: str) -> None:
    recorded: list[list[str]] = []
    words = [f"title={text}", f"group={text}"]
    (config,) = note(*words, body=lambda _: recorded.append(overrides("note", NoteConfig)))
    assert (config.title, config.group) == (text, text)
    if text:
        assert recorded == [words]


def test_a_comma_in_a_text_is_no_sweep(note: Note) -> None:
    jobs = note("-m", "title=a, b", "seed=0,1")
    assert [(job.title, job.seed) for job in jobs] == [("a, b", 0), ("a, b", 1)]


@pytest.mark.parametrize("word", ["title='a, b','c'", "title=choice('a, b',c)"])
def test_a_sweep_over_texts_is_quoted_or_a_choice(note: Note, word: str) -> None:
    assert [job.title for job in note("-m", word)] == ["a, b", "c"]


def test_other_keys_are_filled_in(note: Note, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "a1b2")
    words = ["title=r${seed}, ${oc.env:WANDB_RUN_ID}, ${neither}", "seed=3", "photo=${seed}.jpg"]
    recorded: list[list[str]] = []
    (config,) = note(*words, body=lambda _: recorded.append(overrides("note", NoteConfig)))
    assert recorded == [words]
    assert (config.title, config.photo) == ("r3, a1b2, ${neither}", Path("${seed}.jpg"))


def test_none_is_null_where_null_is_accepted(note: Note) -> None:
    (config,) = note("group=None", "photo=None", "decay=None", "title=None")
    assert (config.group, config.photo, config.decay, config.title) == (None, None, None, "None")


def test_colours_and_other_lists_of_texts_are_read_as_text(note: Note) -> None:
    (config,) = note("tags=[#3a7bd5,123e45,000000]", "palette=[#3a7bd5,ff0000]")
    assert (config.tags, config.palette) == (["#3a7bd5", "123e45", "000000"], ["#3a7bd5", "ff0000"])
    assert [job.palette for job in note("-m", "palette=8,pico8")] == [8, "pico8"]


def test_a_single_value_is_a_list_of_one(note: Note) -> None:
    (config,) = note("tags=a", "weights=0.3")
    assert (config.tags, config.weights) == (["a"], [0.3])
    assert [job.weights for job in note("-m", "weights=0.3,0.5")] == [[0.3], [0.5]]
    assert [job.tags for job in note("-m", "tags=[a,b],[c]")] == [["a", "b"], ["c"]]


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("seed=99999999999999999999", "seed=99999999999999999999: accepted 0 to 4294967295"),
        ("seed=-1", "seed=-1: accepted 0 to 4294967295"),
        ("decay=-1", "decay=-1.0: accepted 0 or more"),
        ("decay=nan", "decay=nan: accepted 0 or more"),
        ("decay=inf", "decay=inf: accepted 0 or more"),
    ],
)
def test_a_value_out_of_its_range_is_refused(
    note: Note, capsys: pytest.CaptureFixture[str], word: str, line: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        note(word)
    assert stop.value.code == 2
    assert capsys.readouterr().err == line + "\n"


# --- sweeps of a command that writes one file -----------------------------------------------------------


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[StylizeConfig]:
    """The configurations with which `stylize` is called, which draws nothing here."""
    seen: list[StylizeConfig] = []
    monkeypatch.setattr(stylization, "stylize", seen.append)
    monkeypatch.chdir(tmp_path)
    return seen


def test_the_jobs_of_a_sweep_write_files_of_their_own(drawn: list[StylizeConfig]) -> None:
    stylize.main(["-m", "photo=a.jpg", "out=a-${seed}.png", "seed=0,1"])
    assert [(config.seed, config.out) for config in drawn] == [(0, Path("a-0.png")), (1, Path("a-1.png"))]


@pytest.mark.parametrize(
    ("swept", "way"),
    [
        ("seed=0,1", "fill in what differs: 'out=a-${seed}.png'"),
        ("postprocess=default,plain", "give each an out of its own"),
    ],
)
def test_a_sweep_that_would_overwrite_its_own_file_is_refused(
    drawn: list[StylizeConfig], capsys: pytest.CaptureFixture[str], swept: str, way: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        stylize.main(["-m", "photo=a.jpg", "out=a.png", swept])
    assert stop.value.code == 2
    line = capsys.readouterr().err
    assert line.startswith("out=a.png: two jobs of the sweep would write it (")
    assert line.endswith(f"; {way}\n")
    assert line.count("\n") == 1
    assert drawn == []
