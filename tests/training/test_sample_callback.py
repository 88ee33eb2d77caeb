"""Samples are recorded completely or not at all: a callback that is interrupted has recorded nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from pixelpersona.files import read_jsonl
from pixelpersona.tracking.jsonl import JsonlTracker
from pixelpersona.training.callbacks import SampleCallback
from pixelpersona.training.checkpoints import TrainState
from pixelpersona.training.samples import Samples


class State:
    step = 4

    def __init__(self) -> None:
        self.scores: dict[str, float] = {}


class Red:
    """Samples with red portraits of blue photos; the first `stops` calls of table() are interrupted."""

    def __init__(self, stops: int) -> None:
        self.stops = stops

    def make(self) -> list[Image.Image]:
        return [Image.new("RGB", (2, 2), "red")] * 2

    def score(self, portraits: Sequence[Image.Image]) -> dict[str, float]:
        return {"grid_contrast": len(portraits) / 4}

    def sheet(self, portraits: Sequence[Image.Image]) -> Image.Image:
        return portraits[0]

    def table(self, portraits: Sequence[Image.Image]) -> dict[str, Sequence[Image.Image]]:
        if self.stops:
            self.stops -= 1
            raise KeyboardInterrupt
        return {"photo": [Image.new("RGB", (2, 2), "blue")] * 2, "this run": portraits}


def files(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("step-*"))


def test_an_interrupted_callback_records_nothing_and_can_run_again(tmp_path: Path) -> None:
    tracker = JsonlTracker(tmp_path)
    callback = SampleCallback(cast(Samples, Red(stops=1)), tracker, every_steps=4, num_steps=8)
    state: Any = State()
    with pytest.raises(KeyboardInterrupt):
        callback.run(cast(TrainState, state))
    assert files(tmp_path) == []
    assert state.scores == {}
    record = callback.run(cast(TrainState, state))
    assert files(tmp_path) == []  # recorded only when the loop calls the returned function
    record()
    tracker.finish()
    cells = [f"media/samples/table/step-000004-{row}-{column}.png" for row in (0, 1) for column in (0, 1)]
    assert files(tmp_path) == [
        "media/samples/portraits/step-000004.png",
        *cells,
        "media/samples/table/step-000004.json",
    ]
    assert Image.open(tmp_path / cells[1]).getpixel((0, 0)) == (255, 0, 0)
    assert read_jsonl(tmp_path / "metrics.jsonl") == [{"step": 4, "eval/grid_contrast": 0.5}]
    assert state.scores == {"eval/grid_contrast": 0.5}
