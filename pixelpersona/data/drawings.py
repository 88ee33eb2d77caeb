"""Pixel art of many photos, drawn once: what the feature network must see the same person in."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pixelpersona.pixel.parallel import choose_num_workers, unordered
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pixelator import Pixelator
from pixelpersona.writing import whole

__all__ = ["DRAWINGS_PER_PHOTO", "drawn_cells"]

DRAWINGS_PER_PHOTO = 3
_PHOTOS_PER_JOB = 16
_PYXELATE = Pixelation(palette=16)
_FEW = Pixelation(palette=6, fit="kmeans", downsample="median")
_SHARP = Pixelation(palette=12, fit="median_cut", downsample="k_centroid")


def drawn_cells(
    photos: Path, style: Pixelation, cell: int, file: Path, *, num_workers: int | None = None
) -> NDArray[np.uint8]:
    """Cell colours of three drawings of every photo, uint8 [N, 3, H / cell, W / cell, 3], kept in `file`.

    photos: a .npy of uint8 [N, H, W, 3], H and W multiples of `cell` (pixels). One drawing has few colours,
    one sharp edges, and one is in turn in `style` and Pyxelate's: the project's own style costs ten times the
    others. A photo's drawings depend on the photo and its place alone. Half a minute per 1,000 photos on two
    cores.
    Raises ValueError when `file` holds the drawings of another number of photos.
    """
    pictures = np.load(photos, mmap_mode="r")
    shape = (len(pictures), DRAWINGS_PER_PHOTO, pictures.shape[1] // cell, pictures.shape[2] // cell, 3)
    if not file.is_file():
        jobs = range(0, len(pictures), _PHOTOS_PER_JOB)
        drawn = np.empty(shape, np.uint8)
        workers = choose_num_workers(len(pictures), num_workers)
        done = unordered(_Draw(photos, style, cell), jobs, workers)
        for number, cells in tqdm(done, total=len(jobs), desc="drawings", unit="job", leave=False):
            drawn[jobs[number] : jobs[number] + len(cells)] = cells
        with whole(file) as draft, draft.open("wb") as opened:
            np.save(opened, drawn)
    found: NDArray[np.uint8] = np.load(file, mmap_mode="r")
    if found.shape != shape:
        raise ValueError(f"{file}: drawn from other photos; delete it or choose another paths.runs")
    return found


@dataclass(frozen=True, slots=True)
class _Draw:
    """First photo of a job → its photos' cells."""

    photos: Path
    style: Pixelation
    cell: int

    def __call__(self, start: int) -> NDArray[np.uint8]:
        pictures = np.load(self.photos, mmap_mode="r")[start : start + _PHOTOS_PER_JOB]
        return np.stack(
            [
                np.stack([self._cells(picture, recipe) for recipe in self._recipes(start + number)])
                for number, picture in enumerate(pictures)
            ]
        )

    def _cells(self, picture: NDArray[np.uint8], recipe: Pixelation) -> NDArray[np.uint8]:
        sized = replace(recipe, factor=self.cell)
        picture = np.ascontiguousarray(picture)
        return Pixelator(sized).fit_apply(picture).snapped.cells

    def _recipes(self, number: int) -> tuple[Pixelation, Pixelation, Pixelation]:
        return _FEW, _SHARP, _PYXELATE if number % 2 else self.style
