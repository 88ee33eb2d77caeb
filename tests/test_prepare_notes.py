"""What `prepare` and `train` say about a data set before they make pairs."""

import json
from pathlib import Path

import pytest

from pixelpersona.recipes import preparation
from tests.composing import compose_typed


@pytest.fixture(autouse=True)
def _no_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "prepare_pairs", lambda *_, **__: None)


def notes(capsys: pytest.CaptureFixture[str], command: str, *words: str, report: bool = True) -> list[str]:
    preparation.make_pairs(compose_typed(command, *words), report=report)
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def write(folder: Path, *captions: str | None) -> Path:
    folder.mkdir()
    rows = []
    for number, caption in enumerate(captions):
        (folder / f"{number}.png").write_bytes(bytes([number]))
        rows.append(json.dumps({"file_name": f"{number}.png", "text": caption}))
    (folder / "metadata.jsonl").write_text("\n".join(rows))
    return folder


@pytest.mark.parametrize("command", ["prepare", "train"])
def test_captions_of_own_photos_are_said_to_be_unused(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "mine", "a woman", None, "a man")
    words = ("dataset=folder", f"dataset.path={folder}", "model.prompt=my style")
    line = "mine: the captions of 2 photos are not used; all pairs are trained with model.prompt='my style'"
    assert notes(capsys, command, *words) == [line]
    (folder / "scan.pdf").touch()
    assert notes(capsys, command, *words) == [f"{folder}: left out: 1 .pdf", line]


def test_nothing_is_said_without_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("dataset=folder", f"dataset.path={write(tmp_path / 'mine', None)}")
    assert notes(capsys, "prepare", *words) == []
    assert notes(capsys, "prepare") == []  # the packaged portraits, whose captions nobody wrote by hand
    captioned = f"dataset.path={write(tmp_path / 'captioned', 'a man')}"
    assert notes(capsys, "evaluate", "dataset=folder", captioned, report=False) == []
