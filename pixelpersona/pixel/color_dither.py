"""Dithering between the colours of any palette, in perceptual OKLab: ordered, or by error diffusion.

`dither` holds Pyxelate's dithers, which mix colours only where its mixture model is uncertain; these mix them
for every cell between two palette colours.
"""

import numpy as np
from numpy.typing import NDArray

from pixelpersona.pixel.blue_noise import blue_noise_map
from pixelpersona.pixel.dither import BAYER, DITHERS, tiled
from pixelpersona.pixel.kernel import kernel
from pixelpersona.pixel.palette import Palette, nearest, perceptual

Floats = NDArray[np.float64]

_CHECKER = np.array([[1.0, 3.0], [3.0, 1.0]]) / 4.0
# Fractions of the error by neighbour: (rows down, columns right, fraction).
_FLOYD = np.array([[0, 1, 7 / 16], [1, -1, 3 / 16], [1, 0, 5 / 16], [1, 1, 1 / 16]])
_ATKINSON = np.array([[0, 1, 1], [0, 2, 1], [1, -1, 1], [1, 0, 1], [1, 1, 1], [2, 0, 1]]) * [1, 1, 1 / 8]


def dither_colors(cells: NDArray[np.uint8], palette: Palette, dither: str) -> NDArray[np.uint8]:
    """uint8 [rows, columns, 3] sRGB -> indices into the palette, uint8 [rows, columns].

    dither: one of `dither.DITHERS`. none: the nearest colour. naive: a checkerboard where a cell is about
    halfway between two colours. bayer: the 4x4 matrix (Bayer 1973). blue_noise: a void-and-cluster map
    (Ulichney 1993). floyd: Floyd & Steinberg 1976. atkinson: Atkinson 1984, which diffuses 6/8 of the error.
    Raises ValueError for another name.
    """
    match dither:
        case "none":
            return nearest(cells, palette)
        case "naive":
            return _ordered(cells, palette, _CHECKER)
        case "bayer":
            return _ordered(cells, palette, (BAYER + 0.5) / 16.0)
        case "blue_noise":
            return _ordered(cells, palette, blue_noise_map())
        case "floyd" | "atkinson":
            fractions = _FLOYD if dither == "floyd" else _ATKINSON
            index: NDArray[np.uint8] = _diffuse(
                perceptual(cells / 255.0), perceptual(palette.rgb / 255.0), fractions
            )
            return index
    raise ValueError(f"dither={dither}: accepted {', '.join(DITHERS)}")


def _ordered(cells: NDArray[np.uint8], palette: Palette, thresholds: Floats) -> NDArray[np.uint8]:
    """The nearest or second nearest colour, by the cell's position on the line between the two."""
    if len(palette) < 2:
        return nearest(cells, palette)
    points, colors = perceptual(cells / 255.0), perceptual(palette.rgb / 255.0)
    distance = ((points[..., None, :] - colors) ** 2).sum(axis=-1)
    first, second = np.moveaxis(np.argsort(distance, axis=-1, kind="stable")[..., :2], -1, 0)
    line = colors[second] - colors[first]
    along = ((points - colors[first]) * line).sum(axis=-1)
    share = along / np.maximum((line**2).sum(axis=-1), 1e-12)
    # The same colour of a pair always takes the low thresholds, whichever of the two is nearer.
    threshold = tiled(thresholds, *share.shape)
    threshold = np.where(first < second, threshold, 1.0 - threshold)
    index: NDArray[np.uint8] = np.where(share > threshold, second, first).astype(np.uint8)
    return index


@kernel
def _diffuse(points: Floats, colors: Floats, fractions: Floats) -> NDArray[np.uint8]:
    """Error diffusion in raster order: [rows, columns, 3] and [K, 3] -> indices [rows, columns]."""
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
            for s in range(len(fractions)):
                below, right = y + int(fractions[s, 0]), x + int(fractions[s, 1])
                if below < rows and 0 <= right < columns:
                    for c in range(3):
                        wanted[below, right, c] += (wanted[y, x, c] - colors[best, c]) * fractions[s, 2]
    return index
