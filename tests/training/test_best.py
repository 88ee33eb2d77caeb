"""BestCallback keeps the best weights by any metric, also across a resume, and best.json lists them."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from pixelpersona.training.callbacks import BestCallback
from pixelpersona.training.checkpoints import TrainState, load_checkpoint, save_checkpoint
from pixelpersona.training.optimizers import ParameterGroup, adamw, group_parameters, lr_schedule

VALUES = [0.5, 0.3, 0.4, float("nan"), 0.2, 0.3, 0.9]


def _state() -> TrainState:
    module = nn.Linear(2, 2)
    optimizer = adamw(group_parameters(module.named_parameters(), [ParameterGroup("all", "", 1e-3, 0.0)]))
    return TrainState(module, optimizer, lr_schedule(optimizer, "constant", num_steps=9))


def _measure(callback: BestCallback, state: TrainState, values: list[float]) -> None:
    for value in values:
        state.step += 1
        state.scores = {"eval/score": value}
        callback.run(state)


def _callback(folder: Path, state: TrainState, *, highest: bool, num_kept: int) -> BestCallback:
    def save(target: Path) -> None:
        (target / "weights").write_text(str(state.step))

    return BestCallback(folder, save, metric="eval/score", higher_is_better=highest, num_kept=num_kept)


@pytest.mark.parametrize("highest", [False, True])
@pytest.mark.parametrize("num_kept", [1, 2, 3])
def test_the_best_weights_are_kept_in_order(tmp_path: Path, highest: bool, num_kept: int) -> None:
    state = _state()
    _measure(_callback(tmp_path, state, highest=highest, num_kept=num_kept), state, VALUES)
    numbers = [(value, step) for step, value in enumerate(VALUES, start=1) if value == value]
    expected = sorted(numbers, key=lambda pair: (-pair[0] if highest else pair[0], pair[1]))[:num_kept]
    assert state.best == expected
    record = json.loads((tmp_path / "best.json").read_text())
    assert [(entry["value"], entry["step"]) for entry in record["kept"]] == expected
    assert {path.name for path in tmp_path.glob("step-*")} == {entry["folder"] for entry in record["kept"]}
    for entry in record["kept"]:
        assert (tmp_path / entry["folder"] / "weights").read_text() == str(entry["step"])


def test_a_resumed_run_restores_the_list_and_counts_repeated_steps_once(tmp_path: Path) -> None:
    first = _state()
    _measure(_callback(tmp_path / "best", first, highest=False, num_kept=2), first, VALUES[:3])
    checkpoint = save_checkpoint(first, tmp_path / "checkpoints")
    _measure(_callback(tmp_path / "best", first, highest=False, num_kept=2), first, VALUES[3:5])
    second = _state()
    load_checkpoint(second, checkpoint)
    assert second.best == [(0.3, 2), (0.4, 3)]
    _measure(_callback(tmp_path / "best", second, highest=False, num_kept=2), second, VALUES[3:])
    assert second.best == [(0.2, 5), (0.3, 2)]
    assert sorted(path.name for path in (tmp_path / "best").glob("step-*")) == ["step-000002", "step-000005"]


def test_a_step_without_a_measurement_is_skipped(tmp_path: Path) -> None:
    state = _state()
    state.step = 4
    _callback(tmp_path, state, highest=False, num_kept=1).run(state)
    assert state.best == []
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_with_a_nan_is_not_written(tmp_path: Path) -> None:
    state = _state()
    valid = save_checkpoint(state, tmp_path)
    state.step = 1
    with torch.no_grad():
        state.trainable()["bias"][0] = torch.nan
    with pytest.raises(ValueError, match="bias holds values that are not finite"):
        save_checkpoint(state, tmp_path)
    assert list(tmp_path.iterdir()) == [valid]


def test_fewer_weights_to_keep_apply_from_the_next_measurement(tmp_path: Path) -> None:
    state = _state()
    _measure(_callback(tmp_path, state, highest=False, num_kept=2), state, [0.3, 0.5])
    (tmp_path / "best.json").unlink()  # as after `set_aside`
    _measure(_callback(tmp_path, state, highest=False, num_kept=1), state, [0.6])
    assert state.best == [(0.3, 1)]
    assert [entry["step"] for entry in json.loads((tmp_path / "best.json").read_text())["kept"]] == [1]
    assert [path.name for path in tmp_path.glob("step-*")] == ["step-000001"]
