"""The record of the photos that a run was trained on, used to detect leakage into a comparison."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pixelpersona.data.duplicates import find_near
from pixelpersona.data.metadata import TRAIN
from pixelpersona.data.pairset import Pair, PairSet
from pixelpersona.files import parse_json, write_whole

TRAINING_PHOTOS = "train_photos.jsonl"
"""Name of the record, beside the weights."""


@dataclass(frozen=True, slots=True)
class TrainingPhoto:
    """sha256: of the photo's file, hex. fingerprint: see `duplicates.fingerprint`."""

    id: str
    sha256: str
    fingerprint: str


def write_training_photos(folder: Path, pair_set: PairSet) -> None:
    """Record the train photos of a pair set in a run folder."""
    photos = {
        pair.photo_id: TrainingPhoto(pair.photo_id, pair.source_sha256, pair.source_fingerprint)
        for pair in pair_set.pairs(TRAIN)
    }
    # Escaped, because a file name may not be valid Unicode.
    lines = "".join(json.dumps(asdict(photo)) + "\n" for photo in photos.values())
    write_whole(folder / TRAINING_PHOTOS, lines)


def read_training_photos(folder: Path) -> list[TrainingPhoto] | None:
    """The photos that the weights in a folder were trained on; None where there is no record.

    Raises ValueError naming the file when it cannot be read.
    """
    file = folder / TRAINING_PHOTOS
    if not file.exists():
        return None
    try:
        rows = [parse_json(line) for line in file.read_bytes().splitlines()]
        photos = [TrainingPhoto(row["id"], row["sha256"], row["fingerprint"]) for row in rows]
        find_near([], [photo.fingerprint for photo in photos])  # raises if they are not fingerprints
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: not a list of photos ({' '.join(str(error).split())})") from None
    return photos


def trained_on(pairs: Sequence[Pair], photos: Sequence[TrainingPhoto]) -> dict[str, str]:
    """The pairs' photos that are training photos or near-duplicates of one.

    Returns id of the pair's photo → id of the training photo.
    """
    by_digest = {photo.sha256: photo.id for photo in photos}
    near = find_near([p.source_fingerprint for p in pairs], [photo.fingerprint for photo in photos])
    found: dict[str, str] = {}
    for pair, index in zip(pairs, near, strict=True):
        copy = by_digest.get(pair.source_sha256, None if index is None else photos[index].id)
        if copy is not None:
            found[pair.photo_id] = copy
    return found
