"""Parallel maps: every result arrives, and workers exit with a killed parent."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pixelpersona.pixel.parallel import choose_num_workers, unordered

PARENT = """
import os, sys
from pixelpersona.pixel.parallel import unordered
from tests.pixel.test_parallel import stay

if __name__ == "__main__":
    for _, pid in unordered(stay, [0, 1, 2], 2):
        print(pid, flush=True)
"""


def stay(item: int) -> int:
    """Item 0 returns its process id at once; the others block forever."""
    if item:
        signal.pause()
    return os.getpid()


def test_workers_exit_with_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    root = str(Path(__file__).resolve().parents[2])
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": root}
    )
    assert process.stdout is not None
    worker = os.pidfd_open(int(process.stdout.readline()))
    process.kill()
    process.wait()
    ended, _, _ = select.select([worker], [], [], 60)
    os.close(worker)
    assert ended


def square(item: int) -> int:
    return item * item


@pytest.mark.parametrize("num_workers", [1, 2])
def test_every_result_has_its_index(num_workers: int) -> None:
    found = dict(unordered(square, [3, 1, 2], num_workers))
    assert found == {0: 9, 1: 1, 2: 4}


def test_the_number_of_workers() -> None:
    assert choose_num_workers(5, 8) == 5
    assert choose_num_workers(10) == 1
    with pytest.raises(ValueError, match="num_workers must be at least 1"):
        choose_num_workers(5, 0)
