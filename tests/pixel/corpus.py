"""Runs untrusted files one at a time in a worker process and records what each one did to it."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from pixelpersona.pixel.batch import FileJob, FilePixelator
from pixelpersona.pixel.clip import open_clip
from pixelpersona.pixel.photo import PhotoError, read_photo
from pixelpersona.pixel.photo_formats import CLIP_SUFFIXES
from pixelpersona.pixel.pixelation import Pixelation

CPU_LIMIT_S = 10.0
WALL_LIMIT_S = 100.0  # of a worker that waits; ten times as long, since other processes take their share
_POLL_S = 0.2
_START_LIMIT_S = 300.0  # of a worker, which imports and compiles; not counted to its first file
# What a file that can be opened may still be rejected for.
_TYPED = ("accepted ", "leaves no cell", "no pixel reaches the opacity", "no cell of any frame")

Check = Callable[[Path, Path], tuple[int, str | None]]
"""(file, folder for what is drawn) → (pixels in all frames, why it is rejected or None)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to one file. failure: "crash ...", "hang ..." or "untyped error ...", else None.

    peak_mb: largest resident memory of the worker while it had the file, in 10^6 bytes.
    """

    file: Path
    num_pixels: int = 0
    rejected: str | None = None
    failure: str | None = None
    peak_mb: float = 0.0

    def problem(self) -> str | None:
        """The failure, or too much memory: 600 MB up to 12 million pixels, 1000 MB for more."""
        limit_mb = 600.0 if self.num_pixels <= 12e6 else 1000.0
        if self.failure is None and self.peak_mb > limit_mb:
            return f"{self.peak_mb:.0f} MB for {self.num_pixels / 1e6:.1f} million pixels"
        return self.failure


def draw(file: Path, folder: Path) -> tuple[int, str | None]:
    """Open a file and draw it with the default settings. Raises what is not a typed rejection."""
    is_clip = file.suffix.lower() in CLIP_SUFFIXES
    try:
        if is_clip:
            frames = open_clip(file).frames
            num_pixels = len(frames) * next(iter(frames))[..., 0].size
        else:
            num_pixels = read_photo(file)[..., 0].size
    except PhotoError as error:
        return 0, error.reason
    reason = FilePixelator(Pixelation())(FileJob(file, folder / ("drawn.gif" if is_clip else "drawn.png")))
    if reason is not None and not any(words in reason for words in _TYPED):
        raise AssertionError(f"an error that is not about the file: {reason}")
    return num_pixels, reason


def run_corpus(
    files: Iterable[Path],
    folder: Path,
    check: Check = draw,
    *,
    cpu_limit_s: float = CPU_LIMIT_S,
    wall_limit_s: float = WALL_LIMIT_S,
) -> Iterator[Outcome]:
    """The outcome of every file, in order. A worker that crashes or hangs is replaced."""
    worker: _Worker | None = None
    try:
        for file in files:
            worker = worker or _Worker(check, folder)
            outcome = worker.run(file, cpu_limit_s, wall_limit_s)
            yield outcome
            if outcome.failure is not None and not outcome.failure.startswith("untyped"):
                worker.kill()
                worker = None
    finally:
        if worker is not None:
            worker.kill()


class _Worker:
    """A process that checks files one after another."""

    def __init__(self, check: Check, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._mine, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, check, folder), daemon=True)
        self._process.start()
        theirs.close()
        assert self._mine.poll(_START_LIMIT_S), "the worker does not start"
        self._mine.recv()

    def run(self, file: Path, cpu_limit_s: float, wall_limit_s: float) -> Outcome:
        last_cpu_s, end = self._cpu_s() + cpu_limit_s, time.monotonic() + wall_limit_s
        self._mine.send(file)
        try:
            while not self._mine.poll(_POLL_S):
                if self._cpu_s() > last_cpu_s:
                    return Outcome(file, failure=f"hang: more than {cpu_limit_s:g} s of CPU time")
                if time.monotonic() > end:
                    return Outcome(file, failure=f"hang: more than {wall_limit_s:g} s")
            outcome: Outcome = self._mine.recv()
            return outcome
        except EOFError:
            self._process.join()
            return Outcome(file, failure=f"crash: exit code {self._process.exitcode}")

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # user and system

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self._mine.close()


def _work(pipe: Connection, check: Check, folder: Path) -> None:
    pipe.send(None)
    while True:
        file = pipe.recv()
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here on
        try:
            num_pixels, rejected = check(file, folder)
            outcome = Outcome(file, num_pixels, rejected, peak_mb=_peak_mb())
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            outcome = Outcome(file, failure=f"untyped error: {reason}", peak_mb=_peak_mb())
        pipe.send(outcome)


def _peak_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:"))
