"""Seconds of each stage, collected in one JSON file: {"train lora-r8": 51.2, "evaluate": 9.8}."""

import json
import os
import time
from pathlib import Path
from typing import cast

from pixelpersona.files import write_whole


def seconds_since_start() -> float:
    """Seconds since the process started, imports included; in a sweep, since the previous job ended."""
    return time.perf_counter() - _start


def restart_clock() -> None:
    """The next job of a sweep is timed from here."""
    global _start
    _start = time.perf_counter()


def record_seconds(stage: str, config: object) -> None:
    """Write the seconds so far to the file `config.timing`, if the schema has this key and it is not null.

    The entry is `stage`, followed by `config.name` where that differs: `train lora-r4`.
    """
    file = getattr(config, "timing", None)
    if file is None:
        return
    name = getattr(config, "name", None)
    if name and name != stage:
        stage = f"{stage} {name}"
    file = Path(file)
    stages = cast(dict[str, float], json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}
    stages[stage] = round(seconds_since_start(), 2)
    write_whole(file, json.dumps(stages, indent=2) + "\n")


def _process_age() -> float:
    """Seconds since this process started; 0 where there is no /proc (macOS, Windows)."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)
    except (OSError, AttributeError):
        return 0.0


_start = time.perf_counter() - _process_age()
