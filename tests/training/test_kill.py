"""SIGKILL at any moment, in the middle of saving too: the run goes on and ends bit for bit the same."""

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

# One server process imports torch once; each run is forked from it, before any thread has started.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.training.killing"])


def _killed(folder: Path, event: str, count: int) -> bool:
    """Start the run and kill it at the count-th event of this kind. False when it was over before."""
    here, there = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=child, args=(str(folder), there))
    process.start()
    there.close()
    try:
        while count:
            count -= here.recv() == event
    except EOFError:
        process.join()
        assert process.exitcode == 0
        return False
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode in (-signal.SIGKILL, 0)  # 0: the last event of all, and it was faster
    return process.exitcode != 0


def _final(folder: Path) -> dict[str, object]:
    """All that must be equal at the end."""
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
        for one, other in zip(first, second, strict=True):
            _assert_same(one, other)
    else:
        assert first == second


def _kill_and_compare(tmp_path: Path, num_kills: int, seed: int) -> None:
    """Runs killed at random moments, one while saving and one elsewhere, until there were so many kills."""
    run(tmp_path / "whole")
    expected = _final(tmp_path / "whole")
    rng = random.Random(seed)
    kills = number = 0
    while kills < num_kills:
        number += 1
        folder = tmp_path / f"killed-{number}"
        plan = [("step", rng.randint(1, NUM_STEPS - 1)), ("saving", rng.randint(1, 30))]
        rng.shuffle(plan)
        # The second moment may lie behind the end: then the run has simply gone on.
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
        [Signal(TERM, "after", 6)],  # where a checkpoint is due
        [Signal(KILL, "after", 4)],
        # Saved between the step's two rows, killed after the second: it lies after the checkpoint.
        [Signal(TERM, "before", 4), Signal(KILL, "after", 4)],
        [Signal(TERM, "before", 4), Signal(TERM, "after", 4), Signal(KILL, "before", 5)],
    ],
)
def test_a_signal_at_the_moment_a_row_is_written(tmp_path: Path, sent: list[Signal]) -> None:
    """Whether a callback counts as run is decided with its row: written twice or lost, the files would differ."""
    run(tmp_path / "whole")
    folder = tmp_path / "stopped"
    for one in sent:
        process = CONTEXT.Process(target=signalled_child, args=(str(folder), one))
        process.start()
        process.join()
        assert process.exitcode == {TERM: 143, INT: 130, KILL: -9}[signal.Signals(one.signum)]
    run(folder)
    _assert_same(_final(folder), _final(tmp_path / "whole"))


def test_six_kills(tmp_path: Path) -> None:
    _kill_and_compare(tmp_path, 6, seed=1)


@pytest.mark.slow
def test_fifty_kills(tmp_path: Path) -> None:
    _kill_and_compare(tmp_path, 50, seed=2)
