"""Fixtures that run the command `paint`."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pixelpersona.cli.command import command
from pixelpersona.cli.schemas import config_folder
from tests.cli.paint import FILES, Config

SHARED = ("hydra/default", "paths/default")  # taken from the project's conf/

Call = Callable[..., list[Config]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The configuration folder of `paint`."""
    shared = {f"{name}.yaml": (config_folder() / f"{name}.yaml").read_text() for name in SHARED}
    for name, text in (FILES | shared).items():
        file = tmp_path / "conf" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip("\n"))
    return tmp_path / "conf"


@pytest.fixture
def call(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Runs `paint` in an empty folder and returns the configurations its body was called with."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def run(*words: str, body: Callable[[Config], bool | None] | None = None) -> list[Config]:
        seen: list[Config] = []

        @command("paint", Config, folder=folder)
        def main(config: Config) -> bool | None:
            seen.append(config)
            return None if body is None else body(config)

        main(list(words))
        return seen

    return run


@pytest.fixture
def failure(call: Call, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs `paint`, which must fail with exit code 2, and returns the one line it writes."""

    def run(*words: str, body: Any = None) -> str:
        with pytest.raises(SystemExit) as caught:
            call(*words, body=body)
        assert caught.value.code == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.endswith("\n")
        assert captured.err.count("\n") == 1, captured.err
        return captured.err.rstrip("\n")

    return run
