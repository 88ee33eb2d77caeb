"""Metrics of pixel art that a blurred image does not score well on.

Of the image alone: `grid_contrast`, `palette_error`. Against its photo, at the resolution of the cells:
`structure`, `delta_e`.
"""

import numpy as np
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import structural_similarity

from pixelpersona.pixel.downsample import cell_colors
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.palette import nearest, perceptual, unique_colors
from pixelpersona.pixel.palette_fit import fit_palette

_LUMA = np.array([0.299, 0.587, 0.114])  # Rec. 601, on sRGB values
_WINDOW = 7  # cells per side of the SSIM window


def _window_variance(image: NDArray[np.uint8], cell: int) -> NDArray[np.float64]:
    """Variance in every cell x cell window, summed over channels: [H - cell + 1, W - cell + 1]."""

    def window_sum(values: NDArray[np.int64]) -> NDArray[np.int64]:
        sums = np.zeros((values.shape[0] + 1, values.shape[1] + 1, values.shape[2]), dtype=np.int64)
        np.cumsum(np.cumsum(values, axis=0), axis=1, out=sums[1:, 1:])
        return sums[cell:, cell:] - sums[:-cell, cell:] - sums[cell:, :-cell] + sums[:-cell, :-cell]

    values = image.astype(np.int64)
    size = cell * cell
    # Integer arithmetic: a flat cell has a variance of exactly 0.
    scaled = size * window_sum(values * values) - window_sum(values) ** 2
    variance: NDArray[np.float64] = scaled.sum(axis=2) / size**2
    return variance


def grid_contrast(image: NDArray[np.uint8], grid: Grid) -> float:
    """How clearly an image consists of flat cells on this grid, at most 1.

    1 - (variance inside cells on the grid) / (mean of the same over all shifted grids). 1: every cell is
    flat; near 0: a photo or a blurred image; 0: an image of one colour, which shows no grid.

    image: uint8 [H, W, 3] sRGB of the grid's size. Raises ValueError when the grid does not fit the image, or
    has cells of 1 pixel or fewer than 2x2 cells.
    """
    if grid.cell < 2 or grid.columns < 2 or grid.rows < 2:
        raise ValueError(f"grid_contrast: accepted 2x2 cells of 2 pixels or more, not {grid}")
    cell = grid.cell
    variance = _window_variance(grid.crop(image), cell)
    inside = np.array([[variance[y::cell, x::cell].mean() for x in range(cell)] for y in range(cell)])
    others = (inside.sum() - inside[0, 0]) / (inside.size - 1)
    if others == 0.0:
        return 0.0
    return float(1.0 - inside[0, 0] / others)


def palette_error(image: NDArray[np.uint8], num_colors: int = 16) -> float:
    """Mean distance of the pixels to the best palette of `num_colors` colours, 0 if it has no more colours.

    image: uint8 [H, W, 3] sRGB. Distances are taken in `palette.perceptual`: black to white is 1, about 0.02
    is just visible. Raises ValueError when num_colors is not 1 to 256.
    """
    palette = fit_palette(image, num_colors)
    colors, _, counts = unique_colors(image)
    used = palette.rgb[nearest(colors, palette)]
    distance = np.linalg.norm(perceptual(colors / 255.0) - perceptual(used / 255.0), axis=1)
    return float(np.average(distance, weights=counts))


def structure(photo: NDArray[np.uint8], portrait: NDArray[np.uint8], grid: Grid) -> float:
    """SSIM (Wang et al. 2004) of the cells' mean luma, -1 to 1, higher is better, 1 for equal images.

    At the resolution of the cells, because pixel art has no finer detail. photo, portrait: uint8 [H, W, 3]
    sRGB of the grid's size. Raises ValueError when the grid does not fit, or has fewer than 7 cells on a
    side.
    """
    if min(grid.columns, grid.rows) < _WINDOW:
        raise ValueError(f"structure: accepted {_WINDOW}x{_WINDOW} cells or more, not {grid}")
    first, second = (cell_colors(image, grid, "mean") @ _LUMA for image in (photo, portrait))
    return float(structural_similarity(first, second, win_size=_WINDOW, data_range=255.0))


def delta_e(photo: NDArray[np.uint8], portrait: NDArray[np.uint8], grid: Grid) -> float:
    """Mean CIEDE2000 difference (Sharma, Wu & Dalal 2005) of the cells' mean colours; lower is better.

    0: equal, about 1: just visible, 100: black to white. photo, portrait: uint8 [H, W, 3] sRGB of the grid's
    size. Raises ValueError when the grid does not fit.
    """
    first, second = (rgb2lab(cell_colors(image, grid, "mean")) for image in (photo, portrait))
    return float(deltaE_ciede2000(first, second).mean())
