"""Checks every file of a cache against its recorded digest. Read-only."""

from dataclasses import dataclass
from pathlib import Path

from pixelpersona.data.pairset import DATA_VERSION, MANIFEST, METADATA, damage, seal
from pixelpersona.data.shards import shard_damage
from pixelpersona.data.survey import INSPECTIONS, read_inspections
from pixelpersona.files import parse_json


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of a check.

    num_sets, num_pairs, num_encoded: entries checked, damaged or not.
    damaged: one line per damaged entry, naming its file.
    """

    num_sets: int
    num_pairs: int
    num_encoded: int
    damaged: tuple[str, ...]

    def summary(self) -> str:
        return f"{self.num_pairs} pairs in {self.num_sets} sets, {self.num_encoded} encoded entries"


def verify_cache(root: Path) -> Verdict:
    """Read every pair set, the inspections of photos, and every shard of latents and text states in root.

    Sets of other data versions are skipped, because they are never used. Raises ValueError when root is not a
    folder.
    """
    if not root.is_dir():
        raise ValueError(f"paths.cache={root}: no such folder")
    folders = sorted(root.glob("pairs-*"))
    sets = [folder for folder in folders if folder.is_dir() and not _is_of_other_version(folder)]
    damaged = [line for folder in sets for line in damage(folder)]
    if (root / INSPECTIONS).exists():
        try:
            read_inspections(root / INSPECTIONS)
        except ValueError as error:
            damaged.append(str(error))
    num_encoded = 0
    for file in sorted(root.glob("latents-*/*.safetensors")):
        num_entries, lines = shard_damage(file)
        num_encoded += num_entries
        damaged += lines
    return Verdict(len(sets), sum(map(_num_pairs, sets)), num_encoded, tuple(damaged))


def _is_of_other_version(folder: Path) -> bool:
    """Whether an intact manifest has another version (version 1 had no seal); a changed one is damage."""
    try:
        manifest = parse_json((folder / MANIFEST).read_bytes())
        version = int(manifest["data_version"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    expected = None if version == 1 else seal(manifest)
    return version != DATA_VERSION and manifest.get("sha256") == expected


def _num_pairs(folder: Path) -> int:
    try:
        return (folder / METADATA).read_bytes().count(b"\n")
    except OSError:
        return 0
