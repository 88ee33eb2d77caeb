"""Inspection of all photos before pairs are made: the usable ones, near-duplicates, and the splits.

Splits are decided after decoding, so that a broken photo takes no place in a split. Inspections are cached by
content hash in one file, so that no photo is decoded twice for them.
"""

import hashlib
import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pixelpersona.data.drafts import draft_path, writing
from pixelpersona.data.duplicates import duplicate_groups, fingerprint
from pixelpersona.data.metadata import SPLITS, TEST, TRAIN, VAL
from pixelpersona.data.pairset import DATA_VERSION, seal
from pixelpersona.data.sources import PhotoSource, check_unchanged
from pixelpersona.data.splits import SplitShares, decide_splits, defined_splits
from pixelpersona.files import drafted, parse_json
from pixelpersona.pixel.parallel import choose_num_workers, unordered
from pixelpersona.pixel.photo import PhotoError
from pixelpersona.pixel.photo_formats import HINTS

_INSPECTIONS_PER_MADE_PHOTO = 4  # inspecting this many photos takes as long as making one pair

INSPECTIONS = f"photos-{DATA_VERSION}.json"
"""Name of the file in the cache that holds all inspections."""

Inspection = dict[str, Any]
"""{"size": [width, height] in pixels, "fingerprint": hex}, or {"reason": text} for a broken photo.

A new one also has "temporary": true where the reason may not hold another time; it is then not cached.
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SurveyedPhoto:
    """A usable photo. digest: SHA-256 of its file, hex. fingerprint: see `duplicates.fingerprint`."""

    id: str
    digest: str
    fingerprint: str
    split: str


@dataclass(frozen=True, slots=True)
class Survey:
    """photos: the usable ones, sorted by id. rejected: reasons by photo id."""

    photos: list[SurveyedPhoto]
    rejected: dict[str, str]


def survey(
    source: PhotoSource,
    root: Path,
    *,
    size: int,
    seed: int,
    shares: SplitShares,
    limit: int | None = None,
    max_enlargement: float = math.inf,
    num_workers: int | None = None,
) -> Survey:
    """Inspect the photos of a source, or the first `limit` of them (see `first_photos`); decide splits.

    root: folder of the cache. size: side of the pictures that are made of them, pixels; a photo whose shorter
    side would be enlarged more than max_enlargement times is rejected. num_workers: processes; None chooses.
    Raises ValueError when the source has no photos, a photo changes meanwhile, the cache cannot be written,
    or limit or max_enlargement is below 1.
    """
    if not max_enlargement >= 1:
        raise ValueError(f"dataset.max_enlargement={max_enlargement:g}: accepted 1 or more")
    digests, rejected = _digests(source, first_photos(source, limit, seed))
    inspections = _inspect(source, digests, root, num_workers)
    for photo_id, digest in digests.items():
        inspection = inspections[digest]
        reason = inspection.get("reason") or _too_small(inspection["size"], size, max_enlargement)
        if reason is not None:
            rejected[photo_id] = reason
    ids = [photo_id for photo_id in digests if photo_id not in rejected]
    used = [digests[photo_id] for photo_id in ids]
    prints = [str(inspections[digest]["fingerprint"]) for digest in used]
    given, defined = [source.split(photo_id) for photo_id in ids], defined_splits(source)
    # Near-duplicates matter only where val or test photos are taken from the train photos.
    groups = list(range(len(ids))) if defined >= {VAL, TEST} else duplicate_groups(used, prints)
    splits = decide_splits(given, used, groups, defined, shares)
    return Survey(list(map(SurveyedPhoto, ids, used, prints, splits)), rejected)


def first_photos(source: PhotoSource, limit: int | None, seed: int) -> list[str]:
    """The ids of the first `limit` photos, sorted; None for all.

    Every split that the data set defines gives its share, in an order that is a function of (seed, id), so
    that a small limit leaves none of them empty, and a larger one keeps the photos of a smaller one.
    Raises ValueError when there are no photos or limit is below 1.
    """
    photo_ids = sorted(source.ids())
    if not photo_ids:
        raise ValueError(f"{source.name}: no photos")
    if limit is None:
        return photo_ids
    if limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")

    def place(photo_id: str) -> bytes:
        return hashlib.sha256(f"{seed}:{photo_id}".encode("utf-8", "surrogatepass")).digest()

    groups: dict[str, list[str]] = {split: [] for split in SPLITS}
    for photo_id in sorted(photo_ids, key=place):
        groups[source.split(photo_id) or TRAIN].append(photo_id)
    ranked = [
        (rank / len(group), photo_id) for group in groups.values() for rank, photo_id in enumerate(group)
    ]
    return sorted(photo_id for _, photo_id in sorted(ranked, key=itemgetter(0))[:limit])


def left_out(rejected: Mapping[str, str], num_photos: int, file: Path) -> str:
    """One line: how many photos were left out, the reasons with an example each, and the file of the list."""
    kinds: dict[str, list[str]] = {}
    for photo_id, reason in rejected.items():
        kinds.setdefault(re.sub(r"\d[\d.,x]*", "#", reason), []).append(photo_id)
    reasons = [f"{len(ids)} {rejected[ids[0]]} (such as {ids[0]})" for ids in kinds.values()]
    return f"{len(rejected)} of {num_photos} photos left out: {'; '.join(reasons)}; see {file}"


def _digests(source: PhotoSource, photo_ids: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The digests of the readable files, and the reasons why the others cannot be read, by photo id."""
    digests: dict[str, str] = {}
    rejected: dict[str, str] = {}
    for photo_id in tqdm(photo_ids, "reading photos", unit="photo", leave=False):
        try:
            digests[photo_id] = source.digest(photo_id)
        except PhotoError as error:
            rejected[photo_id] = error.reason
    return digests, rejected


def _too_small(photo_size: Sequence[int], size: int, max_enlargement: float) -> str | None:
    enlargement = size / min(photo_size)
    if enlargement <= max_enlargement:
        return None
    width, height = photo_size
    return (
        f"too small, {width}x{height} pixels would be enlarged {enlargement:.1f} times "
        f"(dataset.max_enlargement={max_enlargement:g})"
    )


@dataclass(frozen=True, slots=True)
class Inspector:
    """Inspects one photo, given as (digest, id)."""

    source: PhotoSource

    def __call__(self, photo: tuple[str, str]) -> Inspection:
        digest, photo_id = photo
        try:
            opened = self.source.open(photo_id)
            inspection: Inspection = {"size": list(opened.size), "fingerprint": fingerprint(opened)}
        except PhotoError as error:
            # Later there may be enough memory, or the package that reads the format.
            is_temporary = isinstance(error.__cause__, MemoryError) or error.reason in HINTS.values()
            inspection = {"reason": error.reason, "temporary": is_temporary}
        check_unchanged(self.source, photo_id, digest)
        return inspection


def _inspect(
    source: PhotoSource, digests: Mapping[str, str], root: Path, num_workers: int | None
) -> dict[str, Inspection]:
    """The inspection for every digest, from the cache or made now."""
    file = root / INSPECTIONS
    cached = _read_cached(file)
    todo = [(digest, photo_id) for photo_id, digest in digests.items() if digest not in cached]
    todo = list(dict(todo).items())  # copies once
    made = unordered(
        Inspector(source), todo, choose_num_workers(len(todo) // _INSPECTIONS_PER_MADE_PHOTO, num_workers)
    )
    bar = tqdm(made, "checking photos", len(todo), unit="photo", disable=not todo)
    new = {todo[number][0]: inspection for number, inspection in bar}
    if kept := {digest: found for digest, found in new.items() if not found.pop("temporary", False)}:
        with writing(root, INSPECTIONS):
            root.mkdir(parents=True, exist_ok=True)
            photos = _read_cached(file) | kept  # another process may have written meanwhile
            with drafted(file, draft_path(file)) as draft:
                text = json.dumps({"photos": photos, "sha256": seal({"photos": photos})})
                draft.write_text(text, encoding="utf-8")
    return cached | new


def read_inspections(file: Path) -> dict[str, Inspection]:
    """The inspections in a file, by digest. Raises ValueError naming it when it is damaged or unreadable."""
    try:
        content = parse_json(file.read_bytes())
        if content["sha256"] == seal(content):
            return dict(content["photos"])
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror or error})") from error
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise ValueError(f"{file}: changed since it was written")


def _read_cached(file: Path) -> dict[str, Inspection]:
    """The inspections in a file; none where it is missing or damaged."""
    try:
        return read_inspections(file) if file.exists() else {}
    except ValueError as error:
        _log.warning("%s; made again", error)
        return {}
