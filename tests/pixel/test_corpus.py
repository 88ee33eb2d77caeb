"""Every file of a folder of images is read and pixelated; the harness finds failures."""

import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pixel.corpus import Outcome, draw, run_corpus

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="memory is measured through /proc")


@pytest.mark.corpus
@linux_only
def test_no_file_of_the_corpus_crashes_hangs_or_takes_too_much_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(os.environ["PIXELPERSONA_CORPUS"])
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert files, f"PIXELPERSONA_CORPUS={folder}: no file there"
    outcomes = list(run_corpus(files, tmp_path))
    counts = Counter("rejected" if o.rejected else "failed" if o.failure else "drawn" for o in outcomes)
    largest = max(outcomes, key=lambda outcome: outcome.peak_mb)
    problems = [f"{o.file}: {problem}" for o in outcomes if (problem := o.problem())]
    with capsys.disabled():
        print(f"\n{len(files)} files: {dict(counts)}; most memory {largest.peak_mb:.0f} MB: {largest.file}")
        print("\n".join(problems))
    assert not problems


def fake(file: Path, folder: Path) -> tuple[int, str | None]:
    """Does what the file's name says."""
    match file.name:
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "loop":
            while True:
                pass
        case "wait":
            threading.Event().wait()
        case "bug":
            raise KeyError("nobody thought of it")
        case "large":
            assert bytearray(b"x" * 300_000_000)
        case "photo":
            return 1000, None
    return 0, "not a JPEG"


@pytest.mark.slow
@linux_only
def test_the_harness_finds_crashes_hangs_untyped_errors_and_memory(tmp_path: Path) -> None:
    names = ("photo", "crash", "photo", "loop", "wait", "bug", "photo", "text", "large", "photo")
    outcomes = list(run_corpus(map(Path, names), tmp_path, fake, cpu_limit_s=2.0, wall_limit_s=30.0))
    assert [outcome.file.name for outcome in outcomes] == list(names)
    failures = {o.file.name: o.failure for o in outcomes if o.failure is not None}
    assert failures == {
        "crash": f"crash: exit code {-signal.SIGSEGV}",
        "loop": "hang: more than 2 s of CPU time",
        "wait": "hang: more than 30 s",
        "bug": "untyped error: KeyError: 'nobody thought of it'",
    }
    assert [(o.num_pixels, o.rejected) for o in outcomes if o.file.name in ("photo", "text")] == [
        (1000, None), (1000, None), (1000, None), (0, "not a JPEG"), (1000, None),
    ]  # fmt: skip
    large, after = outcomes[-2:]
    assert large.peak_mb > after.peak_mb + 250


@pytest.mark.parametrize(
    ("num_pixels", "peak_mb", "problem"),
    [
        (12_000_000, 599.0, None),
        (12_000_000, 601.0, "601 MB for 12.0 million pixels"),
        (64_000_000, 999.0, None),
        (64_000_000, 1001.0, "1001 MB for 64.0 million pixels"),
        (0, 700.0, "700 MB for 0.0 million pixels"),
    ],
)
def test_too_much_memory_is_a_problem(num_pixels: int, peak_mb: float, problem: str | None) -> None:
    assert Outcome(Path("a"), num_pixels, peak_mb=peak_mb).problem() == problem
    assert Outcome(Path("a"), num_pixels, failure="hang", peak_mb=peak_mb).problem() == "hang"


def test_what_a_file_is_rejected_for(tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 30, 3), 90, np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.full((3, 3, 3), 90, np.uint8)).save(tmp_path / "b.png")
    (tmp_path / "c.jpg").write_bytes(b"junk")
    drawn, tiny, junk = (draw(tmp_path / name, tmp_path) for name in ("a.png", "b.png", "c.jpg"))
    assert drawn == (1200, None)
    assert tiny == (9, "factor=6: leaves no cell of an image of 3x3 pixels")
    assert junk == (0, "not a JPEG, PNG, WebP, BMP, TIFF, AVIF or HEIC picture")
