"""A finished run is recognised by its settings; a command with others is told how to go on."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from pixelpersona.runs.finished import FINISHED, is_finished, mark_finished


@dataclass
class Loop:
    num_steps: int = 450
    num_epochs: int | None = None
    resume: str = "auto"


@dataclass
class Config:
    name: str = "mine"
    seed: int = 0
    loop: Loop = field(default_factory=Loop)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "weights").write_text("w")
    mark_finished(tmp_path, Config(), {"pairs": "1"}, [tmp_path / "weights"])
    return tmp_path


def test_the_same_settings_and_files_are_finished(folder: Path) -> None:
    assert is_finished(folder, Config(name="other", loop=Loop(resume="never")), {"pairs": "1"})
    assert not is_finished(folder, Config(), {"pairs": "2"})
    (folder / "weights").write_text("v")
    assert not is_finished(folder, Config(), {"pairs": "1"})


@pytest.mark.parametrize(
    ("loop", "difference"),
    [
        (Loop(num_steps=900), "loop.num_steps was 450, is 900"),
        (Loop(num_epochs=3), "loop.num_epochs was None, is 3"),
    ],
)
def test_more_steps_on_a_finished_run_say_how_to_train_longer(
    folder: Path, loop: Loop, difference: str
) -> None:
    with pytest.raises(ValueError, match="holds a finished run") as error:
        is_finished(folder, replace(Config(), loop=loop), {"pairs": "1"})
    assert str(error.value) == (
        f"{folder}: holds a finished run with other settings ({difference}); "
        "a finished run is not trained further: its learning rate was scheduled over its steps; "
        "accepted another name=..., or loop.resume=never to train it anew"
    )


@pytest.mark.parametrize("key", ["settings", "inputs", "sha256"])
@pytest.mark.parametrize("value", [None, [], "a", 1])
def test_a_marker_of_the_wrong_type_is_that_of_an_unfinished_run(
    folder: Path, key: str, value: object
) -> None:
    marker = json.loads((folder / FINISHED).read_text())
    assert is_finished(folder, Config(), {"pairs": "1"})
    (folder / FINISHED).write_text(json.dumps(marker | {key: value}))
    assert not is_finished(folder, Config(), {"pairs": "1"})


def test_other_settings_name_the_difference_alone(folder: Path) -> None:
    with pytest.raises(ValueError, match="holds a finished run") as error:
        is_finished(folder, Config(seed=1), {"pairs": "1"})
    assert str(error.value) == (
        f"{folder}: holds a finished run with other settings (seed was 0, is 1); "
        "accepted another name=..., or loop.resume=never to train it anew"
    )
