"""The seconds that the loop reports are those of the optimizer steps alone, measured with a fake clock."""

from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from pixelpersona.files import read_jsonl
from pixelpersona.runs.records import append_speed
from pixelpersona.tracking.tracker import NoTracker
from pixelpersona.training.checkpoints import TrainState
from pixelpersona.training.loop import train
from tests.training.killing import Numbers, new_state


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def perf_counter(self) -> float:
        return self.seconds


class Slow:
    """Validation, samples and checkpoints of 100 seconds."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def due(self, step: int) -> bool:
        return True

    def run(self, state: TrainState) -> None:
        self.clock.seconds += 100.0


def test_validation_samples_and_checkpoints_are_not_part_of_the_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, state = Clock(), new_state()
    monkeypatch.setattr("pixelpersona.training.loop.time", clock)
    forward = state.objective.forward

    def two_seconds(batch: Tensor, rng: torch.Generator) -> Tensor:
        clock.seconds += 2.0
        return forward(batch, rng)

    monkeypatch.setattr(state.objective, "forward", two_seconds)
    seconds = train(
        state,
        Numbers(),
        num_steps=5,
        seed=0,
        accelerator=Accelerator(cpu=True),
        tracker=NoTracker(),
        callbacks=[Slow(clock)],
        checkpoints=Slow(clock),
    )
    assert seconds == 10.0
    assert clock.seconds == 5 * (2.0 + 100.0 + 100.0)
    append_speed(tmp_path, seconds=seconds, num_steps=5, batch_size=8, num_processes=1)
    (row,) = read_jsonl(tmp_path / "timings.jsonl")
    assert row["images_per_s"] == 4.0
