"""A disk full or closed at any write of a run: one line, the checkpoint intact, and the run goes on."""

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
def whole(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("whole")
    train.main([*words, f"paths.runs={runs}"])
    return runs / "lora-r4"


def halfway(whole: Path, runs: Path) -> Path:
    """The run as it was after step 2."""
    folder = runs / "lora-r4"
    shutil.copytree(whole, folder)
    (folder / "finished.json").unlink()
    shutil.rmtree(folder / "checkpoints" / "step-000004")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refusal(told: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        train.main(told)
    assert stop.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip() and "%|" not in line]
    assert len([line for line in lines if "step-0000" in line or "cannot" in line]) == 1, lines
    assert not any(line.startswith(("Traceback", "Error")) for line in lines)
    return lines[-1]


# What fails: versions.json, the rows, the configuration, the sheet, and weights (best/, checkpoint).
@pytest.mark.parametrize("num_bytes", [200, 1000, 2900, 20_000, 100_000, 157_700, 200_000])
def test_a_full_disk(
    whole: Path, words: list[str], tmp_path: Path, num_bytes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = halfway(whole, tmp_path)
    before = content(folder / "checkpoints" / "step-000002")
    told = [*words, f"paths.runs={tmp_path}"]
    with disk_full(num_bytes):
        said = refusal(told, capsys)
    assert said.startswith(str(folder))
    assert "cannot be written" in said
    assert content(folder / "checkpoints" / "step-000002") == before
    assert not (folder / "finished.json").exists()
    train.main(told)
    found, expected = load_file(folder / WEIGHTS), load_file(whole / WEIGHTS)
    assert all(np.array_equal(found[key], expected[key]) for key in expected)
    assert (folder / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_a_training_is_finished_though_its_seconds_cannot_be_written(
    whole: Path, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, timing = halfway(whole, tmp_path), tmp_path / "timing.json"
    timing.write_text(json.dumps({f"train {number}": 1.0 for number in range(30_000)}))
    before = timing.read_bytes()
    told = [*words, f"paths.runs={tmp_path}"]
    with disk_full(len(before) - 1):
        said = refusal([*told, f"timing={timing}"], capsys)
    assert said.startswith(f"{timing}: cannot be written")
    assert timing.read_bytes() == before
    assert (folder / WEIGHTS).is_file()
    train.main(told)
    assert "finished already" in capsys.readouterr().out


@pytest.mark.parametrize("closed", [".", "checkpoints", "samples/samples/table", "best"])
def test_a_folder_that_is_closed(
    whole: Path, words: list[str], micro_base_folder: Path, closed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to nobody
        root = Path(name)
        own = train_words(root, shutil.copytree(micro_base_folder, root / "base"))
        told = [*own, "loop.checkpoint_every_steps=2", "tracker=none", f"paths.runs={root / 'runs'}"]
        folder = halfway(whole, root / "runs")
        if closed == "best":
            shutil.rmtree(folder / "best")
            (folder / "best").mkdir()
        for path in (root, *root.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
        before = content(folder / "checkpoints" / "step-000002")
        (folder / closed).chmod(0o555)
        with unprivileged():
            said = refusal(told, capsys)
        assert "cannot be written" in said
        assert "Permission denied" in said
        assert content(folder / "checkpoints" / "step-000002") == before
