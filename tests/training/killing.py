"""A training run in a separate process that reports its progress, so that a test can kill it at any point.

The loop, checkpoints, EMA and metrics.jsonl are the real ones; the network is so small that a run takes a
tenth of a second. The run reports every file that a checkpoint syncs, so that a kill can hit the middle of a
save, and it can send a signal to itself just before or just after it writes a row.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from pixelpersona.tracking.jsonl import JsonlTracker
from pixelpersona.training import checkpoints as checkpoints_module
from pixelpersona.training.callbacks import BestCallback, CheckpointCallback, ValidationCallback
from pixelpersona.training.checkpoints import TrainState, resume_latest
from pixelpersona.training.interrupt import Interrupted
from pixelpersona.training.loop import train
from pixelpersona.training.optimizers import ParameterGroup, adamw, group_parameters, lr_schedule

NUM_STEPS = 30


class Fit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 8))

    def forward(self, batch: Tensor, rng: torch.Generator) -> Tensor:
        return (self.layers(batch) - torch.sin(3 * batch + torch.randn(8, generator=rng))).square().mean()


class Numbers:
    def at(self, step: int) -> Tensor:
        return torch.randn(16, 8, generator=torch.Generator().manual_seed(step))


def new_state() -> TrainState:
    torch.manual_seed(3)
    objective = Fit()
    groups = group_parameters(objective.named_parameters(), [ParameterGroup("all", "", 1e-2, 0.01)])
    optimizer = adamw(groups)
    return TrainState(
        objective,
        optimizer,
        lr_schedule(optimizer, "cosine", num_steps=NUM_STEPS, num_warmup_steps=4),
        ema=EMAModel(list(objective.parameters()), decay=0.9),
    )


@dataclass(frozen=True)
class Signal:
    """Send `signum` at the end of the validation of `step`: "before" or "after" its row is written."""

    signum: int
    moment: str
    step: int

    def send_at(self, moment: str, step: int) -> None:
        if (self.moment, self.step) == (moment, step):
            os.kill(os.getpid(), self.signum)
            for _ in range(1000):  # Python runs the handler between two bytecodes, so here
                pass


class SignallingTracker(JsonlTracker):
    signal: Signal | None = None

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        super().scalars(values, step)
        if self.signal is not None and "val/loss" in values:
            self.signal.send_at("after", step)


def run(folder: Path, events: Connection | None = None, signal: Signal | None = None) -> None:
    """Train to the end, from the newest checkpoint if there is one; sends the events "step" and "saving"."""
    torch.set_num_threads(1)
    state = new_state()
    resumed = resume_latest(state, folder / "checkpoints")
    tracker = SignallingTracker(
        folder,
        resume_step=state.step if resumed else None,
        resume_rows=state.num_rows if resumed else None,
    )
    tracker.signal = signal

    def report(event: str) -> None:
        if events is not None:
            events.send(event)

    sync = checkpoints_module._sync

    def reporting_sync(path: Path) -> None:
        report("saving")
        sync(path)

    def loss() -> float:
        report("step")
        if signal is not None:
            signal.send_at("before", state.step)
        return float(sum(p.square().sum() for p in state.objective.parameters()))

    def save(target: Path) -> None:
        torch.save(state.objective.state_dict(), target / "weights.pt")

    checkpoints_module._sync = reporting_sync
    try:
        train(
            state,
            Numbers(),
            num_steps=NUM_STEPS,
            seed=5,
            accelerator=Accelerator(cpu=True),
            tracker=tracker,
            callbacks=[
                ValidationCallback(loss, tracker, every_steps=1, num_steps=NUM_STEPS),
                BestCallback(folder / "best", save, num_kept=2),
            ],
            checkpoints=CheckpointCallback(folder / "checkpoints", every_steps=3, num_steps=NUM_STEPS),
            log_every_steps=1,
        )
    finally:
        checkpoints_module._sync = sync
    tracker.finish()


def child(folder: str, events: Connection) -> None:
    """Entry point of a process that is killed from outside; its progress bar is discarded."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    run(Path(folder), events)


def signalled_child(folder: str, signal: Signal) -> None:
    """Entry point of a process that sends itself a signal; its progress bar is discarded."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        run(Path(folder), signal=signal)
    except Interrupted as stop:
        sys.exit(stop.exit_code)
