"""Clean-up of palette indices: merge similar colours, smooth spatially, reassign isolated cells."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelpersona.pixel.coherence import OFFSETS, coherent
from pixelpersona.pixel.framing import Focus
from pixelpersona.pixel.palette import Palette, perceptual, perceptual_to_srgb, to_uint8

Indices = NDArray[np.uint8]

_KEEP_CONTRAST = 0.3  # black to white is 1; neighbouring shades of a portrait are about 0.05 to 0.15 apart
_OUTSIDE = -1  # index beyond the image border


@dataclass(frozen=True, kw_only=True)
class Cleanup(Focus):
    """Settings of `clean_up`; the defaults change nothing.

    min_distance: 0 to 1, palette colours closer than this are merged, see `merge_similar`.
    coherence: 0 to 1, spatial smoothing strength, see `coherence.coherent`; `focus` times as much outside of
    the head.
    cleanup: reassign isolated cells, see `remove_orphans`.
    """

    min_distance: float = 0.0
    coherence: float = 0.0
    cleanup: bool = False

    def check_cleanup(self, group: str) -> None:
        """Raise ValueError "`group`.key=value: accepted ..." for the first value out of range."""
        self.check_focus(group)
        for key in ("min_distance", "coherence"):
            if not 0.0 <= getattr(self, key) <= 1.0:
                raise ValueError(f"{group}.{key}={getattr(self, key)}: accepted 0 to 1")


def clean_up(
    cells: NDArray[np.uint8],
    indices: Indices,
    palette: Palette,
    settings: Cleanup,
    keep_colors: bool = False,
    fixed: NDArray[np.bool_] | None = None,
    skin: NDArray[np.bool_] | None = None,
) -> tuple[Indices, Palette]:
    """Merge similar palette colours, smooth spatially, then reassign isolated cells; each step as configured.

    cells: uint8 [rows, columns, 3] sRGB, the colours before the palette. indices: uint8 [rows, columns] into
    `palette`. keep_colors: as in `merge_similar`. fixed: bool [rows, columns], cells that are not smoothed or
    reassigned. skin: bool [rows, columns], cells that are smoothed only to colours which some of them have.
    Returns the new indices and palette.
    """
    if settings.min_distance > 0.0:
        indices, palette = merge_similar(indices, palette, settings.min_distance, keep_colors)
    merged = indices
    if settings.coherence > 0.0:
        rows, columns = indices.shape
        strength = settings.coherence * settings.outside(columns, rows)
        allowed = None
        if skin is not None:
            allowed = ~skin[..., None] | np.isin(np.arange(len(palette)), indices[skin])
        indices = coherent(cells, indices, palette, strength, allowed)
    if settings.cleanup:
        indices = remove_orphans(indices, palette)
    if fixed is not None:
        indices = np.where(fixed, merged, indices)
    return indices, palette


def orphans(indices: Indices) -> NDArray[np.bool_]:
    """Isolated cells, whose index none of the 8 neighbours shares: uint8 [rows, columns] -> bool, same shape.

    Diagonal neighbours count, so a dither's checkerboard has no orphans. A 1x1 image has none.
    """
    neighbors = _neighbors(indices)
    isolated: NDArray[np.bool_] = (neighbors != indices).all(axis=0) & (neighbors != _OUTSIDE).any(axis=0)
    return isolated


def remove_orphans(indices: Indices, palette: Palette) -> Indices:
    """Isolated cells take the most frequent colour of their neighbours, and the most similar one of a tie.

    An isolated cell at least 0.3 (in `palette.perceptual`) away from all neighbouring colours stays: it is an
    accent such as a highlight in an eye, while quantisation noise lies between similar shades. Cells are
    visited in raster order and see earlier changes, so only accents remain isolated.

    indices: uint8 [rows, columns] into `palette`; returned as a new array.
    Raises ValueError for another dtype or shape, or when an index is out of range.
    """
    _check(indices, palette)
    distance = _pairwise_distance(palette)
    neighbors = _neighbors(indices)
    gaps = np.where(neighbors == _OUTSIDE, np.inf, distance[indices[None], neighbors])
    candidates = orphans(indices) & (gaps.min(axis=0) < _KEEP_CONTRAST)
    rows, columns = indices.shape
    result = indices.copy()
    for y, x in np.argwhere(candidates):
        near = [
            int(result[y + dy, x + dx]) for dy, dx in OFFSETS if 0 <= y + dy < rows and 0 <= x + dx < columns
        ]
        own = int(result[y, x])
        if own not in near:  # an earlier cell may have taken this colour
            result[y, x] = min(near, key=lambda color: (-near.count(color), distance[own, color], color))
    return result


def merge_similar(
    indices: Indices, palette: Palette, min_distance: float, keep_colors: bool = False
) -> tuple[Indices, Palette]:
    """Merge palette colours closer than `min_distance` in `palette.perceptual`, the closest pair first.

    Two colours become their mean weighted by the number of cells, or with `keep_colors` (for given palettes)
    the colour of more cells. Afterwards no two colours are closer than min_distance, up to 8-bit rounding.
    0.02 is just visible; 0.05 suits portraits of 16 colours.

    indices: uint8 [rows, columns] into `palette`. Returns new indices and a palette in the original order,
    which keeps its name when nothing was merged. Raises ValueError when an index is out of range or
    min_distance is negative.
    """
    _check(indices, palette)
    if min_distance < 0.0:
        raise ValueError(f"min_distance={min_distance}: accepted 0 or more")
    points = perceptual(palette.rgb / 255.0)
    colors = palette.rgb.copy()
    area = np.bincount(indices.ravel(), minlength=len(palette)).astype(np.float64)
    into = np.arange(len(palette))
    distance = _pairwise_distance(palette)
    np.fill_diagonal(distance, np.inf)
    while distance.min() < min_distance:
        pair = np.unravel_index(distance.argmin(), distance.shape)
        keep, drop = sorted((int(pair[0]), int(pair[1])), key=lambda k: (-area[k], k))
        if not keep_colors and area[drop] > 0:
            points[keep] = np.average(points[[keep, drop]], axis=0, weights=area[[keep, drop]])
            colors[keep] = to_uint8(perceptual_to_srgb(points[keep]))
            moved = np.linalg.norm(points - points[keep], axis=1)
            distance[keep] = np.where(np.isinf(distance[keep]), np.inf, moved)
            distance[:, keep] = distance[keep]
        area[keep] += area[drop]
        into[into == drop] = keep
        distance[drop] = distance[:, drop] = np.inf
    left, number = np.unique(into, return_inverse=True)
    if len(left) == len(palette):
        return indices.copy(), palette
    return number.astype(np.uint8)[indices], Palette(colors[left])


def _pairwise_distance(palette: Palette) -> NDArray[np.float64]:
    """Distances in `palette.perceptual` between all colours, float64 [K, K]."""
    points = perceptual(palette.rgb / 255.0)
    distance: NDArray[np.float64] = np.linalg.norm(points[:, None] - points[None], axis=2)
    return distance


def _check(indices: Indices, palette: Palette) -> None:
    if indices.dtype != np.uint8 or indices.ndim != 2 or indices.size == 0:
        raise ValueError(f"indices: must be uint8 [rows, columns], not {indices.dtype} {indices.shape}")
    if int(indices.max()) >= len(palette):
        raise ValueError(f"indices: {indices.max()} is out of range for {len(palette)} colours")


def _neighbors(indices: Indices) -> NDArray[np.int16]:
    """The neighbours' indices, int16 [8, rows, columns]; -1 outside of the image."""
    rows, columns = indices.shape
    padded = np.pad(indices.astype(np.int16), 1, constant_values=_OUTSIDE)
    return np.stack([padded[1 + dy : 1 + dy + rows, 1 + dx : 1 + dx + columns] for dy, dx in OFFSETS])
