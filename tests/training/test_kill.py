"""A run killed at any point, even in the middle of a save, resumes and ends bit for bit the same."""

import json
import multiprocessing
import os
import random
import signal
from pathlib import Path

import pytest
import torch

from pixelpersona.training.checkpoints import list_checkpoints
from tests.training.killing import NUM_STEPS, Signal, child, run, signalled_child

# One server process imports torch once; every run is forked from it before any thread has started.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.training.killing"])


def _killed(folder: Path, event: str, count: int) -> bool:
    """Start the run and kill it at the count-th event of this kind; False if it ended before."""
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=child, args=(str(folder), sender))
    process.start()
    sender.close()
    try:
        while count:
            count -= receiver.recv() == event
    except EOFError:
        process.join()
        assert process.exitcode == 0
        return False
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode in (-signal.SIGKILL, 0)  # 0: it ended after its last event, before the kill
    return process.exitcode != 0


def _final(folder: Path) -> dict[str, object]:
    """Everything that must be equal at the end."""
    newest = list_checkpoints(folder / "checkpoints")[-1]
    assert newest.name == f"step-{NUM_STEPS:06d}"
    state = torch.load(newest / "state.pt", weights_only=True)
    best = json.loads((folder / "best" / "best.json").read_text())
    names = [path.relative_to(folder).as_posix() for path in sorted((folder / "best").rglob("*"))]
    return {
        "weights": (newest / "weights.safetensors").read_bytes(),
        "optimizer": [s for s in state["optimizer"]["state"].values()],
        "ema": state["ema"]["shadow_params"],
        "rest": [state["step"], state["best"], state["lr_schedule"]["last_epoch"], best, names],
        "metrics": (folder / "metrics.jsonl").read_bytes(),
    }


def _assert_same(first: object, second: object) -> None:
    if isinstance(first, torch.Tensor):
        assert isinstance(second, torch.Tensor)
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert isinstance(second, dict)
        assert first.keys() == second.keys()
        for key in first:
            _assert_same(first[key], second[key])
    elif isinstance(first, list):
        assert isinstance(second, list)
        assert len(first) == len(second)
        for a, b in zip(first, second, strict=True):
            _assert_same(a, b)
    else:
        assert first == second


def _kill_and_compare(tmp_path: Path, num_kills: int, seed: int) -> None:
    """Kill runs at random events, each in a step and while saving, until there were `num_kills` kills."""
    run(tmp_path / "uninterrupted")
    expected = _final(tmp_path / "uninterrupted")
    rng = random.Random(seed)
    kills = number = 0
    while kills < num_kills:
        number += 1
        folder = tmp_path / f"killed-{number}"
        plan = [("step", rng.randint(1, NUM_STEPS - 1)), ("saving", rng.randint(1, 30))]
        rng.shuffle(plan)
        # The second event may lie after the end of the run, which is then not killed again.
        killed = [_killed(folder, event, count) for event, count in plan]
        assert any(killed)
        kills += sum(killed)
        run(folder)
        _assert_same(_final(folder), expected)


TERM, INT, KILL = signal.SIGTERM, signal.SIGINT, signal.SIGKILL


@pytest.mark.parametrize(
    "sent",
    [
        [Signal(TERM, "after", 4)],
        [Signal(INT, "after", 4)],
        [Signal(TERM, "after", 6)],  # a checkpoint is due at this step
        [Signal(KILL, "after", 4)],
        # The checkpoint lies between the step's two rows, the kill after the second.
        [Signal(TERM, "before", 4), Signal(KILL, "after", 4)],
        [Signal(TERM, "before", 4), Signal(TERM, "after", 4), Signal(KILL, "before", 5)],
    ],
)
def test_a_signal_near_the_write_of_a_row_keeps_it_unique(tmp_path: Path, sent: list[Signal]) -> None:
    """A callback counts as run exactly when its row is written; otherwise metrics.jsonl would differ."""
    run(tmp_path / "uninterrupted")
    folder = tmp_path / "signalled"
    for each in sent:
        process = CONTEXT.Process(target=signalled_child, args=(str(folder), each))
        process.start()
        process.join()
        assert process.exitcode == {TERM: 143, INT: 130, KILL: -9}[signal.Signals(each.signum)]
    run(folder)
    _assert_same(_final(folder), _final(tmp_path / "uninterrupted"))


def test_runs_after_six_kills_end_the_same(tmp_path: Path) -> None:
    _kill_and_compare(tmp_path, 6, seed=1)


@pytest.mark.slow
def test_runs_after_fifty_kills_end_the_same(tmp_path: Path) -> None:
    _kill_and_compare(tmp_path, 50, seed=2)
