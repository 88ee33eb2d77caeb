"""The training loop for all objectives: batch, loss, optimizer step, logging, callbacks.

Processes, and with gradient accumulation several passes of each, share a step's batch in equal parts. The
gradient is that of the whole batch, so the result is the same up to rounding however the batch is shared.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from tqdm import tqdm

from pixelpersona.data.generators import step_rng
from pixelpersona.data.loader import Part
from pixelpersona.tracking.tracker import Tracker
from pixelpersona.training.checkpoints import TrainState
from pixelpersona.training.interrupt import Interrupted, StopRequest


class Batches(Protocol):
    """Batches as a pure function of the step, so that a resumed run sees the same ones.

    Batches that can be shared also accept a `Part`: `at(step, part)`.
    """

    def at(self, step: int) -> Any: ...


class Callback(Protocol):
    """Something done between steps, such as samples or validation; it never changes the training.

    A stop signal may interrupt `run`, which is called again after resuming, so it must not log. It returns a
    short function that logs and is never interrupted: a row is written once or not at all.
    """

    def due(self, step: int) -> bool: ...

    def run(self, state: TrainState) -> Callable[[], None] | None: ...


@dataclass(frozen=True, slots=True)
class StepResult:
    """One optimizer step: steps taken so far, loss, gradient norm before clipping, lr per group.

    grad_norm: None where the gradient overflowed in fp16 and the GradScaler skipped the step.
    """

    step: int
    loss: float
    grad_norm: float | None
    lr: dict[str, float]


class NonFiniteError(ValueError):
    """The loss or a gradient is NaN or infinite; the optimizer step was not taken."""

    def add_samples(self, ids: Sequence[str]) -> None:
        """Append the ids of the batch's samples to the message, where they are known."""
        if ids:
            self.args = (f"{self}; samples: {', '.join(ids)}",)


def train(
    state: TrainState,
    batches: Batches,
    *,
    num_steps: int,
    seed: int,
    accelerator: Accelerator,
    tracker: Tracker,
    callbacks: Sequence[Callback] = (),
    checkpoints: Callback | None = None,
    max_grad_norm: float = 1.0,
    log_every_steps: int = 10,
    title: str = "train",
) -> float:
    """Train from the current step of `state` to `num_steps` optimizer steps.

    Returns the seconds that the steps took, without callbacks and checkpoints.

    checkpoints: saves the state after the other callbacks of its step, and before a requested stop.
    Raises NonFiniteError before a step that would write a NaN into the weights, and Interrupted after
    SIGTERM or Ctrl-C, once the step is finished and the state is saved. With several processes, ranks other
    than 0 are given NoTracker, no callbacks and no checkpoints.
    """
    objective, optimizer = accelerator.prepare(state.objective, state.optimizer)
    objective.train()
    if state.ema is not None:
        state.ema.to(accelerator.device)  # it was made, or loaded, before the objective was moved
    parts = _own_parts(accelerator)
    seconds = 0.0
    progress = tqdm(
        total=num_steps, initial=state.step, desc=title, unit="step", disable=not accelerator.is_main_process
    )
    with StopRequest().listening() as stop, progress:
        saved = state.step > 0 and state.num_callbacks_done >= len(callbacks)  # as loaded
        if not saved:  # run the callbacks that a stop had interrupted
            saved = _run_callbacks(state, callbacks, checkpoints, tracker, stop)
        while state.step < num_steps and not _asked_to_stop(stop, accelerator):
            began = time.perf_counter()
            losses: list[torch.Tensor] = []
            ids: list[str] = []
            for number, part in enumerate(parts):
                batch = batches.at(state.step, *part)
                # Dropout layers draw from torch's global generator, which checkpoints do not contain.
                torch.manual_seed(step_rng(seed, state.step, f"dropout {number}").initial_seed())
                ids += getattr(batch, "ids", ())
                with accelerator.accumulate(objective):
                    with accelerator.autocast():
                        loss = objective(batch, step_rng(seed, state.step, "loss"))
                    accelerator.backward(loss)
                losses.append(loss.detach())
            loss = accelerator.reduce(torch.stack(losses).mean(), reduction="mean")
            try:
                result = _optimizer_step(state, optimizer, loss, accelerator, max_grad_norm)
            except NonFiniteError as error:
                error.add_samples(gather_object(ids))
                tracker.alert("not finite", str(error))
                raise
            seconds += time.perf_counter() - began
            if result.step % log_every_steps == 0 or result.step == num_steps:
                tracker.scalars(_scalars(result), result.step)
                progress.set_postfix(loss=f"{result.loss:.4f}", refresh=False)
            progress.update()
            saved = _run_callbacks(state, callbacks, checkpoints, tracker, stop)
        objective.eval()
        if stop.signum is not None:
            if checkpoints is not None and not saved:
                _save(state, checkpoints, tracker)
            raise Interrupted(stop.signum)
    return seconds


def _own_parts(accelerator: Accelerator) -> list[tuple[Part, ...]]:
    """The parts of a batch that this process takes, one per pass; () is the whole batch."""
    passes = int(accelerator.gradient_accumulation_steps)
    num = int(accelerator.num_processes) * passes
    if num == 1:
        return [()]
    return [(Part(accelerator.process_index * passes + index, num),) for index in range(passes)]


def _asked_to_stop(stop: StopRequest, accelerator: Accelerator) -> bool:
    """Whether any process was asked to stop: all must stop at the same step, or the others wait forever."""
    if accelerator.num_processes > 1:
        asked = torch.tensor([stop.signum or 0], device=accelerator.device)
        stop.signum = int(accelerator.gather(asked).max()) or None
    return stop.signum is not None


def _run_callbacks(
    state: TrainState,
    callbacks: Sequence[Callback],
    checkpoints: Callback | None,
    tracker: Tracker,
    stop: StopRequest,
) -> bool:
    """Run the callbacks of this step that have not run yet, then save a checkpoint if one is due.

    Returns whether the current state is saved.
    """
    if state.step == 0:
        return False
    training = state.objective.training
    state.objective.eval()
    try:
        for callback in callbacks[state.num_callbacks_done :]:
            if callback.due(state.step):
                with stop.giving_up():
                    log = callback.run(state)
                if log is not None:
                    log()
            state.num_callbacks_done += 1
    except Interrupted:
        return False
    finally:
        state.objective.train(training)
    if checkpoints is None or not checkpoints.due(state.step):
        return False
    _save(state, checkpoints, tracker)
    return True


def _save(state: TrainState, checkpoints: Callback, tracker: Tracker) -> None:
    """Save the state with the number of rows logged before it; a resumed run writes the later rows again."""
    state.num_rows = tracker.rows_on_disk()
    checkpoints.run(state)


def _optimizer_step(
    state: TrainState,
    optimizer: torch.optim.Optimizer,
    loss: torch.Tensor,
    accelerator: Accelerator,
    max_grad_norm: float,
) -> StepResult:
    parameters = list(state.trainable().values())
    lr = {group["name"]: float(group["lr"]) for group in optimizer.param_groups}
    grad_norm = float(accelerator.clip_grad_norm_(parameters, max_grad_norm))
    value = float(loss.detach())
    overflowed = not math.isfinite(grad_norm)
    if not math.isfinite(value) or (overflowed and not _can_rescale(accelerator)):
        raise NonFiniteError(
            f"step {state.step + 1}: loss {value}, gradient norm {grad_norm}; stopped before the step, "
            "earlier checkpoints are good"
        )
    optimizer.step()
    state.lr_schedule.step()
    optimizer.zero_grad(set_to_none=True)
    if state.ema is not None:
        state.ema.step(parameters)
    state.step += 1
    state.num_callbacks_done = 0
    state.scores.clear()
    return StepResult(state.step, value, None if overflowed else grad_norm, lr)


def _can_rescale(accelerator: Accelerator) -> bool:
    """Whether fp16's GradScaler may skip the step and halve its scale; below 1 that no longer helps."""
    return accelerator.scaler is not None and accelerator.scaler.get_scale() >= 1.0


def _scalars(result: StepResult) -> dict[str, float]:
    rates = {f"train/lr/{name}": lr for name, lr in result.lr.items()}
    norm = {} if result.grad_norm is None else {"train/grad_norm": result.grad_norm}
    return {"train/loss": result.loss, **norm, **rates}
