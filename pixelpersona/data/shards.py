"""Tensors by content key, in files of up to 256: an entry is found whoever stored it and beside whatever.

A shard is written once, aside and renamed, and never changed; its name is the hash of its index. So any
number of processes may read and add at once: at worst an entry is there twice. 200,000 entries are 800 files.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pixelpersona.data.writing import aside, writing
from pixelpersona.writing import drafted

__all__ = ["SHARD_ENTRIES", "Shards", "shard_damage"]

SHARD_ENTRIES = 256
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Index:
    """What a shard says of itself: the maker of its entries, their keys, and a digest of each."""

    made_by: str
    keys: tuple[str, ...]
    sha256: tuple[str, ...]

    def text(self) -> str:
        return json.dumps([self.made_by, self.keys, self.sha256])

    def file_name(self, kind: str) -> str:
        return f"{kind}-{hashlib.sha256(self.text().encode()).hexdigest()[:16]}.safetensors"


class Shards:
    """The entries of one kind ("latents", "text") in one folder, all of one maker and of one shape.

    made_by: digest of code version and weights; a shard of another maker counts as damaged.
    """

    def __init__(self, folder: Path, kind: str, made_by: str) -> None:
        self.folder, self.kind, self.made_by = folder, kind, made_by

    def gather(self, keys: Sequence[str]) -> tuple[Tensor | None, dict[str, list[int]]]:
        """(float32 [len(keys), ...] with the rows that are there, the places of the keys that are not).

        The first is None when no key is there. Every row is checked; a damaged shard is one line of the log
        and is replaced by one of its sound rows (ValueError when the folder cannot be written).
        """
        missing: dict[str, list[int]] = {}
        for place, key in enumerate(keys):
            missing.setdefault(key, []).append(place)
        values: Tensor | None = None
        for file in sorted(self.folder.glob(f"{self.kind}-*.safetensors")):
            if not missing:
                break
            for key, row in self._wanted(file, missing):
                values = torch.empty(len(keys), *row.shape) if values is None else values
                values[missing.pop(key)] = row
        return values, missing

    def _wanted(self, file: Path, missing: dict[str, list[int]]) -> Iterator[tuple[str, Tensor]]:
        """The sound rows of a shard that are asked for."""
        try:
            index = _read_index(file)
            if index.made_by != self.made_by:
                raise ValueError("it belongs to other data")
            wanted = [place for place, key in enumerate(index.keys) if key in missing]
            rows = _read_rows(file, index) if wanted else torch.empty(0)
        except FileNotFoundError:
            return  # another process has just mended it
        except OSError as error:
            _log.warning("%s: cannot be read (%s), made again", file, error.strerror or error)
            return
        except ValueError as error:
            _log.warning("%s: damaged (%s), made again", file, error)
            with suppress(
                OSError
            ):  # if it cannot be removed, what is made again cannot be written: told there
                file.unlink()
            return
        if any(_digest(index.keys[place], rows[place]) != index.sha256[place] for place in wanted):
            sound = self._mend(file, index, rows)
            wanted = [place for place in wanted if place in sound]
        yield from ((index.keys[place], rows[place]) for place in wanted)

    def _mend(self, file: Path, index: _Index, rows: Tensor) -> set[int]:
        """Puts a shard of the sound rows in the place of a damaged one; which rows they are."""
        sound = [p for p, key in enumerate(index.keys) if _digest(key, rows[p]) == index.sha256[p]]
        _log.warning("%s: damaged (%d of %d entries), made again", file, len(rows) - len(sound), len(rows))
        if sound:
            self.add([index.keys[place] for place in sound], rows[sound])
        with writing(self.folder, self.kind):
            file.unlink(missing_ok=True)
        return set(sound)

    def add(self, keys: Sequence[str], values: Tensor) -> None:
        """Stores float32 [len(keys), ...]; ValueError, and nothing changed, when it cannot be written."""
        values = values.contiguous()
        digests = tuple(_digest(key, row) for key, row in zip(keys, values, strict=True))
        index = _Index(self.made_by, tuple(keys), digests)
        data = save({"values": values}, metadata={"index": index.text()})
        with writing(self.folder, self.kind):
            self.folder.mkdir(parents=True, exist_ok=True)
            file = self.folder / index.file_name(self.kind)
            with drafted(file, aside(file)) as draft:
                draft.write_bytes(data)


def shard_damage(file: Path) -> tuple[int, list[str]]:
    """(entries of a shard, one line for each damaged one); a shard that cannot be read is one line."""
    try:
        index = _read_index(file)
        rows = _read_rows(file, index)
    except (ValueError, OSError) as error:
        return 0, [f"{file}: damaged ({error})"]
    lines = [
        f"{file}: entry {number} ({key[:12]}): changed since it was written"
        for number, (key, row, sha256) in enumerate(zip(index.keys, rows, index.sha256, strict=True))
        if _digest(key, row) != sha256
    ]
    return len(index.keys), lines


def _read_index(file: Path) -> _Index:
    """ValueError for whatever is not the index that gave the file its name; OSError as reading gives it."""
    try:
        with safe_open(file, framework="pt") as stored:
            text = (stored.metadata() or {}).get("index", "null")
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    try:
        made_by, keys, sha256 = json.loads(text)
        index = _Index(made_by, tuple(keys), tuple(sha256))
    except (ValueError, TypeError) as error:
        raise ValueError("its index is no index") from error
    if file.name != index.file_name(file.name.partition("-")[0]):
        raise ValueError("its index is not the one in its name")
    return index


def _read_rows(file: Path, index: _Index) -> Tensor:
    try:
        with safe_open(file, framework="pt") as stored:
            rows: Tensor = stored.get_tensor("values")
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    if rows.dtype != torch.float32 or rows.ndim < 1 or len(rows) != len(index.keys):
        raise ValueError(f"{tuple(rows.shape)} {rows.dtype} for {len(index.keys)} entries")
    return rows


def _digest(key: str, row: Tensor) -> str:
    """SHA-256 of key, shape and values: the file format itself notices a cut, but no flipped bit."""
    values = np.ascontiguousarray(row.numpy())
    digest = hashlib.sha256(f"{key} {values.dtype} {values.shape};".encode())
    digest.update(values.data)
    return digest.hexdigest()
