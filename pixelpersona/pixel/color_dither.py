"""Dithers between the colours of any palette, in OKLab: ordered by a threshold map, or by error diffusion.

`dither` holds Pyxelate's own, which mix only where its mixture is in doubt; these mix wherever a cell lies
between two colours.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixelpersona.pixel.blue_noise import blue_noise_map
from pixelpersona.pixel.palette import Palette, nearest, perceptual

Floats = NDArray[np.float64]

COLOR_DITHERS = ("none", "naive", "bayer", "floyd", "atkinson", "blue_noise")

_CHECKER = np.array([[1.0, 3.0], [3.0, 1.0]]) / 4.0
_BAYER = (np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) + 0.5) / 16.0
# Shares of the error that go to (rows down, columns right).
_FLOYD = np.array([[0, 1, 7 / 16], [1, -1, 3 / 16], [1, 0, 5 / 16], [1, 1, 1 / 16]])
_ATKINSON = np.array([[0, 1, 1], [0, 2, 1], [1, -1, 1], [1, 0, 1], [1, 1, 1], [2, 0, 1]]) * [1, 1, 1 / 8]


def dither_colors(cells: NDArray[np.uint8], palette: Palette, dither: str) -> NDArray[np.uint8]:
    """uint8 [rows, columns, 3] sRGB -> indices into the palette, uint8 [rows, columns].

    naive: a checkerboard where a cell is nearly halfway. bayer: the 4x4 matrix (Bayer 1973). blue_noise: a
    void-and-cluster map (Ulichney 1993). floyd: Floyd and Steinberg 1976. atkinson: Atkinson 1984, which
    passes on six eighths of the error. Raises ValueError for another name.
    """
    match dither:
        case "none":
            return nearest(cells, palette)
        case "naive":
            return _ordered(cells, palette, _CHECKER)
        case "bayer":
            return _ordered(cells, palette, _BAYER)
        case "blue_noise":
            return _ordered(cells, palette, blue_noise_map())
        case "floyd" | "atkinson":
            shares = _FLOYD if dither == "floyd" else _ATKINSON
            index: NDArray[np.uint8] = _diffuse(
                perceptual(cells / 255.0), perceptual(palette.rgb / 255.0), shares
            )
            return index
    raise ValueError(f"dither: {dither!r} is not one of {', '.join(COLOR_DITHERS)}")


def _ordered(cells: NDArray[np.uint8], palette: Palette, thresholds: Floats) -> NDArray[np.uint8]:
    """The nearest or the second nearest colour, as often as the cell lies towards it on the line between."""
    if len(palette) < 2:
        return nearest(cells, palette)
    points, colors = perceptual(cells / 255.0), perceptual(palette.rgb / 255.0)
    distance = ((points[..., None, :] - colors) ** 2).sum(axis=-1)
    first, second = np.moveaxis(np.argsort(distance, axis=-1, kind="stable")[..., :2], -1, 0)
    line = colors[second] - colors[first]
    along = ((points - colors[first]) * line).sum(axis=-1)
    share = along / np.maximum((line**2).sum(axis=-1), 1e-12)
    rows, columns = share.shape
    repeat = (-(-rows // thresholds.shape[0]), -(-columns // thresholds.shape[1]))
    # One map for both: of a pair of colours the same one takes the low thresholds wherever they meet.
    threshold = np.tile(thresholds, repeat)[:rows, :columns]
    threshold = np.where(first < second, threshold, 1.0 - threshold)
    index: NDArray[np.uint8] = np.where(share > threshold, second, first).astype(np.uint8)
    return index


@njit(cache=True)
def _diffuse(points: Floats, colors: Floats, shares: Floats) -> NDArray[np.uint8]:
    rows, columns, _ = points.shape
    index = np.empty((rows, columns), dtype=np.uint8)
    wanted = points.copy()
    for y in range(rows):
        for x in range(columns):
            best, least = 0, np.inf
            for k in range(len(colors)):
                distance = 0.0
                for c in range(3):
                    distance += (wanted[y, x, c] - colors[k, c]) ** 2
                if distance < least:
                    best, least = k, distance
            index[y, x] = best
            for s in range(len(shares)):
                below, right = y + int(shares[s, 0]), x + int(shares[s, 1])
                if below < rows and 0 <= right < columns:
                    for c in range(3):
                        wanted[below, right, c] += (wanted[y, x, c] - colors[best, c]) * shares[s, 2]
    return index
