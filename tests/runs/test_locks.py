"""Only one process at a time writes a run folder or a sweep; a killed process releases its lock."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from PIL import Image

from pixelpersona import train
from pixelpersona.runs.locks import exclusive

HOLD = """
import sys
from pathlib import Path
from pixelpersona.runs.locks import exclusive
with exclusive(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def holder(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that has locked the folder."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_process_is_refused_until_the_first_releases_the_lock(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "lora-r4"
    with holder(folder) as process:
        with pytest.raises(
            ValueError, match=r"lora-r4: another process is writing this run; accepted another name"
        ):
            exclusive(folder).__enter__()
        with exclusive(folder.with_name("lora-r8")):
            pass
        process.communicate("\n")
        with exclusive(folder):
            pass


def test_a_killed_process_releases_its_lock(tmp_path: Path) -> None:
    with holder(tmp_path / "lora-r4") as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with exclusive(tmp_path / "lora-r4"):
            pass


def test_a_lock_is_released_after_an_error_and_covers_symbolic_links(tmp_path: Path) -> None:
    (tmp_path / "runs" / "lora-r4").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "runs" / "lora-r4")
    with suppress(KeyError), exclusive(tmp_path / "link"):
        with pytest.raises(ValueError, match="another process is writing this run"):
            exclusive(tmp_path / "runs" / "lora-r4").__enter__()
        raise KeyError
    with exclusive(tmp_path / "runs" / "lora-r4"):
        pass


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"lora-r4: cannot be written \(File exists\)"):
        exclusive(tmp_path / "file" / "lora-r4").__enter__()


@pytest.fixture
def words(tmp_path: Path, micro_base_folder: Path) -> list[str]:
    """Overrides of `train` for a single step on six pictures of one colour each."""
    (tmp_path / "photos").mkdir()
    rows = []
    for number in range(6):
        Image.new("RGB", (40, 40), (40 * number, 90, 120)).save(tmp_path / "photos" / f"{number}.png")
        rows.append({"file_name": f"{number}.png", "split": "val" if number < 2 else "train"})
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "photos" / "metadata.jsonl").write_text(text, encoding="utf-8")
    return [
        "dataset=folder", f"dataset.path={tmp_path / 'photos'}", "dataset.framing=center", "tracker=none",
        f"model.path={micro_base_folder}", "model.image_size=32", "model.cell=4", "loop=quick",
        "loop.num_steps=1", "loop.num_samples=0", f"paths.cache={tmp_path / 'cache'}",
        f"paths.runs={tmp_path / 'runs'}", "dataset.test_share=0",
    ]  # fmt: skip


def error_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        train.main(words)
    assert stop.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip() and "%|" not in line]
    assert len(lines) == 1
    return lines[0]


def test_training_in_a_locked_folder_is_one_error_line_and_writes_nothing(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "runs" / "lora-r4"
    with holder(folder):
        assert error_line(words, capsys).endswith("or wait until it ends")
        assert not folder.exists()
    train.main(words)
    with holder(folder):  # a finished run needs no lock
        train.main(words)
    assert "already finished" in capsys.readouterr().out


def test_a_sweep_started_twice_is_refused_before_its_first_job(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = ["-m", *words, "lora.rank=2,3"]
    train.main(sweep)
    (table,) = (tmp_path / "runs").glob("sweep-rank-*.csv")
    capsys.readouterr()
    with holder(table.with_suffix("")):
        assert "another process is writing this sweep" in error_line(sweep, capsys)
    assert os.listdir(tmp_path / "runs").count("lora-r2") == 1
    with holder(tmp_path / "runs" / "lora-r2"):  # another process is writing one run of the sweep
        (tmp_path / "runs" / "lora-r2" / "finished.json").unlink()
        assert "lora-r2: another process is writing this run" in error_line(sweep, capsys)
