"""Writes that fail in a training run: a one-line error, an intact checkpoint, and a run that can resume.

The disk is full, or a folder is read-only.
"""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from pixelpersona import train
from tests.failing import disk_full, unprivileged
from tests.training.running import train_words

WEIGHTS = "pytorch_lora_weights.safetensors"


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory, micro_base_folder: Path) -> list[str]:
    return [
        *train_words(tmp_path_factory.mktemp("full"), micro_base_folder),
        "loop.checkpoint_every_steps=2",
        "tracker=none",
    ]


@pytest.fixture(scope="module")
def uninterrupted(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("uninterrupted")
    train.main([*words, f"paths.runs={runs}"])
    return runs / "lora-r4"


def halfway(finished_run: Path, runs: Path) -> Path:
    """A copy of the finished run, reset to its state after step 2."""
    folder = runs / "lora-r4"
    shutil.copytree(finished_run, folder)
    (folder / "finished.json").unlink()
    shutil.rmtree(folder / "checkpoints" / "step-000004")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def error_line(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        train.main(command)
    assert stop.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip() and "%|" not in line]
    assert len([line for line in lines if "step-0000" in line or "cannot" in line]) == 1, lines
    assert not any(line.startswith(("Traceback", "Error")) for line in lines)
    return lines[-1]


# The first file that does not fit: versions.json, metrics.jsonl, config.yaml, the sheet of samples, or the
# weights in best/ or in a checkpoint.
@pytest.mark.parametrize("num_bytes", [200, 1000, 2900, 20_000, 100_000, 157_700, 200_000])
def test_a_full_disk_is_one_error_line_and_the_run_resumes_identically(
    uninterrupted: Path, words: list[str], tmp_path: Path, num_bytes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = halfway(uninterrupted, tmp_path)
    before = content(folder / "checkpoints" / "step-000002")
    command = [*words, f"paths.runs={tmp_path}"]
    with disk_full(num_bytes):
        message = error_line(command, capsys)
    assert message.startswith(str(folder))
    assert "cannot be written" in message
    assert content(folder / "checkpoints" / "step-000002") == before
    assert not (folder / "finished.json").exists()
    train.main(command)
    found, expected = load_file(folder / WEIGHTS), load_file(uninterrupted / WEIGHTS)
    assert all(np.array_equal(found[key], expected[key]) for key in expected)
    assert (folder / "metrics.jsonl").read_bytes() == (uninterrupted / "metrics.jsonl").read_bytes()


def test_a_run_counts_as_finished_when_only_its_timing_cannot_be_written(
    uninterrupted: Path, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, timing = halfway(uninterrupted, tmp_path), tmp_path / "timing.json"
    timing.write_text(json.dumps({f"train {number}": 1.0 for number in range(30_000)}))
    before = timing.read_bytes()
    command = [*words, f"paths.runs={tmp_path}"]
    with disk_full(len(before) - 1):
        message = error_line([*command, f"timing={timing}"], capsys)
    assert message.startswith(f"{timing}: cannot be written")
    assert timing.read_bytes() == before
    assert (folder / WEIGHTS).is_file()
    train.main(command)
    assert "already finished" in capsys.readouterr().out


@pytest.mark.parametrize("read_only", [".", "checkpoints", "media/samples/table", "best"])
def test_a_read_only_folder_is_one_error_line_and_the_checkpoint_is_intact(
    uninterrupted: Path, micro_base_folder: Path, read_only: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with tempfile.TemporaryDirectory() as name:  # the user `nobody` cannot enter tmp_path
        root = Path(name)
        overrides = train_words(root, shutil.copytree(micro_base_folder, root / "base"))
        command = [*overrides, "loop.checkpoint_every_steps=2", "tracker=none", f"paths.runs={root / 'runs'}"]
        folder = halfway(uninterrupted, root / "runs")
        if read_only == "best":
            shutil.rmtree(folder / "best")
            (folder / "best").mkdir()
        for path in (root, *root.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
        before = content(folder / "checkpoints" / "step-000002")
        (folder / read_only).chmod(0o555)
        with unprivileged():
            message = error_line(command, capsys)
        assert "cannot be written" in message
        assert "Permission denied" in message
        assert content(folder / "checkpoints" / "step-000002") == before
