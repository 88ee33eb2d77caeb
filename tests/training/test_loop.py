"""The training loop and its checkpoints: resumed runs equal uninterrupted ones, NaNs stop the run."""

import json
import os
import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from pixelpersona.files import read_jsonl
from pixelpersona.tracking.jsonl import JsonlTracker
from pixelpersona.tracking.tracker import NoTracker
from pixelpersona.training.callbacks import CheckpointCallback, ValidationCallback
from pixelpersona.training.checkpoints import (
    TrainState,
    list_checkpoints,
    load_checkpoint,
    resume_from,
    resume_latest,
    save_checkpoint,
)
from pixelpersona.training.interrupt import Interrupted
from pixelpersona.training.loop import Callback, NonFiniteError, train
from pixelpersona.training.optimizers import ParameterGroup, adamw, group_parameters, lr_schedule
from tests.failing import disk_full


class Regression(nn.Module):
    """Learns y = 2x from noisy batches; the noise comes from the step's generator."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Linear(3, 4)
        self.up = nn.Linear(4, 3)
        self.frozen = nn.Linear(3, 3).requires_grad_(False)

    def forward(self, batch: Tensor, rng: torch.Generator) -> Tensor:
        noise = torch.randn(batch.shape, generator=rng)
        return (self.up(torch.tanh(self.down(batch + 0.1 * noise))) - 2 * batch).square().mean()


class Numbers:
    def __init__(self, bad_step: int | None = None) -> None:
        self.bad_step = bad_step

    def at(self, step: int) -> Tensor:
        batch = torch.randn(5, 3, generator=torch.Generator().manual_seed(step))
        return batch * torch.nan if step == self.bad_step else batch


GROUPS = [ParameterGroup("down", r"^down\.", 1e-2, 0.0), ParameterGroup("up", r"^up\.", 3e-2, 0.1)]


def _state(identity: dict[str, object] | None = None) -> TrainState:
    torch.manual_seed(0)
    objective = Regression()
    optimizer = adamw(group_parameters(objective.named_parameters(), GROUPS))
    schedule = lr_schedule(optimizer, "cosine", num_steps=20, num_warmup_steps=3)
    ema = EMAModel([p for p in objective.parameters() if p.requires_grad], decay=0.9)
    return TrainState(objective, optimizer, schedule, ema=ema, identity=identity or {"rank": 4})


def _train(
    state: TrainState,
    folder: Path,
    num_steps: int,
    resume_step: int | None = None,
    callbacks: Sequence[Callback] = (),
) -> None:
    tracker = JsonlTracker(folder, resume_step=resume_step)
    validation = ValidationCallback(
        lambda: float(state.trainable()["up.bias"].sum()), tracker, every_steps=5, num_steps=20
    )
    train(
        state,
        Numbers(),
        num_steps=num_steps,
        seed=7,
        accelerator=Accelerator(cpu=True),
        tracker=tracker,
        callbacks=[validation, *callbacks],
        checkpoints=CheckpointCallback(folder / "checkpoints", every_steps=5, num_steps=num_steps),
        log_every_steps=1,
    )


@pytest.mark.parametrize("stop", [5, 7, 13])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, stop: int) -> None:
    uninterrupted = _state()
    _train(uninterrupted, tmp_path / "uninterrupted", 20)
    first = _state()
    _train(first, tmp_path / "parts", stop)
    second = _state()
    assert resume_latest(second, tmp_path / "parts" / "checkpoints")
    assert second.step == stop
    _train(second, tmp_path / "parts", 20, resume_step=stop)
    for name, parameter in uninterrupted.trainable().items():
        assert torch.equal(parameter, second.trainable()[name])
    assert uninterrupted.ema is not None
    assert second.ema is not None
    assert all(map(torch.equal, uninterrupted.ema.shadow_params, second.ema.shadow_params))
    rows = [r for r in read_jsonl(tmp_path / "parts" / "metrics.jsonl") if "train/loss" in r]
    assert rows == [r for r in read_jsonl(tmp_path / "uninterrupted" / "metrics.jsonl") if "train/loss" in r]
    assert [row["step"] for row in rows] == list(range(1, 21))


class WithDropout(Regression):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5))  # type: ignore[assignment]


def test_a_resumed_run_has_the_same_dropout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "Regression", WithDropout)
    uninterrupted, first, second = _state(), _state(), _state()
    _train(uninterrupted, tmp_path / "uninterrupted", 20)
    _train(first, tmp_path / "parts", 7)
    torch.manual_seed(99)  # as in a new process, whose generator is in another state
    assert resume_latest(second, tmp_path / "parts" / "checkpoints")
    _train(second, tmp_path / "parts", 20, resume_step=7)
    for name, parameter in uninterrupted.trainable().items():
        assert torch.equal(parameter, second.trainable()[name])


class Signalling:
    """Logs every step, sends a signal to this process at one of them, and then logs -1 if it still runs."""

    def __init__(self, step: int, signum: int, log: list[int]) -> None:
        self.step, self.signum, self.log = step, signum, log

    def due(self, step: int) -> bool:
        return True

    def run(self, state: TrainState) -> None:
        self.log.append(state.step)
        if state.step == self.step:
            os.kill(os.getpid(), self.signum)
            for _ in range(1000):  # Python runs the handler between two bytecodes, so here
                pass
            self.log.append(-1)


@pytest.mark.parametrize(("signum", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("stop", [5, 7])
def test_a_run_stopped_by_a_signal_resumes_and_equals_an_uninterrupted_one(
    tmp_path: Path, signum: int, exit_code: int, stop: int
) -> None:
    uninterrupted, log = _state(), []
    _train(uninterrupted, tmp_path / "uninterrupted", 20, callbacks=[Signalling(0, signum, log)])
    assert log == list(range(1, 21))
    first, before = _state(), []
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Interrupted) as interrupted:
        _train(first, tmp_path / "parts", 20, callbacks=[Signalling(stop, signum, before)])
    assert interrupted.value.exit_code == exit_code
    assert before == list(range(1, stop + 1))  # no -1: the callback was cancelled
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    second, after = _state(), []
    assert resume_latest(second, tmp_path / "parts" / "checkpoints")
    assert second.step == stop
    _train(second, tmp_path / "parts", 20, resume_step=stop, callbacks=[Signalling(0, signum, after)])
    assert after == list(range(stop, 21))  # the cancelled callback runs again, the finished ones do not
    assert all(torch.equal(p, second.trainable()[name]) for name, p in uninterrupted.trainable().items())
    paths = [tmp_path / name / "metrics.jsonl" for name in ("uninterrupted", "parts")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_damaged_checkpoint_is_reported_and_the_previous_one_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _train(_state(), tmp_path, 20)
    older, newest = list_checkpoints(tmp_path / "checkpoints")
    weights = newest / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    state = _state()
    assert resume_latest(state, tmp_path / "checkpoints")
    assert state.step == int(older.name.removeprefix("step-"))
    assert f"{weights}: damaged" in caplog.text
    (older / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match="all checkpoints are damaged"):
        resume_latest(_state(), tmp_path / "checkpoints")


@pytest.mark.parametrize(
    "change",
    [{"sha256": []}, {"sha256": None}, {"sha256": {}}, {"identity": []}, {"step": "4"}, []],
    ids=str,
)
def test_a_manifest_of_the_wrong_type_is_damaged(
    tmp_path: Path, change: dict[str, object] | list[str]
) -> None:
    _train(_state(), tmp_path, 4)
    file = list_checkpoints(tmp_path / "checkpoints")[-1] / "manifest.json"
    manifest = json.loads(file.read_text())
    file.write_text(json.dumps(manifest | change if isinstance(change, dict) else change))
    reason = "not a manifest of a checkpoint" if isinstance(change, dict) else "expected a dict, found a list"
    with pytest.raises(ValueError, match=rf"^{re.escape(str(file))}: damaged \({reason}\)"):
        resume_latest(_state(), tmp_path / "checkpoints")


def test_every_group_logs_its_learning_rate(tmp_path: Path) -> None:
    _train(_state(), tmp_path, 4)
    rows = [row for row in read_jsonl(tmp_path / "metrics.jsonl") if "train/loss" in row]
    assert [row["train/lr/down"] for row in rows] == pytest.approx([0, 1e-2 / 3, 2e-2 / 3, 1e-2])
    assert all(row["train/lr/up"] == pytest.approx(3 * row["train/lr/down"]) for row in rows)
    assert all(row["train/grad_norm"] > 0 for row in rows)


def test_a_nan_stops_the_run_before_the_optimizer_step(tmp_path: Path) -> None:
    state = _state()
    with pytest.raises(NonFiniteError, match="step 3"):
        train(
            state,
            Numbers(bad_step=2),
            num_steps=5,
            seed=0,
            accelerator=Accelerator(cpu=True),
            tracker=NoTracker(),
        )
    assert state.step == 2
    assert all(torch.isfinite(p).all() for p in state.trainable().values())


def test_only_the_newest_checkpoints_are_kept_and_unfinished_ones_are_not_listed(tmp_path: Path) -> None:
    _train(_state(), tmp_path, 20)
    (tmp_path / "checkpoints" / "step-000099.tmp").mkdir()
    names = [checkpoint.name for checkpoint in list_checkpoints(tmp_path / "checkpoints")]
    assert names == ["step-000015", "step-000020"]


def test_a_damaged_checkpoint_or_one_of_another_run_is_refused(tmp_path: Path) -> None:
    _train(_state(), tmp_path, 5)
    checkpoint = list_checkpoints(tmp_path / "checkpoints")[-1]
    with pytest.raises(ValueError, match="rank was 4, is 8"):
        load_checkpoint(_state({"rank": 8}), checkpoint)
    with pytest.raises(ValueError, match="rank was 4, is None"):
        load_checkpoint(_state({"widths": [8]}), checkpoint)
    with pytest.raises(ValueError, match="seed was None, is 1"):
        load_checkpoint(_state({"rank": 4, "seed": 1}), checkpoint)
    file = checkpoint / "weights.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"weights\.safetensors: damaged"):
        load_checkpoint(_state(), checkpoint)
    with pytest.raises(ValueError, match="no such checkpoint"):
        load_checkpoint(_state(), tmp_path / "nowhere")


class Alerts(NoTracker):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def alert(self, title: str, text: str) -> None:
        self.texts.append(f"{title}: {text}")


@dataclass(frozen=True)
class _Named:
    """A batch with the ids of its samples."""

    values: Tensor
    ids: tuple[str, ...]


class _NamedRegression(Regression):
    def forward(self, batch: _Named, rng: torch.Generator) -> Tensor:  # type: ignore[override]
        return super().forward(batch.values, rng)


class _NamedNumbers(Numbers):
    def at(self, step: int) -> _Named:  # type: ignore[override]
        return _Named(super().at(step), tuple(f"photo-{step}-{n}.png" for n in range(2)))


def test_a_nan_names_its_samples_and_sends_an_alert_and_the_checkpoint_stays(tmp_path: Path) -> None:
    state, tracker = _state(), Alerts()
    state.objective.__class__ = _NamedRegression
    with pytest.raises(NonFiniteError, match=r"step 8: .*samples: photo-7-0\.png, photo-7-1\.png"):
        train(
            state,
            _NamedNumbers(bad_step=7),
            num_steps=20,
            seed=0,
            accelerator=Accelerator(cpu=True),
            tracker=tracker,
            checkpoints=CheckpointCallback(tmp_path, every_steps=5, num_steps=20),
        )
    assert len(tracker.texts) == 1
    assert "photo-7-1.png" in tracker.texts[0]
    good = _state()
    assert resume_latest(good, tmp_path)
    assert good.step == 5


def test_resuming_from_a_given_checkpoint_or_never(tmp_path: Path) -> None:
    _train(_state(), tmp_path, 20)
    older, _ = list_checkpoints(tmp_path / "checkpoints")
    state = _state()
    assert resume_from(state, str(older), tmp_path / "checkpoints")
    assert state.step == 15
    with pytest.raises(ValueError, match=r"loop\.resume=.*nowhere: no such checkpoint"):
        resume_from(_state(), str(tmp_path / "nowhere"), tmp_path / "checkpoints")
    fresh = _state()
    assert not resume_from(fresh, "never", tmp_path / "checkpoints")
    assert fresh.step == 0
    assert list_checkpoints(tmp_path / "checkpoints") == []


@pytest.mark.parametrize("kilobytes", [0, 1, 3])
def test_a_full_disk_is_an_error_and_the_previous_checkpoint_stays(tmp_path: Path, kilobytes: int) -> None:
    """Different files of the checkpoint do not fit."""
    state = _state()
    _train(state, tmp_path, 5)
    before = {path: path.read_bytes() for path in (tmp_path / "checkpoints").rglob("*") if path.is_file()}
    state.step = 6
    with disk_full(1024 * kilobytes), pytest.raises(ValueError, match="step-000006: cannot be written"):
        save_checkpoint(state, tmp_path / "checkpoints")
    after = {path: path.read_bytes() for path in (tmp_path / "checkpoints").rglob("*") if path.is_file()}
    assert after == before


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    """A file stands where the folder should be, which stops root as well."""
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(ValueError, match="step-000000: cannot be written"):
        save_checkpoint(_state(), tmp_path / "checkpoints")
