"""The pairs of one photo: reused from an existing set, found by content key, or made now.

A pair depends only on the recipe, the photo's bytes and, for augmented variants, on (seed, photo id,
variant). An entry made for one set can therefore be reused by every set that has the same key.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pixelpersona.data.drafts import writing
from pixelpersona.data.metadata import TRAIN
from pixelpersona.data.pairset import DATA_VERSION, KINDS, read_rows
from pixelpersona.data.recipe import PairRecipe, vary
from pixelpersona.data.sources import PhotoSource, check_unchanged
from pixelpersona.data.survey import SurveyedPhoto
from pixelpersona.pixel.framing import crop_square
from pixelpersona.pixel.photo import PhotoError
from pixelpersona.pixel.pixelator import pixelize

Row = dict[str, Any]
"""One line of metadata.jsonl."""

_ART = ("grid", "palette", *(f"{kind}_{key}" for kind in KINDS for key in ("file_name", "bytes", "sha256")))
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a finished set: its folder, and the part of its row that describes the pictures."""

    folder: Path
    art: Row


@dataclass(frozen=True, slots=True)
class Job:
    """One photo to make pairs of.

    number: names its files. keys: content key of each variant.
    found: the entries that exist in other sets, by key.
    """

    number: int
    photo: SurveyedPhoto
    caption: str | None
    keys: tuple[str, ...] = ()
    found: Mapping[str, Entry] = field(default_factory=dict)


def with_keys(recipe: PairRecipe, jobs: Iterable[Job]) -> list[Job]:
    """The jobs with the content keys of their variants: SHA-256 of code version, photo bytes and settings.

    Caption and split are not part of a key, because they change a row but no picture.
    """
    settings = [DATA_VERSION, recipe.size, recipe.framing, asdict(recipe.pixelate)]
    plain = json.dumps(settings, sort_keys=True)
    varied = json.dumps([*settings, asdict(recipe.augment), recipe.seed], sort_keys=True)

    def key(job: Job, variant: int) -> str:
        parts = [varied, job.photo.digest, job.photo.id, variant] if variant else [plain, job.photo.digest]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def keys(job: Job) -> tuple[str, ...]:
        return tuple(
            key(job, variant) for variant in range(recipe.variants if job.photo.split == TRAIN else 1)
        )

    return [replace(job, keys=keys(job)) for job in jobs]


def find_entries(root: Path, wanted: Iterable[str]) -> dict[str, Entry]:
    """The wanted entries that the finished sets in a folder have. Damaged sets are skipped."""
    missing = set(wanted)
    found: dict[str, Entry] = {}
    for folder in sorted(root.glob("pairs-*")):
        if not missing:
            break
        try:
            rows = read_rows(folder)
        except ValueError:
            continue
        for row in rows:
            if row["entry"] in missing:
                missing.discard(row["entry"])
                found[row["entry"]] = Entry(folder, {name: row[name] for name in _ART})
    return found


@dataclass(frozen=True, slots=True)
class Maker:
    """Writes one photo's pairs into a folder; returns their rows, or the reason why the photo is rejected.

    root: the cache folder, named in the ValueError when a file cannot be written.
    """

    source: PhotoSource
    recipe: PairRecipe
    folder: Path
    root: Path

    def __call__(self, job: Job) -> list[Row] | str:
        rows: list[Row] = []
        square: Image.Image | None = None
        for variant, key in enumerate(job.keys):
            existing = job.found.get(key)
            art = self._reuse(existing, job, variant) if existing else None
            if art is None:
                try:
                    square = square or self._crop(job)
                except PhotoError as error:
                    return error.reason
                art = self._make(square, job, variant)
            rows.append(_row(self.recipe, job, variant, key, art))
        return rows

    def _crop(self, job: Job) -> Image.Image:
        photo = self.source.open(job.photo.id)
        check_unchanged(self.source, job.photo.id, job.photo.digest)
        return crop_square(photo, self.recipe.size, self.recipe.framing)

    def _reuse(self, entry: Entry, job: Job, variant: int) -> Row | None:
        """Link the pictures of an existing entry; None, and one line in the log, when one is damaged."""
        pictures: list[tuple[Path, bytes]] = []
        for kind in KINDS:
            file = entry.folder / entry.art[f"{kind}_file_name"]
            try:
                data = file.read_bytes()
            except OSError:
                data = b""
            if hashlib.sha256(data).hexdigest() != entry.art[f"{kind}_sha256"]:
                _log.warning("%s: missing or damaged, made again", file)
                return None
            pictures.append((file, data))
        art = dict(entry.art)
        for kind, (file, data) in zip(KINDS, pictures, strict=True):
            art[f"{kind}_file_name"] = _file_name(kind, job, variant)
            new = self.folder / art[f"{kind}_file_name"]
            with writing(self.root, "pairs"):
                try:
                    os.link(file, new)
                except OSError:  # the file system has no hard links, or the file has too many
                    new.write_bytes(data)
        return art

    def _make(self, square: Image.Image, job: Job, variant: int) -> Row:
        photo = np.asarray(vary(square, self.recipe, job.photo.id, variant))
        pixel, grid, palette = pixelize(photo, self.recipe.pixelate)
        art: Row = {
            "grid": asdict(grid) if grid else None,
            "palette": ["#" + bytes(color).hex() for color in palette.rgb],
        }
        for kind, image in (("photo", photo), ("pixel", pixel)):
            name, buffer = _file_name(kind, job, variant), BytesIO()
            Image.fromarray(image).save(buffer, "PNG")
            data = buffer.getvalue()
            with writing(self.root, "pairs"):
                (self.folder / name).write_bytes(data)
            art |= {f"{kind}_file_name": name, f"{kind}_bytes": len(data)}
            art[f"{kind}_sha256"] = hashlib.sha256(data).hexdigest()
        return art


def _file_name(kind: str, job: Job, variant: int) -> str:
    return f"{kind}/{job.number:06d}-{variant}.png"


def _row(recipe: PairRecipe, job: Job, variant: int, key: str, art: Row) -> Row:
    digests = art["photo_sha256"] + art["pixel_sha256"]
    return {
        "id": job.photo.id + (f"#{variant}" if variant else ""),
        "text": recipe.caption,
        "split": job.photo.split,
        "photo_id": job.photo.id,
        "variant": variant,
        "source_sha256": job.photo.digest,
        "source_fingerprint": job.photo.fingerprint,
        "source_text": job.caption,
        "entry": key,
        **{name: art[name] for name in _ART},
        "sha256": hashlib.sha256(digests.encode()).hexdigest(),
    }
