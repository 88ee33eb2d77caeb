"""A tensor cache by content key, in files (shards) of up to 256 entries.

A shard is written under a draft name, renamed, and never changed; its name contains the hash of its index.
Any number of processes can therefore read and add at the same time; at worst an entry is stored twice.
200,000 entries are 800 files.
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

from pixelpersona.data.drafts import draft_path, writing
from pixelpersona.files import drafted, parse_json

SHARD_ENTRIES = 256
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Index:
    """Header of a shard: digest of what made its entries, their keys, and a digest of each entry."""

    made_by: str
    keys: tuple[str, ...]
    sha256: tuple[str, ...]

    def text(self) -> str:
        return json.dumps([self.made_by, self.keys, self.sha256])

    def file_name(self, kind: str) -> str:
        return f"{kind}-{hashlib.sha256(self.text().encode()).hexdigest()[:16]}.safetensors"


class Shards:
    """The entries of one kind ("latents", "text") in one folder, all of one shape.

    made_by: digest of code version and weights; a shard with another one counts as damaged.
    """

    def __init__(self, folder: Path, kind: str, made_by: str) -> None:
        self.folder, self.kind, self.made_by = folder, kind, made_by

    def gather(self, keys: Sequence[str]) -> tuple[Tensor | None, dict[str, list[int]]]:
        """(float32 [len(keys), ...] with the cached rows filled in, positions of each missing key).

        The tensor is None when no key is cached. Every row is checked; a damaged shard is logged in one line
        and replaced by a shard of its undamaged rows. Raises ValueError when the folder cannot be written.
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
        """(key, row) of the missing keys that a shard has, undamaged."""
        try:
            index = _read_index(file)
            if index.made_by != self.made_by:
                raise ValueError("made by another encoder or version")
            wanted = [place for place, key in enumerate(index.keys) if key in missing]
            rows = _read_rows(file, index) if wanted else torch.empty(0)
        except FileNotFoundError:
            return  # another process has just repaired it
        except OSError as error:
            _log.warning("%s: cannot be read (%s), made again", file, error.strerror or error)
            return
        except ValueError as error:
            _log.warning("%s: damaged (%s), made again", file, error)
            with suppress(OSError):  # if removal fails, writing fails as well and reports it
                file.unlink()
            return
        if any(_digest(index.keys[place], rows[place]) != index.sha256[place] for place in wanted):
            intact = self._repair(file, index, rows)
            wanted = [place for place in wanted if place in intact]
        yield from ((index.keys[place], rows[place]) for place in wanted)

    def _repair(self, file: Path, index: _Index, rows: Tensor) -> set[int]:
        """Replace a damaged shard by one of its undamaged rows; returns their indices."""
        intact = [p for p, key in enumerate(index.keys) if _digest(key, rows[p]) == index.sha256[p]]
        _log.warning("%s: damaged (%d of %d entries), made again", file, len(rows) - len(intact), len(rows))
        if intact:
            self.add([index.keys[place] for place in intact], rows[intact])
        with writing(self.folder, self.kind):
            file.unlink(missing_ok=True)
        return set(intact)

    def add(self, keys: Sequence[str], values: Tensor) -> None:
        """Store float32 [len(keys), ...] as one shard. Raises ValueError when it cannot be written."""
        values = values.contiguous()
        digests = tuple(_digest(key, row) for key, row in zip(keys, values, strict=True))
        index = _Index(self.made_by, tuple(keys), digests)
        data = save({"values": values}, metadata={"index": index.text()})
        with writing(self.folder, self.kind):
            self.folder.mkdir(parents=True, exist_ok=True)
            file = self.folder / index.file_name(self.kind)
            with drafted(file, draft_path(file)) as draft:
                draft.write_bytes(data)


def shard_damage(file: Path) -> tuple[int, list[str]]:
    """(number of entries, one line per damaged entry); a shard that cannot be read gives (0, one line)."""
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
    """Raises ValueError when it is not the index that the file is named after; OSError when reading fails."""
    try:
        with safe_open(file, framework="pt") as stored:
            text = (stored.metadata() or {}).get("index", "null")
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    try:
        made_by, keys, sha256 = parse_json(text)
        index = _Index(made_by, tuple(keys), tuple(sha256))
    except (ValueError, TypeError) as error:
        raise ValueError("invalid index") from error
    if file.name != index.file_name(file.name.partition("-")[0]):
        raise ValueError("the index does not match the file name")
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
    """SHA-256 of key, dtype, shape and values: safetensors detects a truncated file, but no flipped bit."""
    values = np.ascontiguousarray(row.numpy())
    digest = hashlib.sha256(f"{key} {values.dtype} {values.shape};".encode())
    digest.update(values.data)
    return digest.hexdigest()
