"""Shared by the tests of the pixel engine: a photo of a face, and snapping to a grid and a palette."""

import numpy as np
from skimage.data import astronaut

from pixelpersona.pixel.cleanup import Cleanup, clean_up
from pixelpersona.pixel.downsample import cell_colors
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.palette import Palette, nearest
from pixelpersona.pixel.palette_fit import fit_palette
from pixelpersona.pixel.snap import Snapped

FACE = np.ascontiguousarray(astronaut()[:256:2, 96:352:2])  # 128x128
NO_CLEANUP = Cleanup()


def snap(
    image: np.ndarray,
    grid: Grid,
    num_colors: int = 16,
    palette: Palette | None = None,
    method: str = "inner",
    settings: Cleanup = NO_CLEANUP,
) -> Snapped:
    """An image on a grid and on a fitted palette or the given one."""
    cells = cell_colors(image, grid, method)
    chosen = palette or fit_palette(cells, num_colors)
    indices = nearest(cells, chosen)
    indices, chosen = clean_up(cells, indices, chosen, settings, keep_colors=palette is not None)
    return Snapped(indices, chosen, grid)
