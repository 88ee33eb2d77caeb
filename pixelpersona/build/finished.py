"""How a run that came to its end is known again: finished.json, written last, with all that it was made of.

The same command then has nothing to do, and another command may not write into its folder.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any, cast

from pixelpersona.reporting.runs import FINISHED
from pixelpersona.writing import write_whole

# Where files go and who is told: nothing that changes what is trained. Photos are known by their pairs.
_LEFT_OUT = ("name", "timing", "paths", "tracker", "dataset.path", "dataset.num_workers", "loop.resume")


def is_finished(folder: Path, config: Any, made_of: Mapping[str, object]) -> bool:
    """Whether `folder` holds a finished run of these very settings and inputs, its files as written.

    config: the dataclass a door's body is given. made_of: name → digest of an input (pairs, base).
    Raises ValueError naming the settings that differ when it holds a finished run of others.
    """
    found = _read(folder / FINISHED)
    if found is None:
        return False
    mine, theirs = settings(config), cast(dict[str, object], found["settings"])
    changed = [key for key in sorted(mine.keys() & theirs.keys()) if mine[key] != theirs[key]]
    if changed:
        told = "; ".join(f"{key} was {_short(theirs[key])}, is {_short(mine[key])}" for key in changed[:5])
        rest = f"; {len(changed) - 5} more" if len(changed) > 5 else ""
        raise ValueError(
            f"{folder}: holds a finished run of other settings ({told}{rest}); "
            "accepted another name=..., or loop.resume=never to train it anew"
        )
    # Other inputs, or settings this version has more of: what the checkpoints say decides.
    same = mine.keys() == theirs.keys() and found["made_of"] == _plain(made_of)
    files = cast(dict[str, str], found["sha256"])
    return same and all(
        (folder / name).is_file() and file_sha256(folder / name) == digest for name, digest in files.items()
    )


def mark_finished(folder: Path, config: Any, made_of: Mapping[str, object], files: Sequence[Path]) -> None:
    """Say so, in one moment. files: what the run was for, below its folder."""
    found = {
        "settings": settings(config),
        "made_of": _plain(made_of),
        "sha256": {file.relative_to(folder).as_posix(): file_sha256(file) for file in files},
    }
    write_whole(folder / FINISHED, json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def mark_begun(folder: Path) -> None:
    """Until the end comes (again), this is no finished run."""
    (folder / FINISHED).unlink(missing_ok=True)


def settings(config: Any) -> dict[str, object]:
    """Dotted key → plain value, of every setting that has a say in what is trained."""
    flat: dict[str, object] = {}

    def add(key: str, value: object) -> None:
        if key in _LEFT_OUT:
            return
        if isinstance(value, dict) and value:
            for name, item in value.items():
                add(f"{key}.{name}" if key else str(name), item)
        else:
            flat[key] = value

    add("", asdict(config))
    return cast(dict[str, object], _plain(flat))


def files_stamp(folder: Path) -> str:
    """Changes when a file of a folder is written anew: names, sizes and times, without reading them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    rows = [(file.relative_to(folder).as_posix(), file.stat()) for file in files]
    text = "\n".join(f"{name} {found.st_size} {found.st_mtime_ns}" for name, found in rows)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(value, default=lambda v: v.value if isinstance(v, Enum) else str(v)))


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _read(file: Path) -> dict[str, object] | None:
    """None for a file that is missing or no such record: then the run counts as not finished."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        whole = found.keys() >= {"settings", "made_of", "sha256"}
    except (FileNotFoundError, ValueError, AttributeError):
        return None
    return cast(dict[str, object], found) if whole else None


def file_sha256(file: Path) -> str:
    """Of its bytes, lower-case hex."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
