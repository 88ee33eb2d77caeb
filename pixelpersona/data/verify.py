"""Every file of a cache against the digest it was written with. Changes nothing."""

import json
from dataclasses import dataclass
from pathlib import Path

from pixelpersona.data.pairset import DATA_VERSION, MANIFEST, METADATA, damage, seal
from pixelpersona.data.shards import shard_damage

__all__ = ["Verdict", "verify_cache"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """damaged: one line for each damaged entry, naming its file. The numbers count entries, sound or not."""

    num_sets: int
    num_pairs: int
    num_encoded: int
    damaged: tuple[str, ...]

    def summary(self) -> str:
        return f"{self.num_pairs} pairs in {self.num_sets} sets, {self.num_encoded} encoded entries"


def verify_cache(root: Path) -> Verdict:
    """Reads every pair set and every shard of latents and text below root.

    Sets of other code versions are left out: nobody reads them. Raises ValueError when root is not a folder.
    """
    if not root.is_dir():
        raise ValueError(f"paths.cache={root}: no such folder")
    folders = (folder for folder in sorted(root.glob("pairs-*")) if folder.is_dir())
    sets = [folder for folder in folders if not _is_of_other_version(folder)]
    damaged = [line for folder in sets for line in damage(folder)]
    num_encoded = 0
    for file in sorted(root.glob("latents-*/*.safetensors")):
        num_entries, lines = shard_damage(file)
        num_encoded += num_entries
        damaged += lines
    return Verdict(len(sets), sum(map(_num_pairs, sets)), num_encoded, tuple(damaged))


def _is_of_other_version(folder: Path) -> bool:
    """By a manifest that is sound: one whose version alone was changed is damaged. Version 1 had no seal."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        version = int(manifest["data_version"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return version != DATA_VERSION and manifest.get("sha256") in (
        (None,) if version == 1 else (seal(manifest),)
    )


def _num_pairs(folder: Path) -> int:
    try:
        return (folder / METADATA).read_bytes().count(b"\n")
    except OSError:
        return 0
