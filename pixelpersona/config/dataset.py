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
    val_share: share of the train photos that become val photos where the data set defines no val, 0 to 1.
    test_share: the same for test photos.
    max_enlargement: photos whose shorter side would be enlarged by more than this factor are left out; 1 or
        more.
    framing: portrait (head and shoulders) or tight face crop, or center for the centre square.
    variants: pairs per training photo; the first is plain, the others are augmented.
    mirror: show every training pair mirrored in half of its epochs.
    num_workers: processes that prepare pairs; null for all cores.
    """

    kind: DatasetKind
    path: Path | None
    limit: int | None
    val_share: float
    test_share: float
    max_enlargement: float
    framing: str
    variants: int
    mirror: bool
    num_workers: int | None
