"""prepare: photos to pairs, in a folder named by the hash of the photos and the recipe.

The folder is written aside and renamed when it is complete, so it is whole or not there, also when two
processes make the same one. What a pair looks like depends on (seed, photo, variant) alone: any number of
processes, in any order, writes the same bytes.
"""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from pixelpersona.data.metadata import HELDOUT, TRAIN
from pixelpersona.data.pairset import DATA_VERSION, MANIFEST, METADATA, REJECTED, Pair, PairSet
from pixelpersona.data.recipe import PairRecipe, crop, pixelize, vary
from pixelpersona.data.sources import PhotoSource
from pixelpersona.pixel.parallel import choose_num_workers, unordered
from pixelpersona.pixel.photo import PhotoError

__all__ = ["Pair", "PairRecipe", "PairSet", "pixelize", "prepare_pairs"]


@dataclass(frozen=True, slots=True)
class _Job:
    """One photo to be made into pairs; `number` names its files."""

    number: int
    photo_id: str
    digest: str
    split: str
    caption: str | None


_Row = dict[str, Any]  # one line of metadata.jsonl


def prepare_pairs(
    source: PhotoSource,
    recipe: PairRecipe,
    root: Path | str,
    *,
    limit: int | None = None,
    num_workers: int | None = None,
    progress: bool = True,
) -> PairSet:
    """The pairs of a source's photos, made where they are missing: root/pairs-<12 hex digits>/.

    limit: take this many photos, the first of an order given by recipe.seed (so a larger limit keeps the
    photos of a smaller one). num_workers: processes; None takes all cores for many photos, 1 only this one.
    Broken photos are skipped and listed in rejected.jsonl; ValueError when no photo is left.
    """
    choose_num_workers(1, num_workers)  # a wrong number is told before all photos are read
    jobs, rejected = _plan(source, recipe, limit, progress)
    key = _key(recipe, jobs, rejected)
    root = Path(root)
    target = root / f"pairs-{key[:12]}"
    finished = _load_if_valid(target, key)
    if finished is not None:
        return finished
    root.mkdir(parents=True, exist_ok=True)
    aside = root / f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}"
    try:
        for kind in ("photo", "pixel"):
            (aside / kind).mkdir(parents=True)
        made = _make_all(source, recipe, jobs, aside, num_workers, progress)
        rejected = rejected | {job.photo_id: rows for job, rows in made if isinstance(rows, str)}
        rows = [row for _, rows in made if not isinstance(rows, str) for row in rows]
        if not rows:
            photo_id, reason = next(iter(rejected.items()))
            raise ValueError(
                f"{source.name}: none of {len(rejected)} photos can be used; the first: {photo_id}: {reason}"
            )
        _write_lists(aside, key, recipe, rows, rejected)
        _put_in_place(aside, target, key)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return PairSet.load(target)


# What is to be made


def _plan(
    source: PhotoSource, recipe: PairRecipe, limit: int | None, progress: bool
) -> tuple[list[_Job], dict[str, str]]:
    """The chosen photos, sorted by id, with digest and split; and those whose bytes cannot even be read."""
    photo_ids = _first(source.ids(), limit, recipe.seed)
    if not photo_ids:
        raise ValueError(f"{source.name}: no photos")
    jobs: list[_Job] = []
    rejected: dict[str, str] = {}
    for number, photo_id in enumerate(tqdm(photo_ids, "reading photos", disable=not progress, leave=False)):
        try:
            digest, split = source.digest(photo_id), source.split(photo_id)
        except PhotoError as error:
            rejected[photo_id] = error.reason
            continue
        jobs.append(_Job(number, photo_id, digest, split, source.caption(photo_id)))
    return (jobs if source.split_is_given else _fill_both_sides(jobs)), rejected


def _first(photo_ids: Sequence[str], limit: int | None, seed: int) -> list[str]:
    if limit is None:
        return sorted(photo_ids)
    if limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")

    def place(photo_id: str) -> bytes:
        return hashlib.sha256(f"{seed}:{photo_id}".encode("utf-8", "surrogatepass")).digest()

    return sorted(sorted(photo_ids, key=place)[:limit])


def _fill_both_sides(jobs: list[_Job]) -> list[_Job]:
    """With few photos the hashes may leave one side empty: then one photo moves there."""
    splits = {job.split for job in jobs}
    if len(jobs) < 2 or len(splits) == 2:
        return jobs
    moved = min(jobs, key=lambda job: job.digest)
    other = HELDOUT if moved.split == TRAIN else TRAIN
    return [
        _Job(job.number, job.photo_id, job.digest, other if job is moved else job.split, job.caption)
        for job in jobs
    ]


def _key(recipe: PairRecipe, jobs: Sequence[_Job], rejected: Mapping[str, str]) -> str:
    photos = [(job.photo_id, job.digest, job.split, job.caption) for job in jobs]
    text = json.dumps([DATA_VERSION, asdict(recipe), photos, sorted(rejected)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _load_if_valid(folder: Path, key: str) -> PairSet | None:
    """The finished set in a folder; None when there is none, or one that lost or changed a file."""
    try:
        pair_set = PairSet.load(folder)
    except ValueError:
        return None
    return pair_set if pair_set.key == key else None


# Making it


def _make_all(
    source: PhotoSource,
    recipe: PairRecipe,
    jobs: Sequence[_Job],
    folder: Path,
    num_workers: int | None,
    progress: bool,
) -> list[tuple[_Job, list[_Row] | str]]:
    """Every job's rows, or the reason why its photo cannot be used, in the jobs' order."""
    results: dict[int, list[_Row] | str] = {}
    make = _Maker(source, recipe, folder)
    workers = choose_num_workers(len(jobs), num_workers)
    with tqdm(total=len(jobs), desc="photos to pairs", unit="photo", disable=not progress) as bar:
        for number, rows in unordered(make, jobs, workers):
            results[number] = rows
            bar.update()
    return [(job, results[number]) for number, job in enumerate(jobs)]


@dataclass(frozen=True, slots=True)
class _Maker:
    """Writes one photo's pairs; its rows, or the reason why it cannot be used."""

    source: PhotoSource
    recipe: PairRecipe
    folder: Path

    def __call__(self, job: _Job) -> list[_Row] | str:
        try:
            square = crop(self.source.open(job.photo_id), self.recipe)
        except PhotoError as error:
            return error.reason
        num_variants = self.recipe.variants if job.split == TRAIN else 1
        return [
            _make_variant(square, self.recipe, self.folder, job, variant) for variant in range(num_variants)
        ]


def _make_variant(square: Image.Image, recipe: PairRecipe, folder: Path, job: _Job, variant: int) -> _Row:
    photo = np.asarray(vary(square, recipe, job.photo_id, variant))
    pixel, grid, palette = pixelize(photo, recipe.pixelate)
    row: _Row = {
        "id": job.photo_id + (f"#{variant}" if variant else ""),
        "text": recipe.caption,
        "split": job.split,
        "photo_id": job.photo_id,
        "variant": variant,
        "source_sha256": job.digest,
        "source_text": job.caption,
        "grid": asdict(grid) if grid else None,
        "palette": ["#" + bytes(color).hex() for color in palette.rgb],
    }
    for kind, image in (("photo", photo), ("pixel", pixel)):
        name = f"{kind}/{job.number:06d}-{variant}.png"
        data = _png(image)
        (folder / name).write_bytes(data)
        row |= {f"{kind}_file_name": name, f"{kind}_bytes": len(data)}
        row[f"{kind}_sha256"] = hashlib.sha256(data).hexdigest()
    row["sha256"] = hashlib.sha256((row["photo_sha256"] + row["pixel_sha256"]).encode()).hexdigest()
    return row


def _png(image: NDArray[np.uint8]) -> bytes:
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


# Putting it in place


def _json_line(value: Mapping[str, Any]) -> bytes:
    # A file name that is no valid Unicode has lone surrogates; escaped as \udcxx they are valid JSON.
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def _write_lists(
    folder: Path, key: str, recipe: PairRecipe, rows: Sequence[_Row], rejected: Mapping[str, str]
) -> None:
    lines = b"".join(_json_line(row) for row in rows)
    (folder / METADATA).write_bytes(lines)
    reasons = [{"id": photo_id, "reason": reason} for photo_id, reason in sorted(rejected.items())]
    (folder / REJECTED).write_bytes(b"".join(_json_line(row) for row in reasons))
    manifest = {
        "data_version": DATA_VERSION,
        "key": key,
        "metadata_sha256": hashlib.sha256(lines).hexdigest(),
        "num_pairs": {split: sum(row["split"] == split for row in rows) for split in (TRAIN, HELDOUT)},
        "num_rejected": len(rejected),
        "recipe": asdict(recipe),
    }
    (folder / MANIFEST).write_text(
        json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def _put_in_place(aside: Path, target: Path, key: str) -> None:
    """Renames the finished folder. Another process may have been faster: its folder is used, if whole."""
    for _ in range(3):
        try:
            aside.rename(target)  # fails when the target is a folder with anything in it
            return
        except OSError:
            if _load_if_valid(target, key) is not None:
                return
            _remove(target)
    raise ValueError(f"{target}: cannot be replaced by the data set prepared anew")


def _remove(folder: Path) -> None:
    """Takes a damaged folder out of the way in one step, then deletes it."""
    broken = folder.with_name(f".{folder.name}.broken-{secrets.token_hex(4)}")
    with suppress(FileNotFoundError):  # another process was faster
        folder.rename(broken)
    shutil.rmtree(broken, ignore_errors=True)
