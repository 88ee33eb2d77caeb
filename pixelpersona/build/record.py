"""What makes a run folder explain itself: configuration, command line, versions, git state, digests."""

import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any

from pixelpersona.config import PACKAGE, to_yaml
from pixelpersona.writing import write_whole

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


def public_config(config: Any) -> dict[str, Any]:
    """A door's configuration for a tracker: plain values, of paths only the last part.

    config: the dataclass a door's body is given. Nothing of this machine's folders leaves it.
    """
    return {key: _public(value) for key, value in asdict(config).items()}


def _public(value: Any) -> Any:
    match value:
        case dict():
            return {str(key): _public(item) for key, item in value.items()}
        case list():
            return [_public(item) for item in value]
        case Path():
            return value.name
        case str() if Path(value).is_absolute() or value.startswith(("~", "..")):
            return Path(value).name
        case Enum():
            return value.value
    return value


def git_state() -> dict[str, object]:
    """Commit and whether files differ from it; empty outside a checkout or without git."""

    def ask(*words: str) -> str:
        answer = subprocess.run(
            ["git", "-C", str(PACKAGE), *words], capture_output=True, text=True, check=True, timeout=10
        )
        return answer.stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return {}


def write_record(folder: Path, config: object, overrides: Sequence[str], data: Mapping[str, object]) -> None:
    """Write config.yaml, overrides.yaml, versions.json, git.json and data.json into a run folder."""
    write_whole(folder / "config.yaml", to_yaml(config))
    _write_words(folder / "overrides.yaml", overrides)
    for name, value in (("versions", versions()), ("git", git_state()), ("data", dict(data))):
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
        write_whole(folder / f"{name}.json", text + "\n")


def write_overrides(file: Path, overrides: Sequence[str]) -> None:
    """Beside a result what was typed to make it: result.json's is result.overrides.yaml."""
    _write_words(file.with_suffix(".overrides.yaml"), overrides)


def _write_words(file: Path, words: Sequence[str]) -> None:
    lines = "".join(f"- {json.dumps(word, ensure_ascii=False)}\n" for word in words) or "[]\n"
    write_whole(file, lines)
