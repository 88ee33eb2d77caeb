"""Palette indices in which neighbouring cells agree: shapes instead of speckle.

A contrast-sensitive Potts model (Boykov & Jolly 2001, "Interactive graph cuts"): each cell pays the squared
distance to its palette colour, and each pair of neighbours of different index pays too, the less the more
their own colours differ, so that outlines stay where they are. Minimised by iterated conditional modes
(Besag 1986, "On the statistical analysis of dirty pictures"), which never raises the cost.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixelpersona.pixel.palette import Palette, perceptual

Floats = NDArray[np.float64]

# Neighbours and what disagreeing with each costs; a diagonal one touches in a corner only.
OFFSETS = np.array([(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)])
WEIGHTS = np.array([0.5, 1.0, 0.5, 1.0, 1.0, 0.5, 1.0, 0.5])
OUTLINE = 0.14  # distance of two cells' colours, in `palette.perceptual`, from which there is an outline
_MAX_SWEEPS = 32  # it settles in 3 to 8


def coherent(
    cells: NDArray[np.uint8], indices: NDArray[np.uint8], palette: Palette, strength: float
) -> NDArray[np.uint8]:
    """Indices near those given whose cost no single cell could lower.

    cells: uint8 [rows, columns, 3] sRGB, the colours before the palette. indices: uint8 [rows, columns] into
    `palette`, where to start from. strength: distance in `palette.perceptual` (black to white is 1); a cell
    that sits among others gives in to them up to about this distance. 0 returns the indices, 0.1 smooths a
    portrait. Raises ValueError when shapes do not match, an index is beyond the palette, or strength < 0.
    """
    if cells.shape != (*indices.shape, 3):
        raise ValueError(f"cells: {cells.shape} do not match indices {indices.shape}")
    if int(indices.max()) >= len(palette):
        raise ValueError(f"indices: {indices.max()} points beyond {len(palette)} colours")
    if strength < 0.0:
        raise ValueError(f"strength: {strength} is negative")
    if strength == 0.0:
        return indices.copy()
    colors = perceptual(cells / 255.0)
    data = ((colors[:, :, None] - perceptual(palette.rgb / 255.0)) ** 2).sum(axis=3)
    result = indices.astype(np.int64)
    _settle(result, data, colors, strength**2, OFFSETS, WEIGHTS)
    return result.astype(np.uint8)


@njit(cache=True)
def _settle(
    indices: NDArray[np.int64],
    data: Floats,
    colors: Floats,
    price: float,
    offsets: NDArray[np.int64],
    weights: Floats,
) -> None:
    """Sweeps in the order of reading, in place, until no cell changes."""
    rows, columns, num_colors = data.shape
    cost = np.empty(num_colors)
    for _ in range(_MAX_SWEEPS):
        changed = False
        for y in range(rows):
            for x in range(columns):
                cost[:] = data[y, x]
                for n in range(offsets.shape[0]):
                    v, u = y + offsets[n, 0], x + offsets[n, 1]
                    if 0 <= v < rows and 0 <= u < columns:
                        gap = 0.0
                        for c in range(3):
                            gap += (colors[y, x, c] - colors[v, u, c]) ** 2
                        # Agreeing is worth what disagreeing would cost.
                        cost[indices[v, u]] -= price * weights[n] * np.exp(-0.5 * gap / OUTLINE**2)
                best = indices[y, x]
                for k in range(num_colors):
                    if cost[k] < cost[best]:
                        best = k
                if best != indices[y, x]:
                    indices[y, x] = best
                    changed = True
        if not changed:
            return
