"""Schema of the group `dataset`."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

DatasetKind = StrEnum("DatasetKind", ["portraits", "folder", "celeba"])


@dataclass(kw_only=True, slots=True)
class DatasetConfig:
    """Photos, their split and their crop.

    kind: portraits (packaged), folder (a folder or zip of your own) or celeba.
    path: folder or zip of photos; null only for the packaged portraits.
    limit: number of photos to use; null for all.
    heldout_share: share of the photos kept out of training when the data set defines no split, 0 to 1.
    num_tuning: number of training photos to hold out for tuning, in place of the data set's own held-out
        photos; null for none.
    framing: tight or wide face crop, or center for the centre square.
    variants: pairs per training photo; the first is plain, the others are augmented.
    mirror: show every training pair mirrored in half of its epochs.
    num_workers: processes that prepare pairs; null for all cores.
    """

    kind: DatasetKind
    path: Path | None
    limit: int | None
    heldout_share: float
    num_tuning: int | None
    framing: str
    variants: int
    mirror: bool
    num_workers: int | None
