"""Images with an alpha channel: which cells are drawn, and colours without fringes from hidden pixels.

Fringes come from hidden colours, often black or white, that are averaged into cells along the outline.
Therefore hidden pixels first take the colour of the nearest visible one.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from pixelpersona.pixel.grid import Grid, cut


def reveal(image: NDArray[np.uint8], visible: float) -> NDArray[np.uint8]:
    """uint8 [H, W, 4] -> [H, W, 3] in which hidden pixels have the colour of the nearest visible one.

    visible: opacity from which a pixel is visible, above 0 and at most 1. If no pixel is visible, the colours
    are returned unchanged.
    """
    hidden = image[..., 3] < visible * 255.0
    if hidden.all() or not hidden.any():
        return image[..., :3]
    source = distance_transform_edt(hidden, return_distances=False, return_indices=True)
    revealed: NDArray[np.uint8] = image[..., :3][tuple(source)]
    return revealed


def drawn_cells(image: NDArray[np.uint8], grid: Grid, visible: float) -> NDArray[np.bool_]:
    """Cells of uint8 [H, W, 4] with a mean opacity of at least `visible` (0-1): bool [rows, columns].

    Raises ValueError when the grid does not fit the image.
    """
    opacity = cut(image[..., 3:], grid).mean(axis=(2, 3, 4))
    drawn: NDArray[np.bool_] = opacity >= visible * 255.0
    return drawn
