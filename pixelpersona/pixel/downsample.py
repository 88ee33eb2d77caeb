"""One colour per cell, before any palette."""

import numpy as np
from numpy.typing import NDArray

from pixelpersona.pixel.grid import Grid, cut
from pixelpersona.pixel.palette import linear_to_srgb, oklab_to_srgb, srgb_to_linear, srgb_to_oklab, to_uint8

METHODS = ("mean", "median", "inner")


def cell_colors(image: NDArray[np.uint8], grid: Grid, method: str = "mean") -> NDArray[np.uint8]:
    """uint8 [H, W, 3] sRGB -> one colour per cell, uint8 [rows, columns, 3].

    "mean": the mean of linear light, which is what the cell looks like from far away (a mean of sRGB values
    is too dark wherever light and dark meet).
    "median": the median of each channel; ignores up to half of the cell, keeps edges.
    "inner": the mean in OKLab of the pixels that do not touch the cell's border (all of them for cells below
    4 pixels). For pictures that are almost on the grid: it leaves out what bleeds over from the neighbours.
    Raises ValueError for another method, or when the grid does not fit the picture.
    """
    if method not in METHODS:
        raise ValueError(f"method: {method!r} is not one of {', '.join(METHODS)}")
    cells = cut(image, grid)
    if method == "median":
        return to_uint8(np.median(cells / 255.0, axis=(2, 3)))
    if method == "inner":
        if grid.cell >= 4:
            cells = cells[:, :, 1:-1, 1:-1]
        return to_uint8(oklab_to_srgb(srgb_to_oklab(cells / 255.0).mean(axis=(2, 3))))
    return to_uint8(linear_to_srgb(srgb_to_linear(cells / 255.0).mean(axis=(2, 3))))
