"""Finding trained weights below a folder of runs."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pixelpersona.files import read_json
from pixelpersona.runs.digests import file_sha256
from pixelpersona.runs.finished import trained_settings
from pixelpersona.runs.reading import read_record

_RECORD = "metrics.jsonl"  # every run folder has it from the first step on


@dataclass(frozen=True, slots=True)
class TrainedWeights:
    """The weights of a run, or those of another program.

    name: the run's folder relative to the folder of runs ("lora-r4", "ranks/lora-r8"), or derived from the
    file. recorded: the file as results name it, without folders outside the folder of runs.
    """

    name: str
    file: Path
    recorded: str

    @property
    def sha256(self) -> str:
        """Digest of the file's bytes, lower-case hex."""
        return file_sha256(self.file)


def find_trained(runs: Path, file_name: str) -> list[TrainedWeights]:
    """Every run below `runs`, at any depth, with a file of that name; lora-r8 sorts before lora-r16.

    Folders inside a run (best/, ema/, checkpoints/) are not runs of their own. [] without such a folder.
    """
    found = []
    for folder in _folders_with(runs, file_name):
        name = folder.name if folder == runs else folder.relative_to(runs).as_posix()
        file = folder / file_name
        found.append(TrainedWeights(name, file, file.relative_to(runs).as_posix()))
    return sorted(found, key=lambda trained: _natural(trained.name))


def best_weights(trained: TrainedWeights) -> TrainedWeights:
    """The weights that the run kept as its best by `loop.best_metric`; the last ones where it kept none.

    Raises ValueError naming a best.json that cannot be read, or whose weights are missing.
    """
    record = trained.file.parent / "best" / "best.json"
    try:
        file = record.parent / read_json(record, dict)["kept"][0]["folder"] / trained.file.name
    except FileNotFoundError:
        return trained
    except (LookupError, TypeError) as error:
        raise ValueError(f"{record}: not the record of a run's best weights ({error!r})") from None
    if not file.is_file():
        raise ValueError(f"{record}: {file.parent.name} has no {file.name}")
    recorded = trained.recorded.removesuffix(file.name) + file.relative_to(trained.file.parent).as_posix()
    return TrainedWeights(trained.name, file, recorded)


def base_of(trained: TrainedWeights) -> str | None:
    """sha256 of the base that a run was trained on; None where the run folder does not say.

    Raises ValueError naming a data.json that cannot be read.
    """
    found = read_record(trained.file.parent / "data.json", dict).get("base")
    return None if found is None else str(found)


def name_weights(files: Sequence[Path], taken: Sequence[str]) -> list[TrainedWeights]:
    """Weights that are not runs, under a name derived from the file, or from the folder of a run's file.

    A name that is taken, or that an earlier file has, is followed by digits of the file's sha256.
    Raises ValueError naming two files of equal content.
    """
    named: dict[str, TrainedWeights] = {}
    seen: dict[str, Path] = {}
    for file in files:
        is_default = (file.parent / _RECORD).is_file() or file.stem == "pytorch_lora_weights"
        plain = file.resolve().parent.name if is_default else file.stem
        name = re.sub(r"[^\w.-]+", "_", plain).strip("_")
        sha256 = file_sha256(file)
        if sha256 in seen:
            raise ValueError(f"{seen[sha256]} and {file} are the same weights; accepted each once")
        seen[sha256] = file
        if not name or name in taken or name in named:
            name = f"{name or 'lora'}-{sha256[:8]}"
        named[name] = TrainedWeights(name, file, file.name)
    return list(named.values())


def training_of(trained: TrainedWeights) -> tuple[int, str] | None:
    """The seed of a run, and a text that is equal for runs that differ in their seed alone.

    None where the file lies in no run folder or its configuration was not recorded.
    Raises ValueError naming a config.yaml or data.json that cannot be read.
    """
    folder = trained.file.parent
    config = read_record(folder / "config.yaml", dict) if (folder / _RECORD).is_file() else {}
    flat = trained_settings(config)
    seed = flat.pop("loop.seed", None)
    if not isinstance(seed, int):
        return None
    inputs = read_record(folder / "data.json", dict)
    return seed, json.dumps([flat, inputs], sort_keys=True, default=str)


def _folders_with(folder: Path, file_name: str) -> Iterator[Path]:
    if (folder / file_name).is_file():
        yield folder
    # A folder with a record is a run of another method, or an unfinished one.
    elif folder.is_dir() and not (folder / _RECORD).is_file():
        for below in folder.iterdir():
            if below.is_dir() and not below.name.startswith("."):
                yield from _folders_with(below, file_name)


def _natural(name: str) -> list[object]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
