"""Is it pixel art, and is the structure kept: numbers a blur does not win.

Of the picture alone: `num_colors`, `palette_error`, `palette_adherence`, `grid_contrast`, `orphan_rate`.
Against its photo, at the cells' resolution: `structure`, `edge_agreement`, `delta_e`.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import sobel
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import structural_similarity

from pixelpersona.pixel.downsample import cell_colors
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.palette import Palette, fit_palette, nearest, perceptual, unique_colors

_LUMA = np.array([0.299, 0.587, 0.114])  # Rec. 601, on sRGB values
_WINDOW = 7  # cells per side of the structural similarity's window, as in Wang et al. 2004's code


def _window_variance(image: NDArray[np.uint8], cell: int) -> NDArray[np.float64]:
    """Variance in the cell x cell window at every position, summed over channels, [H-cell+1, W-cell+1]."""

    def window_sum(values: NDArray[np.int64]) -> NDArray[np.int64]:
        sums = np.zeros((values.shape[0] + 1, values.shape[1] + 1, values.shape[2]), dtype=np.int64)
        np.cumsum(np.cumsum(values, axis=0), axis=1, out=sums[1:, 1:])
        return sums[cell:, cell:] - sums[:-cell, cell:] - sums[cell:, :-cell] + sums[:-cell, :-cell]

    values = image.astype(np.int64)
    size = cell * cell
    # Integers to the end: a flat cell has a variance of exactly 0.
    scaled = size * window_sum(values * values) - window_sum(values) ** 2
    variance: NDArray[np.float64] = scaled.sum(axis=2) / size**2
    return variance


def grid_contrast(image: NDArray[np.uint8], grid: Grid) -> float:
    """How much the picture is made of this grid's cells and of no other's.

    1 - (variance inside cells at the grid's phase) / (mean of the same over all other phases),
    phases by cropping. 1 = every cell flat and the grid in place; near 0 for a photo or a blur; 0 for a
    picture of one colour, which shows no grid.

    image: uint8 [H, W, 3] sRGB, H and W multiples of the grid's cell.
    Raises ValueError when the grid does not divide the image, or has cells of 1 pixel or no second cell.
    """
    if grid.cell < 2 or grid.columns < 2 or grid.rows < 2:
        raise ValueError(f"grid_contrast: needs 2x2 cells of 2 pixels or more, not {grid}")
    cell = grid.cell
    variance = _window_variance(grid.crop(image), cell)
    inside = np.array([[variance[y::cell, x::cell].mean() for x in range(cell)] for y in range(cell)])
    others = (inside.sum() - inside[0, 0]) / (inside.size - 1)
    if others == 0.0:
        return 0.0
    return float(1.0 - inside[0, 0] / others)


def num_colors(image: NDArray[np.uint8]) -> int:
    """How many different colours a uint8 [H, W, 3] picture holds, 1 or more; lower is more of a palette."""
    return len(unique_colors(image)[0])


def palette_error(image: NDArray[np.uint8], num_colors: int = 16) -> float:
    """Mean distance of the pixels to the best palette of `num_colors` colours; 0 = exactly such a palette.

    image: uint8 [H, W, 3] sRGB. Distances are taken in `palette.perceptual`:
    OKLab in which black to white is 1 and about 0.02 is just visible.
    Raises ValueError when num_colors is not 1 to 256.
    """
    distance, counts = _palette_distance(image, fit_palette(image, num_colors))
    return float(np.average(distance, weights=counts))


def palette_adherence(image: NDArray[np.uint8], palette: Palette, tolerance: float = 0.02) -> float:
    """The share of pixels that show a colour of this palette, 0-1; higher is better, 1 = all of them.

    image: uint8 [H, W, 3] sRGB. A colour is the palette's up to `tolerance` in `palette.perceptual`, about
    what is just visible; 0 asks for the very colour. Raises ValueError when the tolerance is negative.
    """
    if tolerance < 0.0:
        raise ValueError(f"tolerance: {tolerance} is negative")
    distance, counts = _palette_distance(image, palette)
    return float(counts[distance <= tolerance].sum() / counts.sum())


def _palette_distance(
    image: NDArray[np.uint8], palette: Palette
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Of every different colour: its distance [U] to the nearest palette colour, and how often it occurs."""
    colors, _, counts = unique_colors(image)
    used = palette.rgb[nearest(colors, palette)]
    return np.linalg.norm(perceptual(colors / 255.0) - perceptual(used / 255.0), axis=1), counts


def orphan_rate(image: NDArray[np.uint8], grid: Grid) -> float:
    """The share of cells whose colour none of their 8 neighbours has, 0-1; lower is calmer.

    Of the cells' "inner" colours, compared exactly: for pictures on a palette. Good portraits of 16 colours
    have a few per cent, photos nearly 1, and so has art under noise: snap it first to judge the drawing.
    image: uint8 [H, W, 3] sRGB of the grid's size. Raises ValueError when the grid does not fit.
    """
    cells = cell_colors(image, grid, "inner").astype(np.int64)
    keys = (cells[..., 0] << 16) | (cells[..., 1] << 8) | cells[..., 2]
    padded = np.pad(keys, 1, constant_values=-1)
    rows, columns = keys.shape
    shared = np.zeros(keys.shape, dtype=np.bool_)
    for y, x in np.ndindex(3, 3):
        if (y, x) != (1, 1):
            shared |= padded[y : y + rows, x : x + columns] == keys
    return float(1.0 - shared.mean()) if keys.size > 1 else 0.0


def structure(photo: NDArray[np.uint8], portrait: NDArray[np.uint8], grid: Grid) -> float:
    """Structural similarity (Wang et al. 2004) of the luma of the cells: is what was drawn still there?

    -1 to 1, 1 = equal. At the cells' resolution, because pixel art has nothing finer to lose.
    photo, portrait: uint8 [H, W, 3] sRGB of the grid's size.
    Raises ValueError when the grid does not fit, or has fewer than 7 cells on a side.
    """
    if min(grid.columns, grid.rows) < _WINDOW:
        raise ValueError(f"structure: needs at least {_WINDOW}x{_WINDOW} cells, not {grid}")
    first, second = (cell_colors(image, grid, "mean") @ _LUMA for image in (photo, portrait))
    return float(structural_similarity(first, second, win_size=_WINDOW, data_range=255.0))


def edge_agreement(photo: NDArray[np.uint8], portrait: NDArray[np.uint8], grid: Grid) -> float:
    """Do edges lie where the photo has them, running the same way from dark to light?

    -1 to 1, higher is better: the cosine between the two fields of Sobel gradients of the cells' luma, all
    cells together. 1 = the same edges up to one factor of contrast, 0 = unrelated, -1 = a negative. Strong
    edges count most; unlike `structure` it does not see brightness or contrast as such.
    0 when either picture has no edge at all.
    photo, portrait: uint8 [H, W, 3] sRGB of the grid's size. Raises ValueError when the grid does not fit.
    """
    first, second = (_gradient(cell_colors(image, grid, "mean") @ _LUMA) for image in (photo, portrait))
    size = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / size if size > 0.0 else 0.0


def _gradient(luma: NDArray[np.float64]) -> NDArray[np.float64]:
    """[rows, columns] -> [2, rows, columns]; the border is repeated outwards."""
    return np.stack([sobel(luma, axis=axis, mode="nearest") for axis in (0, 1)])


def delta_e(photo: NDArray[np.uint8], portrait: NDArray[np.uint8], grid: Grid) -> float:
    """Mean colour difference of the cells' means by CIEDE2000 (Sharma, Wu and Dalal 2005); lower is better.

    0 = the same colours, about 1 is just visible, black to white is 100. photo, portrait: uint8 [H, W, 3]
    sRGB of the grid's size. Raises ValueError when the grid does not fit.
    """
    first, second = (rgb2lab(cell_colors(image, grid, "mean")) for image in (photo, portrait))
    return float(deltaE_ciede2000(first, second).mean())
