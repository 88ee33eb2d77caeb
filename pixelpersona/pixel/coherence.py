"""Spatial smoothing of palette indices by a contrast-sensitive Potts model.

Boykov & Jolly 2001, "Interactive graph cuts": each cell costs the squared distance to its palette colour, and
each pair of neighbours with different indices has a cost that increases with the similarity of their own
colours, so that outlines stay in place. Minimised by iterated conditional modes (Besag 1986, "On the
statistical analysis of dirty pictures"), which never raises the cost.
"""

import numpy as np
from numpy.typing import NDArray

from pixelpersona.pixel.kernel import kernel
from pixelpersona.pixel.palette import Palette, perceptual

Floats = NDArray[np.float64]

# Neighbours and the weights of their disagreement; diagonal ones touch only at a corner.
OFFSETS = np.array([(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)])
WEIGHTS = np.array([0.5, 1.0, 0.5, 1.0, 1.0, 0.5, 1.0, 0.5])
OUTLINE = 0.14  # scale of the contrast term: distance of two cells' colours, in `palette.perceptual`
_MAX_SWEEPS = 32  # converges in 3 to 8


def coherent(
    cells: NDArray[np.uint8],
    indices: NDArray[np.uint8],
    palette: Palette,
    strength: float | Floats,
    allowed: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """A local minimum of the Potts energy, starting from `indices`: uint8 [rows, columns], a new array.

    cells: uint8 [rows, columns, 3] sRGB, the colours before the palette. indices: uint8 [rows, columns] into
    `palette`. strength: spatial smoothing strength, as a distance in `palette.perceptual` (black to white is
    1): roughly the largest colour error that a cell accepts to match its neighbours. 0 disables it, 0.1
    smooths a portrait. One number, or one for each cell, [rows, columns]; a pair of neighbours then pays the
    mean of their prices. allowed: bool [rows, columns, K], the colours that a cell may get; None for all.
    Raises ValueError when shapes do not match, an index is out of range, or a strength is below 0.
    """
    if cells.shape != (*indices.shape, 3):
        raise ValueError(f"cells: {cells.shape} does not match indices {indices.shape}")
    if int(indices.max()) >= len(palette):
        raise ValueError(f"indices: {indices.max()} is out of range for {len(palette)} colours")
    strengths = np.broadcast_to(np.asarray(strength, dtype=np.float64), indices.shape)
    if strengths.min() < 0.0:
        raise ValueError(f"strength={strengths.min()}: accepted 0 or more")
    if strengths.max() == 0.0:
        return indices.copy()
    colors = perceptual(cells / 255.0)
    data = ((colors[:, :, None] - perceptual(palette.rgb / 255.0)) ** 2).sum(axis=3)
    if allowed is not None:
        data[~allowed] = np.inf
    result = indices.astype(np.int64)
    _minimize(result, data, colors, strengths**2, OFFSETS, WEIGHTS)
    return result.astype(np.uint8)


@kernel
def _minimize(
    indices: NDArray[np.int64],
    data: Floats,
    colors: Floats,
    price: Floats,
    offsets: NDArray[np.int64],
    weights: Floats,
) -> None:
    """Iterated conditional modes in raster order, in place, until no cell changes."""
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
                        # Rewarding agreement equals penalising disagreement, up to a constant.
                        share = weights[n] * np.exp(-0.5 * gap / OUTLINE**2)
                        cost[indices[v, u]] -= 0.5 * (price[y, x] + price[v, u]) * share
                best = indices[y, x]
                for k in range(num_colors):
                    if cost[k] < cost[best]:
                        best = k
                if best != indices[y, x]:
                    indices[y, x] = best
                    changed = True
        if not changed:
            return
