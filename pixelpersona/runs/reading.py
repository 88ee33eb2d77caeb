"""Reading run folders: settings, curves, versions."""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pixelpersona.files import read_json, read_jsonl, write_whole

TIMINGS = "timings.json"
"""Beside result.json: seconds per portrait of each variant, which differ between runs."""

# What PyYAML raises for some damaged files, besides YAMLError.
_YAML_BUGS = (RecursionError, AttributeError, TypeError, LookupError)

Curve = list[tuple[int, float]]
"""(step, value) in the order in which they were logged."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One training run.

    id: its folder below the folder of runs, "lora-r4" or "sweep/lora-r4". overrides: the settings as typed.
    curves: key of metrics.jsonl → its points. versions, git, data: package versions, commit and whether
    files differed from it, digests of data and base; empty where they were not recorded.
    """

    id: str
    overrides: list[str]
    config: dict[str, Any]
    curves: dict[str, Curve]
    versions: dict[str, str] = field(default_factory=dict)
    git: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """What was trained ("lora", "supervised", ...); "" where the configuration does not say.

        Losses of different methods are different quantities and never share an axis.
        """
        method = self.config.get("method")
        return str(method.get("kind", "")) if isinstance(method, Mapping) else ""


def read_run(folder: Path, id: str | None = None) -> RunRecord:
    """Read a run folder. Only metrics.jsonl is required: a run that was killed early counts, too.

    Raises ValueError naming the file that is missing or broken.
    """
    return RunRecord(
        id=folder.name if id is None else id,
        overrides=[str(o) for o in read_record(folder / "overrides.yaml", list)],
        config=read_record(folder / "config.yaml", dict),
        curves=_read_curves(folder / "metrics.jsonl"),
        versions={str(k): str(v) for k, v in read_record(folder / "versions.json", dict).items()},
        git=read_record(folder / "git.json", dict),
        data=read_record(folder / "data.json", dict),
    )


def _read_curves(file: Path) -> dict[str, Curve]:
    curves: dict[str, Curve] = {}
    for number, row in enumerate(read_jsonl(file), start=1):
        try:
            if type(row["step"]) is not int:
                raise TypeError
            for key, value in row.items():
                if key != "step":
                    curves.setdefault(key, []).append((row["step"], float(value)))
        except (KeyError, TypeError, ValueError, OverflowError):
            raise ValueError(f"{file}, line {number}: accepted a step and numbers in every row") from None
    return curves


def read_runs(folder: Path) -> list[RunRecord]:
    """Every run in or below a folder, by id; [] when there is none."""
    found = sorted(path.parent for path in folder.rglob("metrics.jsonl"))
    ids = [f.relative_to(folder).as_posix() for f in found]
    return [read_run(f, f.name if i == "." else i) for f, i in zip(found, ids, strict=True)]


def read_overrides(result: Path) -> list[str]:
    """The settings that were typed to make a result file; [] where they were not recorded beside it."""
    return [str(word) for word in read_record(result.with_suffix(".overrides.yaml"), list)]


def save_timings(folder: Path, seconds: Mapping[str, float]) -> None:
    """Write folder/timings.json. seconds: variant → seconds per portrait on this machine."""
    text = json.dumps({"seconds_per_portrait": dict(seconds)}, indent=1, ensure_ascii=False)
    write_whole(folder / TIMINGS, text + "\n")


def read_timings(folder: Path) -> dict[str, float]:
    """The content of folder/timings.json; {} where there is none. Raises ValueError naming a broken file."""
    file = folder / TIMINGS
    return _seconds(file, read_record(file, dict).get("seconds_per_portrait", {}), "variant")


def read_stage_seconds(file: Path) -> dict[str, float]:
    """The content of a timing file; {} where there is none. Raises ValueError naming a broken file."""
    return _seconds(file, read_record(file, dict), "stage")


def _seconds(file: Path, found: Any, kind: str) -> dict[str, float]:
    with suppress(AttributeError, TypeError, ValueError, OverflowError):
        seconds = {str(name): float(value) for name, value in found.items()}
        if all(map(math.isfinite, seconds.values())):
            return seconds
    raise ValueError(f"{file}: accepted a number of seconds per {kind}")


def read_record(path: Path, kind: type) -> Any:
    """The list or dict in a YAML or JSON file; an empty one when the file is missing.

    Raises ValueError naming the file when it cannot be read or holds something else.
    """
    if not path.exists():
        return kind()
    if path.suffix == ".json":
        return read_json(path, kind)
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, *_YAML_BUGS) as error:
        raise ValueError(f"{path}: not readable ({' '.join(str(error).split())})") from None
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise ValueError(f"{path}: expected a {kind.__name__}, found a {type(value).__name__}")
    return value
