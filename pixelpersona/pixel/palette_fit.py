"""Palettes fitted to pictures: three fits, a size found by itself, locked colours, one palette for a set."""

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pixelpersona.pixel.palette import (
    MAX_COLORS,
    Floats,
    Palette,
    kmeans_colors,
    perceptual,
    perceptual_to_srgb,
    srgb_to_oklab,
    to_uint8,
    unique_colors,
)

Colors = NDArray[np.uint8]

FITS = ("kmeans", "median_cut", "pyxelate")
JUST_VISIBLE = 0.02  # distance in `palette.perceptual`
SMALLEST_AUTO, LARGEST_AUTO = 2, 32

_LOCKED_ITERATIONS = 100
_PYXELATE_SIDE = 256  # Pyxelate fits at most 256x256 pixels
_CHUNK = 65536


def choose_palette(
    pictures: Sequence[Colors],
    num_colors: int | None = 16,
    fit: str = "kmeans",
    locked: Colors | None = None,
    *,
    max_error: float = JUST_VISIBLE,
    seed: int = 0,
) -> Palette:
    """One palette of at most `num_colors` colours for one or many pictures, from dark to light.

    pictures: uint8 [..., 3] sRGB each; every picture counts the same, whatever its size.
    num_colors: 1 to 256, or None for the size `automatic_size` finds.
    fit: "kmeans", in perceptual OKLab; "median_cut" (Heckbert, "Color image quantization for frame buffer
    display", 1982), in sRGB; "pyxelate", the mixture of `pyxelate.Pyx` (2 colours or more).
    locked: uint8 [L, 3], colours that are in the palette exactly as given. Each takes the place of a fitted
    colour near it, and with "kmeans" the others then move into what the locked ones leave to them.
    With no more different colours than asked for, exactly those colours (not with "pyxelate").
    Raises ValueError for an unknown fit, no pixels, a wrong size, or more locked colours than the size.
    """
    if fit not in FITS:
        raise ValueError(f"fit: {fit!r} is not one of {', '.join(FITS)}")
    if num_colors is None:
        num_colors = automatic_size(pictures, max_error, fit=fit, locked=locked, seed=seed)
    if not 1 <= num_colors <= MAX_COLORS:
        raise ValueError(f"num_colors: {num_colors} is not from 1 to {MAX_COLORS}")
    fixed = _checked_locked(locked, num_colors)
    colors, weights = _weighted_colors(pictures)
    every = np.unique(np.concatenate([fixed, colors]), axis=0)
    if len(every) <= num_colors and fit != "pyxelate":
        return _dark_to_light(every)
    if len(fixed) == num_colors:
        return _dark_to_light(fixed)
    free = _fitted(pictures, colors, weights, num_colors, fit, seed)
    if len(fixed):
        free = _without_nearest(free, fixed, num_colors - len(fixed))
        if fit == "kmeans":
            free = _around_locked(colors, weights, free, fixed)
    return _dark_to_light(np.unique(np.concatenate([fixed, free]), axis=0))


def automatic_size(
    pictures: Sequence[Colors],
    max_error: float = JUST_VISIBLE,
    *,
    fit: str = "kmeans",
    locked: Colors | None = None,
    seed: int = 0,
) -> int:
    """The smallest palette from 2 to 32 colours whose mean error is not visible.

    The error is the mean distance in `palette.perceptual` between a pixel and the nearest palette colour; up
    to `max_error` = 0.02 it is called not visible. Found by bisection, as the error falls with the size; 32
    when even that is not enough. Raises ValueError when max_error is not above 0, or as `choose_palette`.
    """
    if not max_error > 0.0:
        raise ValueError(f"max_error: {max_error} is not above 0")
    colors, weights = _weighted_colors(pictures)
    points = perceptual(colors / 255.0)
    low, high = max(SMALLEST_AUTO, 0 if locked is None else len(np.unique(locked, axis=0))), LARGEST_AUTO
    while low < high:
        middle = (low + high) // 2
        palette = choose_palette(pictures, middle, fit, locked, seed=seed)
        distance = _nearest_center(points, perceptual(palette.rgb / 255.0))[1]
        if np.average(distance, weights=weights) <= max_error:
            high = middle
        else:
            low = middle + 1
    return low


def _checked_locked(locked: Colors | None, num_colors: int) -> Colors:
    """The locked colours without repetitions, uint8 [L, 3]."""
    if locked is None or len(locked) == 0:
        return np.zeros((0, 3), dtype=np.uint8)
    if locked.dtype != np.uint8 or locked.ndim != 2 or locked.shape[1] != 3:
        raise ValueError(f"locked: must be uint8 [L, 3], not {locked.dtype} {locked.shape}")
    fixed = np.unique(locked, axis=0)
    if len(fixed) > num_colors:
        raise ValueError(f"locked: {len(fixed)} colours, more than num_colors={num_colors}")
    return fixed


def _weighted_colors(pictures: Sequence[Colors]) -> tuple[Colors, Floats]:
    """Different colours [U, 3] of all pictures, and weights [U] to which each picture adds the same."""
    for picture in pictures:
        if picture.dtype != np.uint8 or picture.size == 0 or picture.shape[-1] != 3:
            raise ValueError(
                f"pictures: need uint8 [..., 3] with at least one colour, not {picture.dtype} {picture.shape}"
            )
    if not pictures:
        raise ValueError("pictures: need at least one")
    largest = max(picture.size for picture in pictures)
    parts = [unique_colors(picture) for picture in pictures]
    if len(parts) == 1:
        return parts[0][0], parts[0][2].astype(np.float64)
    colors, index, _ = unique_colors(np.concatenate([part[0] for part in parts]))
    shares = [part[2] * (largest / picture.size) for part, picture in zip(parts, pictures, strict=True)]
    weights = np.bincount(index, np.concatenate(shares), minlength=len(colors))
    return colors, weights.astype(np.float64)


def _dark_to_light(colors: Colors) -> Palette:
    return Palette(colors[np.argsort(srgb_to_oklab(colors / 255.0)[:, 0], kind="stable")])


# --- the fits ---------------------------------------------------------------------------------------


def _fitted(
    pictures: Sequence[Colors], colors: Colors, weights: Floats, num_colors: int, fit: str, seed: int
) -> Colors:
    """At most `num_colors` different colours, without a thought of locked ones."""
    if fit == "pyxelate":
        return _pyxelate(pictures, num_colors)
    if len(colors) <= num_colors:
        return colors
    if fit == "median_cut":
        return _median_cut(colors, weights, num_colors)
    return kmeans_colors(colors, weights, num_colors, seed)


def _median_cut(colors: Colors, weights: Floats, num_colors: int) -> Colors:
    """The box with the most pixels is cut at the median of its widest channel, until there are enough."""
    boxes: list[tuple[float, int, NDArray[np.intp]]] = [(-weights.sum(), 0, np.arange(len(colors)))]
    number = 0
    while len(boxes) < num_colors:
        # Boxes of one colour cannot be cut: they wait at the end, with nothing to win.
        _, _, box = heapq.heappop(boxes)
        channel = int(np.ptp(colors[box], axis=0).argmax())
        box = box[np.argsort(colors[box, channel], kind="stable")]
        total = np.cumsum(weights[box])
        cut = int(np.clip(np.searchsorted(total, total[-1] / 2.0) + 1, 1, len(box) - 1))
        for part in (box[:cut], box[cut:]):
            number += 1
            heapq.heappush(boxes, (-weights[part].sum() if len(part) > 1 else 0.0, number, part))
    means = [np.average(colors[box], axis=0, weights=weights[box]) for _, _, box in boxes]
    return np.unique(np.rint(means).astype(np.uint8), axis=0)


def _pyxelate(pictures: Sequence[Colors], num_colors: int) -> Colors:
    from pixelpersona.pixel.pyxelate import Pyx  # compiles kernels: only for those who ask for it

    if len(pictures) == 1 and pictures[0].ndim == 3:
        image = pictures[0]
    else:
        # The fit looks at colours, not at where they are: as many evenly picked pixels of each picture.
        share = max(1, _PYXELATE_SIDE**2 // len(pictures))
        num_picks = min(share, max(picture.size // 3 for picture in pictures))
        steps = np.arange(num_picks)
        pixels = np.concatenate([p.reshape(-1, 3)[steps * (p.size // 3) // num_picks] for p in pictures])
        # At most 256 a side, or Pyx would shrink it.
        columns = min(len(pixels), _PYXELATE_SIDE)
        rows = min(len(pixels) // columns, _PYXELATE_SIDE)
        even = np.arange(rows * columns) * len(pixels) // (rows * columns)
        image = pixels[even].reshape(rows, columns, 3)
    return np.unique(Pyx(palette=num_colors).fit(image).colors, axis=0)


# --- locked colours ---------------------------------------------------------------------------------


def _nearest_center(points: Floats, centers: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Index [N] of the center nearest to each point, and the distance [N]."""
    index = np.empty(len(points), dtype=np.intp)
    distance = np.empty(len(points))
    for start in range(0, len(points), _CHUNK):
        part = slice(start, start + _CHUNK)
        squares = ((points[part, None, :] - centers[None]) ** 2).sum(axis=2)
        index[part] = squares.argmin(axis=1)
        distance[part] = np.sqrt(squares.min(axis=1))
    return index, distance


def _without_nearest(free: Colors, fixed: Colors, num_left: int) -> Colors:
    """Take out the fitted colours whose places the locked ones take, at the least total distance."""
    num_out = len(free) - num_left
    if num_out <= 0:
        return free
    gaps = perceptual(free / 255.0)[:, None] - perceptual(fixed / 255.0)[None]
    taken, _ = linear_sum_assignment(np.linalg.norm(gaps, axis=2))
    return np.delete(free, taken[:num_out], axis=0)


def _around_locked(colors: Colors, weights: Floats, free: Colors, fixed: Colors) -> Colors:
    """Lloyd's iteration in which the locked centers stay where they are, until nothing moves."""
    points = perceptual(colors / 255.0)
    locked, centers = perceptual(fixed / 255.0), perceptual(free / 255.0)
    previous: NDArray[np.intp] | None = None
    for _ in range(_LOCKED_ITERATIONS):
        label, _ = _nearest_center(points, np.concatenate([locked, centers]))
        if previous is not None and np.array_equal(label, previous):
            break
        previous = label
        own = label - len(locked)
        mine = own >= 0
        total = np.bincount(own[mine], weights[mine], minlength=len(centers))
        for axis in range(3):
            moved = np.bincount(own[mine], weights[mine] * points[mine, axis], minlength=len(centers))
            # A center that lost all its pixels stays: it may win some back.
            centers[:, axis] = np.where(total > 0, moved / np.maximum(total, 1e-300), centers[:, axis])
    return to_uint8(perceptual_to_srgb(centers))
