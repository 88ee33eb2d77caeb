"""Pictures with an alpha channel: cells that are drawn or not, without fringes of what was hidden.

Fringes come from hidden colours, often black or white, that are mixed into the cells along the outline.
Here hidden pixels first take the colour of the nearest visible one, and the palette is that of drawn cells.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from pixelpersona.pixel.downsample import cell_colors
from pixelpersona.pixel.grid import Grid, cut
from pixelpersona.pixel.palette import Palette, nearest
from pixelpersona.pixel.palette_fit import choose_palette
from pixelpersona.pixel.snap import Snapped

VISIBLE = 0.5  # opacity from which a pixel has a colour and a cell is drawn


def reveal(image: NDArray[np.uint8], visible: float = VISIBLE) -> NDArray[np.uint8]:
    """uint8 [H, W, 4] -> [H, W, 3] in which hidden pixels show the colour of the nearest visible one.

    visible: opacity 0-1 from which a pixel is visible. Raises ValueError for another shape or dtype, an
    opacity that is not above 0 and at most 1, or when nothing is visible.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 4:
        raise ValueError(f"image: must be uint8 [H, W, 4], not {image.dtype} {image.shape}")
    if not 0.0 < visible <= 1.0:
        raise ValueError(f"visible: {visible} is not above 0 and at most 1")
    hidden = image[..., 3] < visible * 255.0
    if hidden.all():
        raise ValueError(f"image: no pixel reaches the opacity {visible}")
    if not hidden.any():
        return image[..., :3].copy()
    source = distance_transform_edt(hidden, return_distances=False, return_indices=True)
    revealed: NDArray[np.uint8] = image[..., :3][tuple(source)]
    return revealed


def drawn_cells(image: NDArray[np.uint8], grid: Grid, visible: float = VISIBLE) -> NDArray[np.bool_]:
    """Which cells of a picture uint8 [H, W, 4] have a mean opacity of at least `visible`, [rows, columns]."""
    opacity = cut(image[..., 3:], grid).mean(axis=(2, 3, 4))
    drawn: NDArray[np.bool_] = opacity >= visible * 255.0
    return drawn


def snap_transparent(
    image: NDArray[np.uint8],
    grid: Grid,
    num_colors: int | None = 16,
    palette: Palette | None = None,
    method: str = "inner",
    visible: float = VISIBLE,
) -> tuple[Snapped, NDArray[np.bool_]]:
    """`snap.snap` for pictures with alpha; also which cells are drawn, bool [rows, columns].

    image: uint8 [H, W, 4] sRGB of the grid's size, not premultiplied. num_colors: as in `choose_palette`.
    `snap.save_cells_png(snapped, path, opaque=...)` takes both. Cells that are not drawn hold some colour of
    the palette. Raises ValueError as `reveal`, `snap` and when no cell is drawn.
    """
    cells = cell_colors(reveal(image, visible), grid, method)
    drawn = drawn_cells(image, grid, visible)
    if not drawn.any():
        raise ValueError(f"image: no cell reaches the opacity {visible}")
    if palette is None:
        palette = choose_palette([cells[drawn]], num_colors)
    return Snapped(nearest(cells, palette), palette, grid), drawn
