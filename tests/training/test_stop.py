"""SIGTERM and Ctrl-C in real processes: during a step, validation, sampling and the final writes."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from pixelpersona import train
from pixelpersona.files import read_jsonl
from tests.tracking.fake_server import Server
from tests.tracking.reading import of_kind, read_run, scalar_rows
from tests.training.running import train_words

pytestmark = pytest.mark.slow

# The process prints "here" at the given place and waits there; except in a step it never leaves by itself.
PROGRAM = """
import sys

place = sys.argv.pop(1)
from pixelpersona import train
from pixelpersona.recipes import finetune
from pixelpersona.training import loop, samples

def here(*_, **__):
    print("here", flush=True)
    while place != "step":
        pass
    sys.stdin.readline()

def after_step_0(measure):
    first = True
    def measured(*args, **options):
        nonlocal first
        if first:
            first = False
            return measure(*args, **options)
        here()
    return measured

optimizer_step = loop._optimizer_step
def step(state, *rest):
    if state.step == 2:
        here()
    return optimizer_step(state, *rest)

owner, name, replacement = {
    "step": (loop, "_optimizer_step", step),
    "baseline": (finetune, "fixed_noise_loss", here),
    "validation": (finetune, "fixed_noise_loss", after_step_0(finetune.fixed_noise_loss)),
    "samples": (samples.Samples, "make", after_step_0(samples.Samples.make)),
    "end": (finetune, "write_card", here),
}[place]
assert hasattr(owner, name)
setattr(owner, name, replacement)
train.main()
"""
WEIGHTS = "pytorch_lora_weights.safetensors"


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory, micro_base_folder: Path) -> list[str]:
    return [*train_words(tmp_path_factory.mktemp("stop"), micro_base_folder), "tracker.mode=offline"]


@pytest.fixture(scope="module")
def uninterrupted(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("uninterrupted")
    train.main([*words, f"paths.runs={runs}"])
    return runs / "lora-r4"


def stop(place: str, signum: int, words: list[str], server: Server | None = None) -> tuple[int, list[str]]:
    """Exit code and stderr, without progress bars, of a process that gets the signal at `place`.

    server: stand-in for the W&B server, which stops answering before the signal is sent.
    """
    env = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_SILENT": "true"}
    if server is not None:
        env |= server.environment()
    env.pop("WANDB_SERVICE", None)  # otherwise it would use this process's W&B service, which outlives it
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, place, *words],
        cwd=Path(__file__).parents[2],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        while (line := process.stdout.readline()) != "here\n":
            assert line, process.stderr.read() if process.stderr else ""
        if server is not None:
            server.fall_silent()
        process.send_signal(signum)
        _, err = process.communicate("\n", timeout=None if server is None else 120)
    return process.returncode, [line for line in err.splitlines() if line.strip() and "%|" not in line]


@pytest.mark.parametrize(
    ("place", "signum", "exit_code", "step"),
    [
        ("step", signal.SIGTERM, 143, 3),
        ("step", signal.SIGINT, 130, 3),
        ("baseline", signal.SIGTERM, 143, None),
        ("validation", signal.SIGTERM, 143, 2),
        ("samples", signal.SIGTERM, 143, 2),
        ("samples", signal.SIGINT, 130, 2),
        ("end", signal.SIGTERM, 143, 4),
    ],
)
def test_a_stopped_process_saves_its_state_and_resumes_to_the_same_result(
    words: list[str],
    uninterrupted: Path,
    tmp_path: Path,
    place: str,
    signum: int,
    exit_code: int,
    step: int | None,
) -> None:
    command = [*words, f"paths.runs={tmp_path}"]
    code, err = stop(place, signum, command)
    assert code == exit_code, err
    assert err[-1] == f"stopped by {signal.Signals(signum).name}; the same command continues from here"
    assert "Traceback" not in "".join(err)
    folder = tmp_path / "lora-r4"
    saved = sorted(path.name for path in folder.glob("checkpoints/*"))
    assert saved == ([] if step is None else [f"step-00000{step}"])
    assert not (folder / "finished.json").exists()
    (part,) = (folder / "wandb").glob("offline-run-*")
    records = read_run(part)
    assert [record["exit_code"] for record in of_kind(records, "exit")] == [exit_code]
    assert scalar_rows([records]) == read_jsonl(folder / "metrics.jsonl")
    if place == "validation":  # killed before anything new is saved
        code, err = stop("samples", signal.SIGKILL, command)
        assert code == -signal.SIGKILL, err
    train.main(command)
    for name in (WEIGHTS, f"ema/{WEIGHTS}"):
        found, expected = load_file(folder / name), load_file(uninterrupted / name)
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[key], expected[key]) for key in expected)
    assert (folder / "metrics.jsonl").read_bytes() == (uninterrupted / "metrics.jsonl").read_bytes()
    drawn = list((uninterrupted / "media").rglob("*.png"))
    assert drawn
    for sample in drawn:
        again = np.asarray(Image.open(folder / sample.relative_to(uninterrupted)))
        np.testing.assert_array_equal(again, np.asarray(Image.open(sample)))
    parts = [read_run(path) for path in sorted((folder / "wandb").glob("offline-run-*"))]
    assert scalar_rows(parts) == read_jsonl(uninterrupted / "metrics.jsonl")
    shutil.rmtree(folder)


@pytest.mark.parametrize(("signum", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_process_does_not_wait_for_a_silent_server(
    words: list[str], tmp_path: Path, signum: int, exit_code: int
) -> None:
    """By default it would wait for tracker.finish_timeout_s, more than twice the timeout of this test."""
    server = Server()
    command = [*words, f"paths.runs={tmp_path}", "tracker.mode=online", "loop.num_samples=0"]
    code, err = stop("step", signum, command, server)
    server.close()
    assert code == exit_code, err
    (kept,) = (tmp_path / "lora-r4" / "wandb").glob("run-*")
    assert any(f"`wandb sync --include-online {kept}` uploads the rest" in line for line in err), err
    assert scalar_rows([read_run(kept)]) == read_jsonl(tmp_path / "lora-r4" / "metrics.jsonl") != []
