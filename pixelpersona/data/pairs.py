"""Preparation of a pair set: a folder of pairs named by the hash of the photos and the recipe.

The folder is written under a draft name and renamed when it is complete, so it is never seen half-written,
even when two processes make the same one. A pair depends on (recipe, photo, variant) alone: any number of
processes in any order writes the same bytes. Pairs that exist in other sets are linked from there, so that
changing one photo makes one pair.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pixelpersona.data.drafts import draft_path, remove_leftovers, writing
from pixelpersona.data.making import Job, Maker, Row, find_entries, with_keys
from pixelpersona.data.metadata import SPLITS
from pixelpersona.data.pairset import DATA_VERSION, KINDS, MANIFEST, METADATA, REJECTED, PairSet, damage, seal
from pixelpersona.data.recipe import PairRecipe
from pixelpersona.data.sources import PhotoSource
from pixelpersona.data.splits import SplitShares
from pixelpersona.data.survey import survey
from pixelpersona.pixel.parallel import choose_num_workers, unordered

_LINKS_PER_MADE_PHOTO = 100  # linking this many photos takes as long as making one


def prepare_pairs(
    source: PhotoSource,
    recipe: PairRecipe,
    root: Path | str,
    *,
    val_share: float = 0.0,
    test_share: float = 0.0,
    limit: int | None = None,
    max_enlargement: float = math.inf,
    num_workers: int | None = None,
    thorough: bool = False,
) -> PairSet:
    """The pairs of a source's photos in root/pairs-<12 hex digits>/, made if they are missing.

    val_share, test_share: see `SplitShares`. limit, max_enlargement: see `survey`.
    num_workers: processes; None uses all cores for many photos, 1 only this process.
    thorough: check an existing set byte by byte instead of by file sizes, and repair it.
    Photos that cannot be read or are too small are skipped and listed in rejected.jsonl. What killed
    processes left in root is removed. Raises ValueError when no photo can be used, or when root cannot be
    written (existing sets then stay as they are).
    """
    choose_num_workers(1, num_workers)  # reject a wrong number before reading all photos
    root = Path(root)
    remove_leftovers(root)
    surveyed = survey(
        source,
        root,
        size=recipe.size,
        seed=recipe.seed,
        shares=SplitShares(val_share, test_share),
        limit=limit,
        max_enlargement=max_enlargement,
        num_workers=num_workers,
    )
    jobs = [Job(number, photo, source.caption(photo.id)) for number, photo in enumerate(surveyed.photos)]
    rejected = surveyed.rejected
    key = _key(recipe, jobs, rejected)
    target = root / f"pairs-{key[:12]}"
    finished = _load_if_valid(target, key, thorough)
    if finished is not None:
        return finished
    draft = draft_path(target)
    try:
        with writing(root, "pairs"):
            for kind in KINDS:
                (draft / kind).mkdir(parents=True)
        rows, broken = _make_all(Maker(source, recipe, draft, root), jobs, num_workers)
        rejected = rejected | broken
        if not rows:
            photo_id, reason = next(iter(rejected.items()))
            raise ValueError(
                f"{source.name}: none of {len(rejected)} photos can be used; the first: {photo_id}: {reason}"
            )
        with writing(root, "pairs"):
            _write_lists(draft, key, recipe, rows, rejected)
            _put_in_place(draft, target, key, thorough)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return PairSet.load(target)


def _key(recipe: PairRecipe, jobs: Sequence[Job], rejected: Mapping[str, str]) -> str:
    photos = [(job.photo.id, job.photo.digest, job.photo.split, job.caption) for job in jobs]
    text = json.dumps([DATA_VERSION, asdict(recipe), photos, sorted(rejected)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _load_if_valid(folder: Path, key: str, thorough: bool) -> PairSet | None:
    """The finished set in a folder; None when there is none, or when a file is missing or changed."""
    try:
        pair_set = PairSet.load(folder)
    except ValueError:
        return None
    if pair_set.key != key or (thorough and any(damage(folder))):
        return None
    return pair_set


def _make_all(maker: Maker, jobs: Sequence[Job], num_workers: int | None) -> tuple[list[Row], dict[str, str]]:
    """All rows in the jobs' order; and the reasons why photos are rejected, by photo id."""
    jobs = with_keys(maker.recipe, jobs)
    found = find_entries(maker.root, (key for job in jobs for key in job.keys))
    jobs = [replace(job, found={key: found[key] for key in job.keys if key in found}) for job in jobs]
    to_make = sum(len(job.found) < len(job.keys) for job in jobs)
    worth = to_make + (len(jobs) - to_make) // _LINKS_PER_MADE_PHOTO
    made = unordered(maker, jobs, choose_num_workers(worth, num_workers))
    results = sorted(tqdm(made, "photos to pairs", len(jobs), unit="photo"), key=itemgetter(0))
    rows = [row for _, result in results if not isinstance(result, str) for row in result]
    return rows, {jobs[number].photo.id: result for number, result in results if isinstance(result, str)}


def _json_line(value: Mapping[str, Any]) -> bytes:
    # A file name that is not valid Unicode has lone surrogates; escaped as \udcxx they are valid JSON.
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def _write_lists(
    folder: Path, key: str, recipe: PairRecipe, rows: Sequence[Row], rejected: Mapping[str, str]
) -> None:
    reasons = [{"id": photo_id, "reason": reason} for photo_id, reason in sorted(rejected.items())]
    lines, reason_lines = (b"".join(map(_json_line, values)) for values in (rows, reasons))
    (folder / METADATA).write_bytes(lines)
    (folder / REJECTED).write_bytes(reason_lines)
    manifest = {
        "data_version": DATA_VERSION,
        "key": key,
        "metadata_sha256": hashlib.sha256(lines).hexdigest(),
        "rejected_sha256": hashlib.sha256(reason_lines).hexdigest(),
        "num_pairs": {split: sum(row["split"] == split for row in rows) for split in SPLITS},
        "num_rejected": len(rejected),
        "recipe": asdict(recipe),
    }
    manifest["sha256"] = seal(manifest)
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def _put_in_place(draft: Path, target: Path, key: str, thorough: bool) -> None:
    """Rename the finished folder. If another process was faster and its folder is valid, use that one."""
    for _ in range(3):
        try:
            draft.rename(target)  # fails when the target is a folder with anything in it
            return
        except OSError:
            if not target.exists():
                raise
            if _load_if_valid(target, key, thorough) is not None:
                return
            broken = draft_path(target)
            with suppress(FileNotFoundError):  # another process was faster
                target.rename(broken)
            shutil.rmtree(broken, ignore_errors=True)
    raise ValueError(f"{target}: cannot be replaced by the new data set")
