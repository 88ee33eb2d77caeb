"""Pixelation of files: one image, one GIF, or a folder of both on all cores."""

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from pixelpersona.files import refusal, whole, write_whole
from pixelpersona.pixel.clip import Frames, open_clip
from pixelpersona.pixel.frames import MAX_GIF_SIDE, save_gif, snap_clip
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.listing import list_files
from pixelpersona.pixel.parallel import choose_num_workers, unordered
from pixelpersona.pixel.photo import MAX_PIXELS, PhotoError, read_photo
from pixelpersona.pixel.photo_formats import CLIP_SUFFIXES, PHOTO_SUFFIXES
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pixelator import Images, Pixelator, resized
from pixelpersona.pixel.snap import save_png
from pixelpersona.pixel.transparency import check_visible, has_visible, leave_index_free

REJECTED = "rejected.jsonl"

_FIT_SIDE = 512  # largest side of the images that a shared palette is fitted to, to limit memory


@dataclass(frozen=True, slots=True)
class FileJob:
    """A file to read and the .png or, for a clip, .gif file to write."""

    source: Path
    target: Path


@dataclass(frozen=True, slots=True)
class FilePixelator:
    """`FilePixelator(recipe)(job)` writes one file; returns None, or the reason why the source was rejected.

    scale: pixels per cell in the file. fitted: a pixelator with a palette that all files share; None fits one
    to each file. `clean_up` is not applied to clips, because its changes flicker from frame to frame.
    """

    recipe: Pixelation
    scale: int = 1
    fitted: Pixelator | None = None

    def __call__(self, job: FileJob) -> str | None:
        try:
            is_clip = job.source.suffix.lower() in CLIP_SUFFIXES
            save = self._clip(job.source) if is_clip else self._image(job.source)
            with whole(job.target) as draft:
                save(draft)
        except (PhotoError, ValueError, MemoryError) as error:
            if _concerns_all_files(error):
                raise
            return _reason(error)
        except OSError as error:  # specific to this file: its name is too long, or the name of a folder
            return f"cannot be written as {job.target.name} ({error.strerror})"
        return None

    def _image(self, source: Path) -> Callable[[Path], None]:
        """Draw the image; returns the function that writes it to a file."""
        image = read_photo(source, keep_alpha=True)
        pixelator = self.fitted or Pixelator(self.recipe)
        _check_output(pixelator.grid(image), self.scale)
        made = pixelator.apply(image) if self.fitted else pixelator.fit_apply(image)
        (snapped,), opaque = leave_index_free([made.snapped], None if made.drawn is None else [made.drawn])
        return lambda file: save_png(snapped, file, self.scale, opaque=opaque[0] if opaque else None)

    def _clip(self, source: Path) -> Callable[[Path], None]:
        """Draw the clip; returns the function that writes it to a file."""
        if self.recipe.dither != "none":
            raise ValueError(
                f"pixelate.dither={self.recipe.dither}: accepted none for a clip, where a dither flickers"
            )
        clip = open_clip(source)
        pixelator = self.fitted or Pixelator(self.recipe)
        grid = pixelator.grid(next(iter(clip.frames)))
        _check_output(grid, self.scale, len(clip.frames), MAX_GIF_SIDE)
        if not self.fitted:
            pixelator.fit(_not_empty(clip.frames, self.recipe.alpha))
        drawn, masks = snap_clip(
            (resized(frame, grid) for frame in clip.frames),
            grid,
            pixelator.palette,
            self.recipe.downsample,
            self.recipe.alpha,
            pixelator.clarified if pixelator.recipe.changes_image else None,
        )
        snapped, opaque = leave_index_free(drawn, masks)
        return lambda file: save_gif(snapped, clip.durations, file, self.scale, clip.loop, opaque)


def fit_file(recipe: Pixelation, source: Path) -> Pixelator:
    """The fitted pixelator that `FilePixelator(recipe)` uses for this file.

    Raises PhotoError when it cannot be read, ValueError when it has no cell, too many, or no opaque pixel.
    """
    frames, pixelator = _frames(source), Pixelator(recipe)
    _check_output(pixelator.grid(next(iter(frames))), 1, len(frames))
    return pixelator.fit(_not_empty(frames, recipe.alpha))


def plan_folder(source: Path, target: Path) -> tuple[list[FileJob], str]:
    """A job for every image and GIF below a folder, sorted by path, and one line on what is left out.

    Hidden files and those inside `target` are skipped. A file becomes <name>.png or <name>.gif. Files that
    would get the same name keep their suffix in it, as in a.jpg.png.
    Raises ValueError when there is none, or when `target` is or contains the folder.
    """
    inside, outside = Path(os.path.realpath(source)), Path(os.path.realpath(target))
    if inside == outside:
        raise ValueError(f"out={target}: is the folder of the photos; accepted another folder")
    if inside.is_relative_to(outside):
        raise ValueError(f"out={target}: contains the folder photo={source}; accepted a folder that does not")
    found = list_files(source, skip=target)
    accepted = PHOTO_SUFFIXES | CLIP_SUFFIXES
    files = sorted(Path(name) for name in found.files if Path(name).suffix.lower() in accepted)
    left_out = found.left_out([file.as_posix() for file in files])
    if not files:
        reasons = "; ".join(filter(None, [f"accepted {', '.join(sorted(accepted))}", left_out]))
        raise ValueError(f"photo={source}: no picture in this folder; {reasons}")
    jobs = [FileJob(source / file, target / name) for file, name in _target_names(files).items()]
    return jobs, left_out


def _target_names(files: Sequence[Path]) -> dict[Path, Path]:
    """file -> the name of its result; no two are equal."""
    ending = {file: ".gif" if file.suffix.lower() in CLIP_SUFFIXES else ".png" for file in files}
    short = {file: file.with_suffix(ending[file]) for file in files}
    names = dict(short)
    while True:  # repeat: the longer name of a.jpg is a.jpg.png, which is also the short name of a.jpg.png
        wanted = Counter(str(name).casefold() for name in names.values())
        alike = [file for file in files if wanted[str(names[file]).casefold()] > 1]
        longer = {
            file: file.with_name(file.name + ending[file]) for file in alike if names[file] == short[file]
        }
        if not longer:
            return names
        names |= longer


def fit_shared(recipe: Pixelation, jobs: Sequence[FileJob]) -> Pixelator:
    """A pixelator with one palette for all files, each with equal weight; a clip counts as one frame.

    Files that cannot be used are skipped (`pixelate_folder` reports them), and the order of the jobs does not
    matter. Raises ValueError when no file can be used.
    """
    pixelator = Pixelator(recipe)
    images: list[NDArray[np.uint8]] = []
    skipped: list[str] = []
    for job in tqdm(
        sorted(jobs, key=lambda job: job.source), desc="shared palette", unit="picture", leave=False
    ):
        try:
            images.append(_small(job.source, pixelator))
        except (PhotoError, ValueError, MemoryError) as error:
            skipped.append(f"{job.source}: {_reason(error)}")
    if not images:
        raise ValueError(f"none of {len(jobs)} pictures can be used; the first: {skipped[0]}")
    return pixelator.fit(images)


def pixelate_folder(
    jobs: Sequence[FileJob],
    pixelate: FilePixelator,
    target: Path,
    *,
    num_workers: int | None = None,
) -> dict[Path, str]:
    """Draw all files; rejected ones are listed in target/rejected.jsonl and returned, file -> reason.

    The written bytes do not depend on the number of workers or the order of the jobs. An error in one file
    does not end the run. Raises ValueError when the disk is full or not writable.
    """
    reasons: dict[Path, str] = {}
    draw = partial(_reason_or_none, pixelate)
    try:
        with tqdm(total=len(jobs), desc="pictures to pixel art", unit="picture") as bar:
            for number, reason in unordered(draw, jobs, choose_num_workers(len(jobs), num_workers)):
                if reason is not None:
                    reasons[jobs[number].source] = reason
                bar.update()
    except BaseException:  # a full disk, Ctrl-C: keep what is known so far
        if reasons:
            with suppress(ValueError):
                _write_rejected(reasons, target)
        raise
    return _write_rejected(reasons, target)


def _write_rejected(reasons: dict[Path, str], target: Path) -> dict[Path, str]:
    """Write target/rejected.jsonl; returns its rows, file -> reason, sorted."""
    rejected = {file: reasons[file] for file in sorted(reasons)}
    lines = [json.dumps({"id": str(f), "reason": r}, ensure_ascii=False) for f, r in rejected.items()]
    text = "".join(line + "\n" for line in lines)
    write_whole(target / REJECTED, text.encode("utf-8", "backslashreplace"))
    return rejected


def _reason_or_none(pixelate: FilePixelator, job: FileJob) -> str | None:
    """`pixelate(job)`, which also returns a reason for unexpected errors."""
    try:
        return pixelate(job)
    except Exception as error:
        if _concerns_all_files(error):
            raise
        return f"{type(error).__name__}: {error}"


def _concerns_all_files(error: Exception) -> bool:
    """Whether `files.whole` raised the error because the disk is full or not writable."""
    return isinstance(error, ValueError) and error.__cause__ is not None and bool(refusal(error.__cause__))


def _reason(error: Exception) -> str:
    """Why a file cannot be used, in one line."""
    if isinstance(error, PhotoError):
        return error.reason
    return "not enough memory to draw it" if isinstance(error, MemoryError) else str(error)


def _check_output(grid: Grid, scale: int, num_frames: int = 1, max_side: int = MAX_PIXELS) -> None:
    """Raise ValueError naming the accepted scale, before a file with too many pixels is drawn."""
    columns, rows = grid.columns, grid.rows
    accepted = min(math.isqrt(MAX_PIXELS // (columns * rows * num_frames)), max_side // max(columns, rows))
    frames = f" in {num_frames} frames" if num_frames > 1 else ""
    if accepted < 1:
        side = f", {max_side} a side" if max_side < MAX_PIXELS else ""
        limit = f"up to {MAX_PIXELS / 1e6:g} million cells{side}"
        raise ValueError(f"{columns}x{rows} cells{frames}: accepted {limit}; give larger cells")
    if scale > accepted:
        size = f"{columns * scale}x{rows * scale} pixels{frames}"
        raise ValueError(f"scale={scale}: {size}; accepted 1 to {accepted} for {columns}x{rows} cells")


def _frames(source: Path) -> Images:
    """The image, RGB or RGBA, or all frames of a clip."""
    if source.suffix.lower() in CLIP_SUFFIXES:
        return open_clip(source).frames
    return [read_photo(source, keep_alpha=True)]


def _not_empty(frames: Images, alpha: float) -> Images:
    """The frames with an opaque pixel, or all frames if there is none, so that the fit raises its error."""
    seen = frozenset(number for number, frame in enumerate(frames) if has_visible(frame, alpha))
    return frames.only(seen) if seen and isinstance(frames, Frames) else frames


def _small(file: Path, pixelator: Pixelator) -> NDArray[np.uint8]:
    """The image, or the first frame of a clip in which something is visible, reduced to at most 512 a side.

    A long image stays larger, so that its short side still has a cell.
    Raises PhotoError when it cannot be read, ValueError when it has no cell or nothing is visible.
    """
    frames, alpha = _frames(file), pixelator.recipe.alpha
    grid = pixelator.grid(next(iter(frames)))
    _check_output(grid, 1, len(frames))
    image = Image.fromarray(next(iter(_not_empty(frames, alpha))))
    side = max(_FIT_SIDE, math.ceil(max(image.size) * grid.cell / min(image.size)))
    image.thumbnail((side, side), Image.Resampling.BOX)
    small = np.asarray(image)
    pixelator.grid(small)
    check_visible(small, alpha)
    return small
