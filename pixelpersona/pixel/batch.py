"""Pixelation of files: one image, one GIF, or a folder of both on all cores."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from pixelpersona.files import whole, write_whole
from pixelpersona.pixel.frames import save_gif, snap_clip
from pixelpersona.pixel.parallel import choose_num_workers, unordered
from pixelpersona.pixel.photo import CLIP_SUFFIXES, PHOTO_SUFFIXES, PhotoError, open_clip, open_photo
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pixelator import Pixelator, resized
from pixelpersona.pixel.snap import save_png

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
        except PhotoError as error:
            return error.reason
        except ValueError as error:  # specific to this image: smaller than one cell, nothing opaque
            return str(error)
        with whole(job.target) as draft:  # errors in writing concern all files: not caught
            save(draft)
        return None

    def _image(self, source: Path) -> Callable[[Path], None]:
        """Draw the image; returns the function that writes it to a file."""
        (image,) = _frames(source)
        made = self.fitted.apply(image) if self.fitted else Pixelator(self.recipe).fit_apply(image)
        return lambda file: save_png(made.snapped, file, self.scale, opaque=made.drawn)

    def _clip(self, source: Path) -> Callable[[Path], None]:
        """Draw the clip; returns the function that writes it to a file."""
        if self.recipe.dither != "none":
            raise ValueError(
                f"pixelate.dither={self.recipe.dither}: accepted none for a clip, where a dither flickers"
            )
        clip = open_clip(source)
        frames = [np.asarray(frame) for frame in clip.frames]
        pixelator = self.fitted or Pixelator(self.recipe).fit(_not_empty(frames, self.recipe.alpha))
        grid = pixelator.grid(frames[0])
        snapped, opaque = snap_clip(
            [resized(frame, grid) for frame in frames],
            grid,
            pixelator.palette,
            self.recipe.downsample,
            self.recipe.alpha,
            pixelator.clarified if self.recipe.changes_image else None,
        )
        return lambda file: save_gif(snapped, clip.durations, file, self.scale, clip.loop, opaque)


def fit_file(recipe: Pixelation, source: Path) -> Pixelator:
    """The fitted pixelator that `FilePixelator(recipe)` uses for this file.

    Raises PhotoError when it cannot be read.
    """
    return Pixelator(recipe).fit(_not_empty(_frames(source), recipe.alpha))


def plan_folder(source: Path, target: Path) -> list[FileJob]:
    """A job for every image and GIF below a folder, sorted by path, except those already inside `target`.

    A file becomes <name>.png or <name>.gif; files that would get the same name keep their suffix before it.
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
    """A pixelator with one palette for all files, which have equal weight; clips count by their first frame.

    Unreadable files are skipped (`pixelate_folder` reports them), and the order of the jobs does not matter.
    Raises ValueError when no file can be read.
    """
    images = []
    for job in tqdm(
        sorted(jobs, key=lambda job: job.source), desc="one palette", unit="picture", leave=False
    ):
        try:
            images.append(_small(job.source))
        except PhotoError:
            continue
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
    """Draw all files; rejected ones are listed in target/rejected.jsonl and returned, file -> reason.

    The written bytes do not depend on the number of workers or the order of the jobs.
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
    """The image, RGB or RGBA, or all frames of a clip."""
    if source.suffix.lower() in CLIP_SUFFIXES:
        return [np.asarray(frame) for frame in open_clip(source).frames]
    return [np.asarray(open_photo(source, keep_alpha=True))]


def _not_empty(frames: Sequence[NDArray[np.uint8]], alpha: float) -> list[NDArray[np.uint8]]:
    """The frames with an opaque pixel, or all frames if there is none, so that the fit raises its error."""
    seen = [frame for frame in frames if frame.shape[2] == 3 or (frame[..., 3] >= alpha * 255.0).any()]
    return seen or list(frames)


def _small(file: Path) -> NDArray[np.uint8]:
    is_clip = file.suffix.lower() in CLIP_SUFFIXES
    image = open_clip(file).frames[0] if is_clip else open_photo(file, keep_alpha=True)
    image.thumbnail((_FIT_SIDE, _FIT_SIDE), Image.Resampling.BOX)
    return np.asarray(image)
