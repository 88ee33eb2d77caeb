"""What a run writes about itself: configuration, command line, versions, git state, digests, speed."""

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from pixelpersona.files import write_whole

_PACKAGE = Path(__file__).resolve().parent.parent
_PACKAGES = (
    "pixelpersona",
    "torch",
    "diffusers",
    "transformers",
    "accelerate",
    "peft",
    "torchmetrics",
    "numpy",
    "wandb",
)


def versions() -> dict[str, str]:
    """Versions of Python and of every library that changes a number."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def git_state() -> dict[str, object]:
    """Commit of the package and whether files differ from it; empty outside a checkout or without git."""

    def git(*words: str) -> str:
        answer = subprocess.run(
            ["git", "-C", str(_PACKAGE), *words], capture_output=True, text=True, check=True, timeout=10
        )
        return answer.stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return {}


def plain_config(config: Any) -> dict[str, Any]:
    """A configuration (a dataclass) as plain YAML values."""
    plain: dict[str, Any] = _plain(asdict(config), lambda path: str(path))
    return plain


def public_config(config: Any) -> dict[str, Any]:
    """The same for a tracker: paths are cut to their last part, so that no folder of the machine is sent."""
    public: dict[str, Any] = _plain(asdict(config), lambda path: Path(path).name)
    return public


def _plain(value: Any, of_path: Any) -> Any:
    match value:
        case dict():
            return {str(key): _plain(item, of_path) for key, item in value.items()}
        case list():
            return [_plain(item, of_path) for item in value]
        case Path():
            return of_path(value)
        case str() if Path(value).is_absolute() or value.startswith(("~", "..")):
            return of_path(value)
        case Enum():
            return value.name
    return value


def write_record(folder: Path, config: Any, overrides: Sequence[str], data: Mapping[str, object]) -> None:
    """Write config.yaml, overrides.yaml, versions.json, git.json and data.json into a run folder.

    overrides: the command line's settings, as typed. data: digests of what the run is made from.
    """
    text = yaml.safe_dump(plain_config(config), sort_keys=False, allow_unicode=True)
    write_whole(folder / "config.yaml", text)
    _write_words(folder / "overrides.yaml", overrides)
    for name, value in (("versions", versions()), ("git", git_state()), ("data", dict(data))):
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
        write_whole(folder / f"{name}.json", text + "\n")


def write_overrides(result: Path, overrides: Sequence[str]) -> None:
    """Write the command line's settings beside a result: for result.json, result.overrides.yaml."""
    _write_words(result.with_suffix(".overrides.yaml"), overrides)


def append_speed(
    folder: Path, *, seconds: float, num_steps: int, batch_size: int, num_processes: int
) -> None:
    """Append a row to timings.jsonl: speeds differ between runs, so they are not in metrics.jsonl.

    seconds: of the optimizer steps alone, above 0, without validation, samples and checkpoints.
    """
    row = {
        "seconds": round(seconds, 3),
        "steps": num_steps,
        "images_per_s": round(num_steps * batch_size / seconds, 3),
        "num_cores": os.cpu_count(),
        "num_processes": num_processes,
    }
    with (folder / "timings.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _write_words(file: Path, words: Sequence[str]) -> None:
    lines = "".join(f"- {json.dumps(word, ensure_ascii=False)}\n" for word in words) or "[]\n"
    write_whole(file, lines)
