"""Callbacks of the training loop: checkpoints, validation, samples, best weights, pace."""

import datetime
import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from pixelpersona.files import write_whole
from pixelpersona.tracking.tracker import Tracker
from pixelpersona.training.checkpoints import TrainState, save_checkpoint
from pixelpersona.training.samples import Samples


class EverySteps:
    """Due every `every_steps` steps and at the last one, never at step 0."""

    def __init__(self, *, every_steps: int, num_steps: int) -> None:
        if every_steps < 1:
            raise ValueError(f"an interval of {every_steps} steps: accepted 1 or more")
        self.every_steps, self.num_steps = every_steps, num_steps

    def due(self, step: int) -> bool:
        return step % self.every_steps == 0 or step == self.num_steps


class CheckpointCallback(EverySteps):
    """Saves the state; runs after the other callbacks of its step, so that it contains what they logged."""

    def __init__(self, folder: Path, *, every_steps: int, num_steps: int, num_kept: int = 2) -> None:
        super().__init__(every_steps=every_steps, num_steps=num_steps)
        self.folder, self.num_kept = folder, num_kept

    def run(self, state: TrainState) -> None:
        save_checkpoint(state, self.folder, num_kept=self.num_kept)


class ValidationCallback(EverySteps):
    """Logs val/loss: always the same val photos and the same noise, so that curves are comparable."""

    def __init__(
        self, loss: Callable[[], float], tracker: Tracker, *, every_steps: int, num_steps: int
    ) -> None:
        super().__init__(every_steps=every_steps, num_steps=num_steps)
        self.loss, self.tracker = loss, tracker

    def run(self, state: TrainState) -> Callable[[], None]:
        with torch.no_grad():
            value = self.loss()

        def log() -> None:
            state.scores["val/loss"] = value
            self.tracker.scalars({"val/loss": value}, state.step)

        return log


class SampleCallback(EverySteps):
    """Logs samples as a sheet and as a table, and their metrics."""

    def __init__(self, samples: Samples, tracker: Tracker, *, every_steps: int, num_steps: int) -> None:
        super().__init__(every_steps=every_steps, num_steps=num_steps)
        self.samples, self.tracker = samples, tracker

    def run(self, state: TrainState) -> Callable[[], None]:
        portraits = self.samples.make()
        sheet, table = self.samples.sheet(portraits), self.samples.table(portraits)
        rows = list(zip(*table.values(), strict=True))
        values = {f"eval/{name}": value for name, value in self.samples.score(portraits).items()}

        def log() -> None:
            self.tracker.images("samples/portraits", [sheet], state.step)
            self.tracker.table("samples/table", list(table), rows, state.step)
            if values:
                state.scores.update(values)
                self.tracker.scalars(values, state.step)

        return log


def log_baseline(tracker: Tracker, validate: Callable[[], float], samples: Samples | None) -> None:
    """Log the untouched base at step 0: its validation loss and the metrics of its samples.

    validate: the validation loss of the base. The base's samples are drawn for the sample tables in any case.
    """
    with torch.no_grad():
        values = {"val/loss": validate()}
    if samples is not None:
        values |= {f"eval/{name}": value for name, value in samples.score(samples.drawn_by_base()).items()}
    tracker.scalars(values, 0)


class BestCallback:
    """Keeps the weights of the steps with the best metric in folder/step-NNNNNN; runs after validation.

    save: writes the current weights into a folder. metric: a key of `TrainState.scores`; steps that did not
    measure it, or measured NaN, are skipped. folder/best.json lists the kept steps, best first.
    """

    def __init__(
        self,
        folder: Path,
        save: Callable[[Path], object],
        *,
        metric: str = "val/loss",
        higher_is_better: bool = False,
        num_kept: int = 1,
    ) -> None:
        self.folder, self.save, self.metric = folder, save, metric
        self.higher_is_better, self.num_kept = higher_is_better, num_kept

    def due(self, step: int) -> bool:
        return True

    def run(self, state: TrainState) -> None:
        value = state.scores.get(self.metric, float("nan"))
        if math.isnan(value):
            return
        # In a run resumed from an earlier step, some weights may have been replaced or set aside.
        others = [(v, step) for v, step in state.best if step != state.step and self._place(step).is_dir()]
        sign = -1.0 if self.higher_is_better else 1.0
        ranked = sorted([*others, (value, state.step)], key=lambda kept: (sign * kept[0], kept[1]))
        ranked = ranked[: self.num_kept]
        if (value, state.step) in ranked:
            self._keep(state.step)
        self._write(ranked)
        state.best = ranked

    def _place(self, step: int) -> Path:
        return self.folder / f"step-{step:06d}"

    def _keep(self, step: int) -> None:
        target = self._place(step)
        draft = self.folder / f"{target.name}.tmp"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        self.save(draft)
        shutil.rmtree(target, ignore_errors=True)
        draft.rename(target)

    def _write(self, ranked: Sequence[tuple[float, int]]) -> None:
        kept = [{"step": step, "value": value, "folder": f"step-{step:06d}"} for value, step in ranked]
        text = json.dumps(
            {"metric": self.metric, "higher_is_better": self.higher_is_better, "kept": kept}, indent=2
        )
        write_whole(self.folder / "best.json", text + "\n")
        names = {str(entry["folder"]) for entry in kept}
        for old in self.folder.glob("step-*"):
            if old.name not in names:
                shutil.rmtree(old)


class PaceCallback:
    """Prints once, after the first steps, how long the rest will take; the first step is a warm-up.

    start: the step the run begins at.
    """

    _NUM_MEASURED = 4

    def __init__(self, *, num_steps: int, start: int = 0) -> None:
        self.num_steps, self.start = num_steps, start
        self._began = 0.0

    def due(self, step: int) -> bool:
        return step in (self.start + 1, self.start + 1 + self._NUM_MEASURED)

    def run(self, state: TrainState) -> None:
        if state.step == self.start + 1:
            self._began = time.perf_counter()
            return
        if self._began == 0.0:  # the run was resumed between the two
            return
        seconds = (time.perf_counter() - self._began) / self._NUM_MEASURED
        rest = datetime.timedelta(seconds=round(seconds * (self.num_steps - state.step)))
        tqdm.write(f"{seconds:.2f} s per step: {rest} left, plus validation and samples")
