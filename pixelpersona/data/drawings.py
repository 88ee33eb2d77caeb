"""Pixel art of many photos, drawn once and cached: second views of the person for the feature network."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pixelpersona.files import whole
from pixelpersona.pixel.parallel import choose_num_workers, unordered
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pixelator import Pixelator

DRAWINGS_PER_PHOTO = 3
_PHOTOS_PER_JOB = 16
_PYXELATE = Pixelation(palette=16)
_FEW = Pixelation(palette=6, fit="kmeans", downsample="median")
_SHARP = Pixelation(palette=12, fit="median_cut", downsample="k_centroid")


def drawn_cells(
    photos: Path,
    style: Pixelation,
    cell: int,
    file: Path,
    *,
    limit: int | None = None,
    num_workers: int | None = None,
) -> NDArray[np.uint8]:
    """Cell colours of three drawings per photo, uint8 [N, 3, H / cell, W / cell, 3], cached in `file` (.npy).

    photos: a .npy file, uint8 [N, H, W, 3], H and W multiples of `cell` (pixels). limit: draw only the first
    photos; None for all.
    The first drawing has few colours, the second sharp edges; the third is in `style` for photos with an even
    index and Pyxelate's for the others, because `style` takes ten times as long. A photo's drawings depend on
    the photo and its index alone. Takes half a minute per 1,000 photos on two cores.
    Raises ValueError when `file` holds drawings of another shape.
    """
    pictures = np.load(photos, mmap_mode="r")[:limit]
    shape = (len(pictures), DRAWINGS_PER_PHOTO, pictures.shape[1] // cell, pictures.shape[2] // cell, 3)
    if not file.is_file():
        jobs = range(0, len(pictures), _PHOTOS_PER_JOB)
        drawn = np.empty(shape, np.uint8)
        workers = choose_num_workers(len(pictures), num_workers)
        done = unordered(partial(_draw, photos, style, cell), jobs, workers)
        for number, cells in tqdm(done, total=len(jobs), desc="drawings", unit="job", leave=False):
            drawn[jobs[number] : jobs[number] + len(cells)] = cells[: len(drawn) - jobs[number]]
        with whole(file) as draft, draft.open("wb") as opened:
            np.save(opened, drawn)
    found: NDArray[np.uint8] = np.load(file, mmap_mode="r")
    if found.shape != shape:
        raise ValueError(f"{file}: drawn from other photos; delete it or choose another paths.runs")
    return found


def _draw(photos: Path, style: Pixelation, cell: int, start: int) -> NDArray[np.uint8]:
    """The cells of one job's photos, the first of which has the index `start`."""
    drawn = []
    for index, photo in enumerate(np.load(photos, mmap_mode="r")[start : start + _PHOTOS_PER_JOB], start):
        picture = np.ascontiguousarray(photo)
        recipes = (_FEW, _SHARP, _PYXELATE if index % 2 else style)
        pixelators = (Pixelator(replace(recipe, factor=cell)) for recipe in recipes)
        drawn.append([pixelator.fit_apply(picture).snapped.cells for pixelator in pixelators])
    return np.array(drawn)
