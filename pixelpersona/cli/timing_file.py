"""Seconds of each stage, collected in one JSON file: {"train lora-r8": 51.2, "evaluate": 9.8}."""

import json
import os
import time
from pathlib import Path
from typing import Any

from filelock import FileLock

from pixelpersona.config.command import CommandConfig
from pixelpersona.files import read_json, write_whole


def seconds_since_start() -> float:
    """Seconds since the process started, imports included; in a sweep, since the previous job ended."""
    return time.perf_counter() - _start


def restart_clock() -> None:
    """The next job of a sweep is timed from here."""
    global _start
    _start = time.perf_counter()


def check_timing(config: CommandConfig) -> None:
    """Raise ValueError when `record_seconds` could not add to the file: before the job, not after it."""
    if config.timing is not None:
        _read(config.timing)


def record_seconds(stage: str, config: CommandConfig) -> None:
    """Write the seconds so far to the file `config.timing`, if it is not null.

    The entry is `stage`, followed by `config.name` where that differs: `train lora-r4`. Jobs that run at the
    same time add their entries one after another: a hidden lock file beside the file remains.
    Raises ValueError naming the file when it cannot be written or holds anything but a JSON object.
    """
    file = config.timing
    if file is None:
        return
    if config.name not in ("", stage):
        stage = f"{stage} {config.name}"
    seconds = round(seconds_since_start(), 2)
    lock = FileLock(file.with_name(f".{file.name}.lock"))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise ValueError(f"{file}: cannot be written ({error.strerror or error})") from error
    try:
        write_whole(file, json.dumps({**_read(file), stage: seconds}, indent=2) + "\n")
    finally:
        lock.release()


def _read(file: Path) -> dict[str, Any]:
    try:
        return read_json(file, dict)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(f"timing={error}") from None


def _process_age() -> float:
    """Seconds since this process started; 0 where there is no /proc (macOS, Windows)."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)
    except (OSError, AttributeError):
        return 0.0


_start = time.perf_counter() - _process_age()
