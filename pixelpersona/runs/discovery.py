"""Finding trained weights below a folder of runs."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pixelpersona.runs.digests import file_sha256
from pixelpersona.runs.reading import read_record

_RECORD = "metrics.jsonl"  # every run folder has it from the first step on


@dataclass(frozen=True, slots=True)
class TrainedWeights:
    """The weights of a run.

    name: the run's folder relative to the folder of runs ("lora-r4", "ranks/lora-r8").
    """

    name: str
    file: Path

    @property
    def sha256(self) -> str:
        """Digest of the file's bytes, lower-case hex."""
        return file_sha256(self.file)


def find_trained(runs: Path, file_name: str) -> list[TrainedWeights]:
    """Every run below `runs`, at any depth, with a file of that name; lora-r8 sorts before lora-r16.

    Folders inside a run (best/, ema/, checkpoints/) are not runs of their own.
    """
    found = []
    for folder in _folders_with(runs, file_name):
        name = folder.name if folder == runs else folder.relative_to(runs).as_posix()
        found.append(TrainedWeights(name, folder / file_name))
    return sorted(found, key=lambda trained: _natural(trained.name))


def best_weights(trained: TrainedWeights) -> TrainedWeights:
    """The weights that the run kept as its best by `loop.best_metric`; the last ones where it kept none.

    Raises ValueError naming a best.json that cannot be read.
    """
    record = trained.file.parent / "best" / "best.json"
    try:
        kept = json.loads(record.read_text(encoding="utf-8"))["kept"]
        file = record.parent / str(kept[0]["folder"]) / trained.file.name
    except FileNotFoundError:
        return trained
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError(f"{record}: not readable ({' '.join(str(error).split())})") from None
    return TrainedWeights(trained.name, file) if file.is_file() else trained


def base_of(trained: TrainedWeights) -> str | None:
    """sha256 of the base that a run was trained on; None where the run folder does not say.

    Raises ValueError naming a data.json that cannot be read.
    """
    found = read_record(trained.file.parent / "data.json", dict).get("base")
    return None if found is None else str(found)


def _folders_with(folder: Path, file_name: str) -> Iterator[Path]:
    if (folder / file_name).is_file():
        yield folder
    elif not (folder / _RECORD).is_file():  # a run of another method, or an unfinished one
        for below in folder.iterdir():
            if below.is_dir() and not below.name.startswith("."):
                yield from _folders_with(below, file_name)


def _natural(name: str) -> list[object]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
