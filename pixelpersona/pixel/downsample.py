"""Downsampling to one colour per cell, before any palette."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from skimage.filters import sobel

from pixelpersona.pixel.downsample_kernels import largest_cluster, most_frequent
from pixelpersona.pixel.framing import head_weight
from pixelpersona.pixel.grid import Grid, cut
from pixelpersona.pixel.palette import (
    linear_to_srgb,
    oklab_to_srgb,
    perceptual,
    perceptual_to_srgb,
    srgb_to_linear,
    srgb_to_oklab,
    to_uint8,
    unique_colors,
)

METHODS = ("mean", "median", "inner", "nearest", "gradient", "detail", "outline", "k_centroid", "dominant")

_NUM_CENTROIDS = 2  # a cell on an edge has two sides
_DOMINANT_BITS = 4  # per channel: bins of 16 levels
_MIN_DETAIL = 1e-4  # OKLab distance added to every weight: a uniform cell gets its plain mean
_MIN_SQUARE = 0.02  # the same for squared distances
_SAME_SURFACE, _TWO_SURFACES = 0.08, 0.14  # gap in OKLab lightness between the sides of a cell
_FEATURES = 0.75  # size of the ellipse of eyes, nose and mouth, see `framing.head_weight`
_MIN_GRADIENT = 1e-8  # Sobel magnitude added to every weight: a flat cell gets its plain mean
_BINOMIAL = (0.25, 0.5, 0.25)
_BAND = 1_500_000  # uint8 values processed at once

_Image = NDArray[np.uint8]
_Floats = NDArray[np.float64]


def cell_colors(image: _Image, grid: Grid, method: str = "mean") -> _Image:
    """uint8 [H, W, 3] sRGB -> one colour per cell, uint8 [rows, columns, 3].

    mean: the mean in linear light, the colour that the cell has from a distance (a mean of sRGB values is too
    dark where light and dark meet).
    median: the median of each channel; robust against up to half of the pixels, keeps edges.
    inner: the mean in OKLab without the pixels at the cell's border (with them for cells below 4 pixels), for
    images that are almost on the grid: neighbouring cells bleed into the border.
    nearest: the centre pixel, as in nearest-neighbour resampling.
    gradient: the mean of each channel weighted by its Sobel magnitude, as in Pyxelate; sharpens edges.
    detail: the mean in OKLab weighted by each pixel's distance from the neighbouring cells' mean, which keeps
    small features such as eyes (Weber et al. 2016, "Rapid, detail-preserving image downscaling").
    outline: for portraits (`crop.PORTRAIT`). As detail, but weighted more gently; and a cell on an outline,
    between a light and a dark surface, takes the mean of its larger side, except in the middle of the face,
    where features are smaller than a cell.
    k_centroid: k-means with k = 2 in `palette.perceptual`, the centre of the larger cluster; a cell on an
    edge takes the colour of one side.
    dominant: the mean of the most frequent colour bin (16 levels per channel); for flat drawings.
    Raises ValueError for another method, or when the grid does not fit the image.
    """
    if method not in METHODS:
        raise ValueError(f"method={method}: accepted {', '.join(METHODS)}")
    part = grid.crop(image)
    cells = cut(image, grid)
    if method == "gradient":
        bands = [_gradient(part, grid, rows) for rows in _bands(cells)]
    elif method == "detail":
        around = _surroundings(cells)
        bands = [
            to_uint8(oklab_to_srgb(_detail(cells[rows], around[rows], 1, _MIN_DETAIL)))
            for rows in _bands(cells)
        ]
    elif method == "outline":
        around, face = _surroundings(cells), head_weight(grid.columns, grid.rows, _FEATURES)
        bands = [_outline(cells[rows], around[rows], face[rows]) for rows in _bands(cells)]
    else:
        bands = [_LOCAL[method](cells[rows]) for rows in _bands(cells)]
    return np.concatenate(bands)


def _bands(cells: _Image) -> list[slice]:
    """Ranges of cell rows processed at once: a large image in float64 would not fit in memory."""
    step = max(1, _BAND // cells[0].size)
    return [slice(row, min(row + step, len(cells))) for row in range(0, len(cells), step)]


def _mean(cells: _Image) -> _Image:
    return to_uint8(linear_to_srgb(srgb_to_linear(cells / 255.0).mean(axis=(2, 3))))


def _median(cells: _Image) -> _Image:
    return to_uint8(np.median(cells / 255.0, axis=(2, 3)))


def _inner(cells: _Image) -> _Image:
    if cells.shape[2] >= 4:
        cells = cells[:, :, 1:-1, 1:-1]
    return to_uint8(oklab_to_srgb(srgb_to_oklab(cells / 255.0).mean(axis=(2, 3))))


def _nearest(cells: _Image) -> _Image:
    center = cells.shape[2] // 2  # for even sizes the later of the middle two, as in Pillow
    return np.ascontiguousarray(cells[:, :, center, center])


def _gradient(part: _Image, grid: Grid, rows: slice) -> _Image:
    first, last = rows.start * grid.cell, rows.stop * grid.cell
    # The Sobel filter needs one more row on each side.
    top, bottom = min(first, 1), min(grid.height - last, 1)
    channels = []
    for c in range(3):
        values = part[first - top : last + bottom, :, c] / 255.0
        weight = sobel(values)[top : top + last - first] + _MIN_GRADIENT
        values = values[top : top + last - first]
        blocks = (rows.stop - rows.start, grid.cell, grid.columns, grid.cell)
        total = weight.reshape(blocks).sum(axis=(1, 3))
        channels.append((weight * values).reshape(blocks).sum(axis=(1, 3)) / total)
    return to_uint8(np.stack(channels, axis=-1))


def _surroundings(cells: _Image) -> NDArray[np.float64]:
    """Binomially weighted mean of each cell and its neighbours, OKLab [rows, columns, 3]."""
    means = np.concatenate([srgb_to_oklab(cells[rows] / 255.0).mean(axis=(2, 3)) for rows in _bands(cells)])
    across = correlate1d(means, _BINOMIAL, axis=0, mode="nearest")
    around: NDArray[np.float64] = correlate1d(across, _BINOMIAL, axis=1, mode="nearest")
    return around


def _detail(cells: _Image, around: _Floats, power: int, least: float) -> _Floats:
    """Mean in OKLab weighted by a power of the distance from `around`, plus `least`."""
    colors = srgb_to_oklab(cells / 255.0)
    weight = np.linalg.norm(colors - around[:, :, None, None], axis=4, keepdims=True) ** power + least
    mean: _Floats = (weight * colors).sum(axis=(2, 3)) / weight.sum(axis=(2, 3))
    return mean


def _outline(cells: _Image, around: _Floats, face: _Floats) -> _Image:
    """face: weight [rows, columns] of the features, whose cells are not given to one side."""
    detail = _detail(cells, around, 2, _MIN_SQUARE)
    lab = srgb_to_oklab(cells / 255.0).reshape(*cells.shape[:2], -1, 3)
    lightness = lab[..., 0]
    # The threshold between a cell's two sides: the middle of its tones.
    low, high = lightness.min(axis=2), lightness.max(axis=2)
    is_light = lightness > ((low + high) / 2.0)[..., None]
    num_light = is_light.sum(axis=2)
    light = (lab * is_light[..., None]).sum(axis=2) / np.maximum(num_light, 1)[..., None]
    num_dark = lab.shape[2] - num_light
    dark = (lab * ~is_light[..., None]).sum(axis=2) / np.maximum(num_dark, 1)[..., None]
    side = np.where((num_light > num_dark)[..., None], light, dark)
    gap = light[..., 0] - dark[..., 0]
    share = ((gap - _SAME_SURFACE) / (_TWO_SURFACES - _SAME_SURFACE)).clip(0.0, 1.0) * (1.0 - face)
    return to_uint8(oklab_to_srgb(detail + share[..., None] * (side - detail)))


def _flat_cells(cells: NDArray[Any]) -> NDArray[Any]:
    """[rows, columns, cell, cell, 3] -> [rows * columns, cell * cell, 3]."""
    rows, columns, cell = cells.shape[:3]
    return np.ascontiguousarray(cells).reshape(rows * columns, cell * cell, 3)


def _k_centroid(cells: _Image) -> _Image:
    colors, index, _ = unique_colors(cells)  # convert each colour only once
    points = _flat_cells(perceptual(colors / 255.0)[index])
    centers = largest_cluster(points, _NUM_CENTROIDS)
    return to_uint8(perceptual_to_srgb(centers)).reshape(*cells.shape[:2], 3)


def _dominant(cells: _Image) -> _Image:
    colors: _Image = most_frequent(_flat_cells(cells), _DOMINANT_BITS)
    return colors.reshape(*cells.shape[:2], 3)


_LOCAL: dict[str, Callable[[_Image], _Image]] = {
    "mean": _mean,
    "median": _median,
    "inner": _inner,
    "nearest": _nearest,
    "k_centroid": _k_centroid,
    "dominant": _dominant,
}
