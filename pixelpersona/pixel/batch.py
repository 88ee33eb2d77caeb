"""Files into pixel-art files: one picture, one GIF, or a folder of both on all cores."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from pixelpersona.pixel.clarify import Clarity
from pixelpersona.pixel.frames import save_gif, snap_clip, snap_transparent_clip
from pixelpersona.pixel.parallel import choose_num_workers, unordered
from pixelpersona.pixel.photo import CLIP_SUFFIXES, PHOTO_SUFFIXES, PhotoError, open_clip, open_photo
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pixelator import Pixelator, resized
from pixelpersona.pixel.snap import save_enlarged_png
from pixelpersona.writing import whole, write_whole

REJECTED = "rejected.jsonl"

_FIT_SIDE = 512  # of the pictures one palette is fitted to: enough for any fit, and they stay small in memory


@dataclass(frozen=True, slots=True)
class FileJob:
    """One file to be read and one to be written, .png or, of a clip, .gif."""

    source: Path
    target: Path


@dataclass(frozen=True, slots=True)
class FilePixelator:
    """`FilePixelator(recipe)(job)` writes one file; None, or the reason why the source cannot be used.

    scale: pixels per cell in the file. fitted: with a palette that all files share; None gives each its own.
    Of a clip, colours are not merged and cells not tidied or brought to agree: what does it to one frame
    flickers over many.
    """

    recipe: Pixelation
    scale: int = 1
    fitted: Pixelator | None = None

    def __call__(self, job: FileJob) -> str | None:
        try:
            clip = job.source.suffix.lower() in CLIP_SUFFIXES
            save = self._clip(job.source) if clip else self._picture(job.source)
        except PhotoError as error:
            return error.reason
        except ValueError as error:  # smaller than one cell, nothing opaque: this picture's own trouble
            return str(error)
        with whole(job.target) as draft:  # a full disk is the trouble of all of them
            save(draft)
        return None

    def _picture(self, source: Path) -> Callable[[Path], None]:
        """Draws it, and gives back what writes it to a file."""
        (image,) = _frames(source)
        made = self.fitted.apply(image) if self.fitted else Pixelator(self.recipe).fit_apply(image)
        return lambda file: save_enlarged_png(made.snapped, file, self.scale, opaque=made.drawn)

    def _clip(self, source: Path) -> Callable[[Path], None]:
        if self.recipe.dither != "none":
            raise ValueError("a clip takes no dither, it would flicker; accepted pixelate.dither=none")
        clip = open_clip(source, keep_alpha=True)
        frames = [np.asarray(frame) for frame in clip.frames]
        pixelator = self.fitted or Pixelator(self.recipe).fit(_not_empty(frames, self.recipe.alpha))
        grid, palette, method = pixelator.grid(frames[0]), pixelator.palette, self.recipe.downsample
        sized = [resized(frame, grid) for frame in frames]
        clear = None if self.recipe.clarity() == Clarity() else pixelator.clear
        opaque = None
        if clip.frames[0].mode == "RGBA":
            visible = self.recipe.alpha
            snapped, opaque = snap_transparent_clip(
                sized, grid, palette=palette, method=method, clear=clear, visible=visible
            )
        else:
            snapped = snap_clip(sized, grid, palette=palette, method=method, clear=clear)
        return lambda file: save_gif(snapped, clip.durations, file, self.scale, clip.loop, opaque)


def fit_file(recipe: Pixelation, source: Path) -> Pixelator:
    """The pixelator that `FilePixelator(recipe)` draws this file with. PhotoError when it cannot be read."""
    return Pixelator(recipe).fit(_not_empty(_frames(source), recipe.alpha))


def plan_folder(source: Path, target: Path) -> list[FileJob]:
    """Every picture and GIF below a folder, in order of name, with its place below `target`.

    A file becomes <name>.png or <name>.gif; where two would become one, both keep their own ending before it.
    Raises ValueError when there is none.
    """
    inside = target.resolve()
    files = [
        path.relative_to(source)
        for path in sorted(source.rglob("*"))
        if path.suffix.lower() in PHOTO_SUFFIXES | CLIP_SUFFIXES
        and path.is_file()
        and not path.resolve().is_relative_to(inside)
    ]
    if not files:
        accepted = ", ".join(sorted(PHOTO_SUFFIXES | CLIP_SUFFIXES))
        raise ValueError(f"photo={source}: no picture in this folder; accepted {accepted}")
    ending = {file: ".gif" if file.suffix.lower() in CLIP_SUFFIXES else ".png" for file in files}
    wanted = Counter(str(file.with_suffix(ending[file])).casefold() for file in files)
    jobs = []
    for file in files:
        name = file.with_suffix(ending[file])
        if wanted[str(name).casefold()] > 1:
            name = file.with_name(file.name + ending[file])
        jobs.append(FileJob(source / file, target / name))
    return jobs


def fit_shared(recipe: Pixelation, jobs: Sequence[FileJob]) -> Pixelator:
    """A pixelator with one palette over all pictures (of a clip its first frame), each counting the same.

    Files that cannot be read do not count, nor does the order of the jobs. Raises ValueError when none can be
    read.
    """
    images = []
    for job in tqdm(
        sorted(jobs, key=lambda job: job.source), desc="one palette", unit="picture", leave=False
    ):
        try:
            images.append(_small(job.source))
        except PhotoError:
            continue  # named when its turn comes to be drawn
    if not images:
        raise ValueError(f"{jobs[0].source.parent}: no picture can be read")
    return Pixelator(recipe).fit(images)


def pixelate_folder(
    jobs: Sequence[FileJob],
    pixelate: FilePixelator,
    target: Path,
    *,
    num_workers: int | None = None,
) -> dict[Path, str]:
    """Draw all files; what cannot be used is listed in target/rejected.jsonl and returned, file → reason.

    The same bytes from any number of workers, in any order of the jobs.
    """
    for job in jobs:
        job.target.parent.mkdir(parents=True, exist_ok=True)
    reasons: dict[Path, str] = {}
    with tqdm(total=len(jobs), desc="pictures to pixel art", unit="picture") as bar:
        for number, reason in unordered(pixelate, jobs, choose_num_workers(len(jobs), num_workers)):
            if reason is not None:
                reasons[jobs[number].source] = reason
            bar.update()
    rejected = {file: reasons[file] for file in sorted(reasons)}
    lines = [json.dumps({"id": str(f), "reason": r}, ensure_ascii=False) for f, r in rejected.items()]
    target.mkdir(parents=True, exist_ok=True)
    text = "".join(line + "\n" for line in lines)
    write_whole(target / REJECTED, text.encode("utf-8", "backslashreplace"))
    return rejected


def _frames(source: Path) -> list[NDArray[np.uint8]]:
    """The picture, RGB or RGBA, or all frames of a clip."""
    if source.suffix.lower() in CLIP_SUFFIXES:
        return [np.asarray(frame) for frame in open_clip(source, keep_alpha=True).frames]
    return [np.asarray(open_photo(source, keep_alpha=True))]


def _not_empty(frames: Sequence[NDArray[np.uint8]], alpha: float) -> list[NDArray[np.uint8]]:
    """The frames a palette can be fitted to; all of them when there is none, so that the fit says why."""
    seen = [frame for frame in frames if frame.shape[2] == 3 or (frame[..., 3] >= alpha * 255.0).any()]
    return seen or list(frames)


def _small(file: Path) -> NDArray[np.uint8]:
    clip = file.suffix.lower() in CLIP_SUFFIXES
    picture = open_clip(file, keep_alpha=True).frames[0] if clip else open_photo(file, keep_alpha=True)
    picture.thumbnail((_FIT_SIDE, _FIT_SIDE), Image.Resampling.BOX)
    return np.asarray(picture)
