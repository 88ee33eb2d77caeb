"""fp16 on a CPU: a real GradScaler and real float16 gradients, which accelerate has for GPUs only."""

from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from pixelpersona.files import read_jsonl
from pixelpersona.tracking.jsonl import JsonlTracker
from pixelpersona.tracking.tracker import NoTracker
from pixelpersona.training.callbacks import CheckpointCallback
from pixelpersona.training.checkpoints import TrainState, resume_latest
from pixelpersona.training.loop import NonFiniteError, train
from pixelpersona.training.optimizers import ParameterGroup, adamw, group_parameters, lr_schedule
from tests.training.killing import Numbers, new_state

TOO_LARGE = 2.0**28  # gradients times this overflow float16; halved a few times, they do not


def fp16_accelerator(monkeypatch: pytest.MonkeyPatch, scale: float) -> Accelerator:
    accelerator = Accelerator(cpu=True)
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=4)
    accelerator.native_amp = True
    monkeypatch.setitem(accelerator.state.__dict__, "_mixed_precision", "fp16")
    return accelerator


def run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, num_steps: int, scale: float = TOO_LARGE
) -> tuple[TrainState, list[float]]:
    """Train from the newest checkpoint in `folder` to `num_steps`; the state, and the scale it began with."""
    accelerator = fp16_accelerator(monkeypatch, scale)
    state = new_state()
    state.scaler = accelerator.scaler
    resumed = resume_latest(state, folder / "checkpoints")
    began = accelerator.scaler.get_scale()
    tracker = JsonlTracker(folder, resume_step=state.step if resumed else None)
    train(
        state,
        Numbers(),
        num_steps=num_steps,
        seed=5,
        accelerator=accelerator,
        tracker=tracker,
        checkpoints=CheckpointCallback(folder / "checkpoints", every_steps=9, num_steps=num_steps),
        log_every_steps=1,
    )
    tracker.finish()
    return state, [began, accelerator.scaler.get_scale()]


def test_an_overflow_on_a_logged_step_is_skipped_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    untouched = new_state().trainable()
    state, _ = run(tmp_path / "one", monkeypatch, 1)
    assert all(torch.equal(p, untouched[name]) for name, p in state.trainable().items())  # not taken
    state, scales = run(tmp_path / "all", monkeypatch, 20)
    assert scales[1] < TOO_LARGE
    rows = read_jsonl(tmp_path / "all" / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 21))
    assert all("train/loss" in row for row in rows)
    skipped = [row["step"] for row in rows if "train/grad_norm" not in row]
    assert skipped[0] == 1
    assert len(skipped) < 15
    assert not all(torch.equal(p, untouched[name]) for name, p in state.trainable().items())


@pytest.mark.parametrize("stop", [9, 13])
def test_a_resumed_run_has_the_scaler_of_its_checkpoint_and_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    uninterrupted, _ = run(tmp_path / "uninterrupted", monkeypatch, 20)
    _, first = run(tmp_path / "parts", monkeypatch, stop)
    state, second = run(tmp_path / "parts", monkeypatch, 20)
    assert second[0] == first[1] != TOO_LARGE
    for name, parameter in uninterrupted.trainable().items():
        assert torch.equal(parameter, state.trainable()[name])


class NanGradient(nn.Module):
    """The loss is 0; the gradient of its square root there is not a number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self, batch: Tensor, rng: torch.Generator) -> Tensor:
        return (0.0 * self.weight).sum().sqrt()


def test_a_gradient_that_no_scale_makes_finite_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = NanGradient()
    groups = group_parameters(objective.named_parameters(), [ParameterGroup("all", "", 1e-2, 0.0)])
    optimizer = adamw(groups)
    state = TrainState(objective, optimizer, lr_schedule(optimizer, "constant", num_steps=50))
    accelerator = fp16_accelerator(monkeypatch, 4.0)
    state.scaler = accelerator.scaler
    with pytest.raises(NonFiniteError, match=r"step 4: loss 0\.0, gradient norm nan"):
        train(state, Numbers(), num_steps=50, seed=0, accelerator=accelerator, tracker=NoTracker())
    assert torch.equal(objective.weight.detach(), torch.ones(2))
