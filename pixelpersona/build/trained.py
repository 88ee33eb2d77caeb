"""Which trained weights lie below a folder of runs, and which of a run's own are compared."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pixelpersona.build.finished import file_sha256

_RECORD = "metrics.jsonl"  # what every run folder has from its first step on


@dataclass(frozen=True, slots=True)
class Trained:
    """name: its run's folder below the folder of runs ("lora-r4", "ranks/lora-r8"). file: the weights."""

    name: str
    file: Path

    @property
    def sha256(self) -> str:
        return file_sha256(self.file)


def trained_below(runs: Path, file_name: str) -> list[Trained]:
    """Every run below `runs` that left `file_name`, at any depth, lora-r8 before lora-r16.

    What lies inside a run (best/, ema/, checkpoints) is that run and no other.
    """
    found = []
    for folder in _folders_with(runs, file_name):
        name = folder.name if folder == runs else folder.relative_to(runs).as_posix()
        found.append(Trained(name, folder / file_name))
    return sorted(found, key=lambda trained: _natural(trained.name))


def best_of(trained: Trained) -> Trained:
    """The weights the run itself kept as its best (`loop.best_metric`, the validation loss unless told).

    Those of the last step where it kept none. Raises ValueError naming a best.json that cannot be read.
    """
    record = trained.file.parent / "best" / "best.json"
    try:
        kept = json.loads(record.read_text(encoding="utf-8"))["kept"]
        file = record.parent / str(kept[0]["folder"]) / trained.file.name
    except FileNotFoundError:
        return trained
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError(f"{record}: not readable ({' '.join(str(error).split())})") from None
    return Trained(trained.name, file) if file.is_file() else trained


def base_of(trained: Trained) -> str | None:
    """sha256 of the base a run was trained on; None where no run folder says so.

    Raises ValueError naming a data.json that cannot be read.
    """
    record = trained.file.parent / "data.json"
    try:
        found = json.loads(record.read_text(encoding="utf-8")).get("base")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"{record}: not readable ({' '.join(str(error).split())})") from None
    return None if found is None else str(found)


def _folders_with(folder: Path, file_name: str) -> Iterator[Path]:
    if (folder / file_name).is_file():
        yield folder
    elif not (folder / _RECORD).is_file():  # a run of another kind, or one that has not ended
        for below in folder.iterdir():
            if below.is_dir() and not below.name.startswith("."):
                yield from _folders_with(below, file_name)


def _natural(name: str) -> list[object]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
