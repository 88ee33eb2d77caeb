"""What happens between steps: checkpoints, validation, samples, distribution metrics."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image

from pixelpersona.tracking.tracker import Tracker
from pixelpersona.training.state import TrainState, save_checkpoint


class EverySteps:
    """Due every so many steps and at the last one; at step 0 never."""

    def __init__(self, *, every_steps: int, num_steps: int) -> None:
        if every_steps < 1:
            raise ValueError(f"an interval of {every_steps} steps: accepted 1 or more")
        self.every_steps, self.num_steps = every_steps, num_steps

    def due(self, step: int) -> bool:
        return step % self.every_steps == 0 or step == self.num_steps


class CheckpointHook(EverySteps):
    """Saves the state; runs after the step's other hooks, so that a checkpoint follows all they logged."""

    def __init__(self, folder: Path, *, every_steps: int, num_steps: int, num_kept: int = 2) -> None:
        super().__init__(every_steps=every_steps, num_steps=num_steps)
        self.folder, self.num_kept = folder, num_kept

    def run(self, state: TrainState) -> None:
        save_checkpoint(state, self.folder, num_kept=self.num_kept)


class ValidationHook(EverySteps):
    """Logs val/loss: the same held-out samples at the same noise every time, so curves can be compared."""

    def __init__(
        self, loss: Callable[[], float], tracker: Tracker, *, every_steps: int, num_steps: int
    ) -> None:
        super().__init__(every_steps=every_steps, num_steps=num_steps)
        self.loss, self.tracker = loss, tracker

    def run(self, state: TrainState) -> None:
        with torch.no_grad():
            value = self.loss()
        state.best = min(state.best, value)
        self.tracker.scalars({"val/loss": value}, state.step)


class SampleHook(EverySteps):
    """Logs a sheet of the same held-out photos at the same seeds, and metrics of those portraits.

    make: the portraits by the model as it stands. score: metric name → value of them.
    """

    def __init__(
        self,
        make: Callable[[], Sequence[Image.Image]],
        score: Callable[[Sequence[Image.Image]], Mapping[str, float]],
        sheet: Callable[[Sequence[Image.Image]], Image.Image],
        tracker: Tracker,
        *,
        every_steps: int,
        num_steps: int,
    ) -> None:
        super().__init__(every_steps=every_steps, num_steps=num_steps)
        self.make, self.score, self.sheet, self.tracker = make, score, sheet, tracker

    def run(self, state: TrainState) -> None:
        portraits = self.make()
        self.tracker.images("samples/portraits", [self.sheet(portraits)], state.step)
        values = {f"eval/{name}": value for name, value in self.score(portraits).items()}
        if values:
            self.tracker.scalars(values, state.step)
