"""What a hand would tidy up after snapping: lone cells, and colours too alike to be worth an entry each."""

import numpy as np
from numpy.typing import NDArray

from pixelpersona.pixel.palette import Palette, perceptual, perceptual_to_srgb, to_uint8

Indices = NDArray[np.uint8]

KEEP_CONTRAST = 0.3  # black to white is 1; two neighbouring shades of a portrait are about 0.05-0.15 apart

_OUTSIDE = -1  # what lies beyond the picture shares no colour
_AROUND_4 = ((-1, 0), (0, -1), (0, 1), (1, 0))
_AROUND_8 = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


def orphans(indices: Indices, neighbors: int = 8) -> NDArray[np.bool_]:
    """Which cells share their colour with none of their neighbours: uint8 [rows, columns] -> bool, the same.

    neighbors: 8 counts the diagonals, so that a dither's checkerboard is not full of orphans; 4 does not.
    A picture of one cell has none. Raises ValueError for another number of neighbours.
    """
    around = _around(indices, neighbors)
    exists = (around != _OUTSIDE).any(axis=0)
    lone: NDArray[np.bool_] = (around != indices).all(axis=0) & exists
    return lone


def remove_orphans(
    indices: Indices, palette: Palette, keep_contrast: float = KEEP_CONTRAST, neighbors: int = 8
) -> Indices:
    """Every orphan takes its neighbours' most frequent colour; of equally frequent ones the one most like it.

    An orphan that is at least `keep_contrast` (0 keeps all, above 1 none; in `palette.perceptual`) away from
    every colour around it stays: the light in an eye, a stud in an ear. Noise in the snapping gives orphans
    between similar shades instead, which have a relative nearby. In the order of reading, each cell sees the
    ones already changed; so no orphan is left but those kept.

    indices: uint8 [rows, columns] into `palette`; returned as a new array.
    Raises ValueError when an index points beyond the palette, or neighbors is neither 4 nor 8.
    """
    _check(indices, palette)
    points = perceptual(palette.rgb / 255.0)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    around = _around(indices, neighbors)
    gaps = np.where(around == _OUTSIDE, np.inf, distance[indices[None], around])
    candidates = orphans(indices, neighbors) & (gaps.min(axis=0) < keep_contrast)
    offsets = _AROUND_8 if neighbors == 8 else _AROUND_4
    rows, columns = indices.shape
    result = indices.copy()
    for y, x in np.argwhere(candidates):
        near = [
            int(result[y + dy, x + dx]) for dy, dx in offsets if 0 <= y + dy < rows and 0 <= x + dx < columns
        ]
        own = int(result[y, x])
        if own not in near:  # a cell before it may have taken its colour
            result[y, x] = min(near, key=lambda color: (-near.count(color), distance[own, color], color))
    return result


def merge_similar(
    indices: Indices, palette: Palette, min_distance: float, keep_colors: bool = False
) -> tuple[Indices, Palette]:
    """Merge colours closer than `min_distance` in `palette.perceptual`, the closest pair first.

    Two colours become their mean weighted by the cells they cover, or with `keep_colors` the one that covers
    more (for palettes that are given, not fitted). Afterwards no two colours are closer than min_distance,
    but for the rounding to 8 bits. 0.02 is just visible; near 0.05 a portrait of 16 colours looks less muddy.

    indices: uint8 [rows, columns] into `palette`. Returns new indices, and a palette in the old order, which
    keeps its name when nothing was merged. Raises ValueError when an index points beyond the palette, or
    min_distance is negative.
    """
    _check(indices, palette)
    if min_distance < 0.0:
        raise ValueError(f"min_distance: {min_distance} is negative")
    points = perceptual(palette.rgb / 255.0)
    colors = palette.rgb.copy()
    area = np.bincount(indices.ravel(), minlength=len(palette)).astype(np.float64)
    into = np.arange(len(palette))
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    while distance.min(initial=np.inf) < min_distance:
        pair = np.unravel_index(distance.argmin(), distance.shape)
        keep, drop = sorted((int(pair[0]), int(pair[1])), key=lambda k: (-area[k], k))
        if not keep_colors and area[drop] > 0:
            points[keep] = np.average(points[[keep, drop]], axis=0, weights=area[[keep, drop]])
            colors[keep] = to_uint8(perceptual_to_srgb(points[keep]))
            distance[keep] = np.where(np.isinf(distance[keep]), np.inf, _to_all(points, keep))
            distance[:, keep] = distance[keep]
        area[keep] += area[drop]
        into[into == drop] = keep
        distance[drop] = distance[:, drop] = np.inf
    left, number = np.unique(into, return_inverse=True)
    if len(left) == len(palette):
        return indices.copy(), palette
    return number.astype(np.uint8)[indices], Palette(colors[left])


def _to_all(points: NDArray[np.float64], one: int) -> NDArray[np.float64]:
    distance: NDArray[np.float64] = np.linalg.norm(points - points[one], axis=1)
    return distance


def _check(indices: Indices, palette: Palette) -> None:
    if indices.dtype != np.uint8 or indices.ndim != 2 or indices.size == 0:
        raise ValueError(f"indices: must be uint8 [rows, columns], not {indices.dtype} {indices.shape}")
    if int(indices.max()) >= len(palette):
        raise ValueError(f"indices: {indices.max()} points beyond {len(palette)} colours")


def _around(indices: Indices, neighbors: int) -> NDArray[np.int16]:
    """The neighbours' indices, int16 [4 or 8, rows, columns]; -1 outside."""
    if neighbors not in (4, 8):
        raise ValueError(f"neighbors: {neighbors} is neither 4 nor 8")
    rows, columns = indices.shape
    padded = np.pad(indices.astype(np.int16), 1, constant_values=_OUTSIDE)
    offsets = _AROUND_8 if neighbors == 8 else _AROUND_4
    return np.stack([padded[1 + dy : 1 + dy + rows, 1 + dx : 1 + dx + columns] for dy, dx in offsets])
