"""The marker of a finished run: finished.json, written last, with the settings and inputs of the run.

With it the same command has nothing to do, and a command with other settings does not write into the folder.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any, cast

from pixelpersona.files import read_json, write_whole
from pixelpersona.runs.digests import file_sha256

FINISHED = "finished.json"

# Names, places and trackers do not change what is trained; photos are identified by their pairs.
_IGNORED = ("name", "timing", "paths", "tracker", "dataset.path", "dataset.num_workers", "loop.resume")
_LENGTH = {"loop.num_steps", "loop.num_epochs"}
_NUM_SHOWN = 5
_MAX_CHARACTERS = 60


def is_finished(folder: Path, config: Any, inputs: Mapping[str, object]) -> bool:
    """Whether `folder` holds a finished run of these settings and inputs, with its files unchanged.

    config: a command's configuration (a dataclass). inputs: name → digest of what the run is made from.
    Raises ValueError listing the settings that differ when it holds a finished run with other settings.
    """
    marker = _read(folder / FINISHED)
    if marker is None:
        return False
    mine, theirs = settings(config), cast(dict[str, object], marker["settings"])
    changed = [key for key in sorted(mine.keys() & theirs.keys()) if mine[key] != theirs[key]]
    if changed:
        shown = [f"{key} was {_short(theirs[key])}, is {_short(mine[key])}" for key in changed[:_NUM_SHOWN]]
        rest = f"; {len(changed) - _NUM_SHOWN} more" if len(changed) > _NUM_SHOWN else ""
        why = ""
        if _LENGTH & set(changed):
            why = "a finished run is not trained further: its learning rate was scheduled over its steps; "
        raise ValueError(
            f"{folder}: holds a finished run with other settings ({'; '.join(shown)}{rest}); {why}"
            "accepted another name=..., or loop.resume=never to train it anew"
        )
    # Where inputs differ, or another version had other keys, the checkpoints' own identity decides.
    same = mine.keys() == theirs.keys() and marker["inputs"] == _plain(inputs)
    files = cast(dict[str, str], marker["sha256"])
    return same and all(
        (folder / name).is_file() and file_sha256(folder / name) == digest for name, digest in files.items()
    )


def mark_finished(folder: Path, config: Any, inputs: Mapping[str, object], files: Sequence[Path]) -> None:
    """Write the marker atomically. files: the results of the run, below its folder."""
    marker = {
        "settings": settings(config),
        "inputs": _plain(inputs),
        "sha256": {file.relative_to(folder).as_posix(): file_sha256(file) for file in files},
    }
    write_whole(folder / FINISHED, json.dumps(marker, indent=1, ensure_ascii=False) + "\n")


def mark_unfinished(folder: Path) -> None:
    """Remove the marker of an earlier run, because the folder is being written again."""
    (folder / FINISHED).unlink(missing_ok=True)


def settings(config: Any) -> dict[str, object]:
    """Dotted key → JSON value of every setting that can change what is trained."""
    return cast(dict[str, object], _plain(trained_settings(asdict(config))))


def trained_settings(config: Mapping[str, object]) -> dict[str, object]:
    """The same for a configuration given as a mapping, as in config.yaml, with its values unchanged."""
    flat: dict[str, object] = {}

    def add(key: str, value: object) -> None:
        if key in _IGNORED:
            return
        if isinstance(value, dict) and value:
            for name, item in value.items():
                add(f"{key}.{name}" if key else str(name), item)
        else:
            flat[key] = value

    add("", config)
    return flat


def _plain(value: Any) -> Any:
    """The value as it is after a round trip through JSON."""
    return json.loads(json.dumps(value, default=lambda v: v.name if isinstance(v, Enum) else str(v)))


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _MAX_CHARACTERS else f"{text[: _MAX_CHARACTERS - 3]}..."


def _read(file: Path) -> dict[str, object] | None:
    """None for a file that is missing or not a marker: the run then counts as unfinished."""
    try:
        match read_json(file, dict):
            case {"settings": dict(), "inputs": dict(), "sha256": dict()} as marker:
                return marker
    except (FileNotFoundError, ValueError):
        pass
    return None
