"""Fitting palettes to images: k-means, median cut or Pyxelate; automatic size; locked colours; image sets."""

import heapq
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans

from pixelpersona.pixel.palette import (
    MAX_COLORS,
    Floats,
    Palette,
    nearest_center,
    perceptual,
    perceptual_to_srgb,
    srgb_to_oklab,
    to_uint8,
    unique_colors,
)
from pixelpersona.pixel.pyxelate import Pyx
from pixelpersona.pixel.pyxelate_fit import FIT_SIDE

Colors = NDArray[np.uint8]

FITS = ("kmeans", "median_cut", "pyxelate")
_JUST_VISIBLE = 0.02  # distance in `palette.perceptual`
_SMALLEST_AUTO, _LARGEST_AUTO = 2, 32

_NUM_STARTS = 4  # of k-means on few colours, such as cells, where the result depends on the start
_FEW_COLORS = 4096  # with more colours one start is enough
_SEED = 0
_LOCKED_ITERATIONS = 100


def fit_palette(pixels: Colors, num_colors: int, weights: NDArray[Any] | None = None) -> Palette:
    """A palette of at most `num_colors` colours, from dark to light, by k-means in `palette.perceptual`.

    pixels: uint8 [..., 3] sRGB. weights: [...] above 0, weight of each pixel; None for equal weights. If the
    pixels have at most `num_colors` distinct colours, exactly these are returned.
    Raises ValueError when there are no pixels, num_colors is not 1 to 256, or the weights do not fit.
    """
    if not 1 <= num_colors <= MAX_COLORS:
        raise ValueError(f"num_colors={num_colors}: accepted 1 to {MAX_COLORS}")
    if pixels.size == 0 or pixels.shape[-1] != 3:
        raise ValueError(f"pixels: need at least one colour [..., 3], not shape {pixels.shape}")
    if weights is not None and (weights.shape != pixels.shape[:-1] or not (weights > 0).all()):
        raise ValueError(f"weights: need {pixels.shape[:-1]} numbers above 0, not shape {weights.shape}")
    colors, index, counts = unique_colors(pixels)
    if len(colors) > num_colors:
        if weights is not None:
            counts = np.bincount(index.ravel(), weights.ravel())
        colors = _kmeans(colors, counts, num_colors)
    return _dark_to_light(colors)


def choose_palette(
    images: Sequence[Colors],
    num_colors: int | None = 16,
    fit: str = "kmeans",
    locked: Colors | None = None,
    importance: Sequence[Floats] | None = None,
) -> Palette:
    """One palette of at most `num_colors` colours for one or several images, from dark to light.

    images: uint8 [..., 3] sRGB each; every image has the same total weight, whatever its size.
    num_colors: 1 to 256, or None for `automatic_size`.
    fit: kmeans, in `palette.perceptual`; median_cut, in sRGB (Heckbert, "Color image quantization for frame
    buffer display", 1982); pyxelate, the mixture model of `pyxelate.Pyx` (2 colours or more).
    locked: uint8 [L, 3], colours that the palette contains exactly. Each replaces a similar fitted colour;
    with kmeans the other colours are then refitted around them.
    importance: [...] above 0 for each image, how much each of its pixels counts; None for equal weights. Not
    used by pyxelate.
    If the images have at most `num_colors` distinct colours, exactly these are returned (not with pyxelate).
    Raises ValueError for an unknown fit, no pixels, a size out of range, or more locked colours than the
    size.
    """
    if fit not in FITS:
        raise ValueError(f"fit={fit}: accepted {', '.join(FITS)}")
    if num_colors is None:
        num_colors = automatic_size(images, fit, locked, importance)
    if not 1 <= num_colors <= MAX_COLORS:
        raise ValueError(f"num_colors={num_colors}: accepted 1 to {MAX_COLORS}")
    fixed = _checked_locked(locked, num_colors)
    colors, weights = _weighted_colors(images, importance)
    distinct = np.unique(np.concatenate([fixed, colors]), axis=0)
    if len(distinct) <= num_colors and fit != "pyxelate":
        return _dark_to_light(distinct)
    if len(fixed) == num_colors:
        return _dark_to_light(fixed)
    free = _fitted(images, colors, weights, num_colors, fit)
    if len(fixed):
        free = _without_nearest(free, fixed, num_colors - len(fixed))
        if fit == "kmeans":
            free = _around_locked(colors, weights, free, fixed)
    return _dark_to_light(np.unique(np.concatenate([fixed, free]), axis=0))


def automatic_size(
    images: Sequence[Colors],
    fit: str = "kmeans",
    locked: Colors | None = None,
    importance: Sequence[Floats] | None = None,
) -> int:
    """The smallest palette size from 2 to 32 whose mean error is not visible, or 32 if none is.

    The error is the mean distance in `palette.perceptual` between a pixel and the nearest palette colour; up
    to 0.02 counts as not visible. Found by bisection, since the error decreases with the size. Never below
    the number of locked colours. Arguments and errors as in `choose_palette`.
    """
    colors, weights = _weighted_colors(images, importance)
    points = perceptual(colors / 255.0)
    low, high = max(_SMALLEST_AUTO, 0 if locked is None else len(np.unique(locked, axis=0))), _LARGEST_AUTO
    while low < high:
        middle = (low + high) // 2
        palette = choose_palette(images, middle, fit, locked, importance)
        _, distance = nearest_center(points, perceptual(palette.rgb / 255.0))
        if np.average(distance, weights=weights) <= _JUST_VISIBLE:
            high = middle
        else:
            low = middle + 1
    return low


def _checked_locked(locked: Colors | None, num_colors: int) -> Colors:
    """The distinct locked colours, uint8 [L, 3]."""
    if locked is None or len(locked) == 0:
        return np.zeros((0, 3), dtype=np.uint8)
    if locked.dtype != np.uint8 or locked.ndim != 2 or locked.shape[1] != 3:
        raise ValueError(f"locked: must be uint8 [L, 3], not {locked.dtype} {locked.shape}")
    fixed = np.unique(locked, axis=0)
    if len(fixed) > num_colors:
        raise ValueError(f"locked: {len(fixed)} colours, more than num_colors={num_colors}")
    return fixed


def _weighted_colors(images: Sequence[Colors], importance: Sequence[Floats] | None) -> tuple[Colors, Floats]:
    """Distinct colours [U, 3] of all images, and weights [U] with the same total for each image."""
    for image in images:
        if image.dtype != np.uint8 or image.size == 0 or image.shape[-1] != 3:
            raise ValueError(
                f"images: need uint8 [..., 3] with at least one colour, not {image.dtype} {image.shape}"
            )
    if not images:
        raise ValueError("images: need at least one")
    if importance is None:
        importance = [np.ones(image.shape[:-1]) for image in images]
    for image, weight in zip(images, importance, strict=True):
        if weight.shape != image.shape[:-1] or not (weight > 0).all():
            raise ValueError(f"importance: need {image.shape[:-1]} numbers above 0, not shape {weight.shape}")
    parts = [unique_colors(image) for image in images]
    totals = [
        np.bincount(index.ravel(), weight.ravel())
        for (_, index, _), weight in zip(parts, importance, strict=True)
    ]
    if len(parts) == 1:
        return parts[0][0], totals[0].astype(np.float64)
    largest = max(weight.sum() for weight in importance)
    shares = [total * (largest / weight.sum()) for total, weight in zip(totals, importance, strict=True)]
    colors, index, _ = unique_colors(np.concatenate([part[0] for part in parts]))
    weights = np.bincount(index, np.concatenate(shares), minlength=len(colors))
    return colors, weights.astype(np.float64)


def _dark_to_light(colors: Colors) -> Palette:
    return Palette(colors[np.argsort(srgb_to_oklab(colors / 255.0)[:, 0], kind="stable")])


# --- the fits ---------------------------------------------------------------------------------------


def _fitted(images: Sequence[Colors], colors: Colors, weights: Floats, num_colors: int, fit: str) -> Colors:
    """At most `num_colors` distinct colours, without regard to locked ones."""
    if fit == "pyxelate":
        return _pyxelate(images, num_colors)
    if len(colors) <= num_colors:
        return colors
    if fit == "median_cut":
        return _median_cut(colors, weights, num_colors)
    return _kmeans(colors, weights, num_colors)


def _kmeans(colors: Colors, weights: NDArray[Any], num_colors: int) -> Colors:
    """Distinct centres of weighted colours: uint8 [U, 3] and [U] -> uint8 [at most num_colors, 3]."""
    num_starts = _NUM_STARTS if len(colors) <= _FEW_COLORS else 1
    model = KMeans(num_colors, n_init=num_starts, random_state=_SEED)
    centers = model.fit(perceptual(colors / 255.0), sample_weight=weights).cluster_centers_
    return np.unique(to_uint8(perceptual_to_srgb(centers)), axis=0)  # rounding may make two centres equal


def _median_cut(colors: Colors, weights: Floats, num_colors: int) -> Colors:
    """Split the box of most weight at the median of its widest channel until there are enough boxes."""
    boxes: list[tuple[float, int, NDArray[np.intp]]] = [(-weights.sum(), 0, np.arange(len(colors)))]
    number = 0
    while len(boxes) < num_colors:
        # Boxes of one colour cannot be split: they have priority 0, the lowest.
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


def _pyxelate(images: Sequence[Colors], num_colors: int) -> Colors:
    if len(images) == 1 and images[0].ndim == 3:
        image = images[0]
    else:
        # The fit ignores positions: take the same number of evenly spaced pixels from each image.
        share = max(1, FIT_SIDE**2 // len(images))
        num_picks = min(share, max(image.size // 3 for image in images))
        steps = np.arange(num_picks)
        pixels = np.concatenate([p.reshape(-1, 3)[steps * (p.size // 3) // num_picks] for p in images])
        # Pyx would downsample an image of more pixels a side.
        columns = min(len(pixels), FIT_SIDE)
        rows = min(len(pixels) // columns, FIT_SIDE)
        even = np.arange(rows * columns) * len(pixels) // (rows * columns)
        image = pixels[even].reshape(rows, columns, 3)
    return np.unique(Pyx(palette=num_colors).fit(image).colors, axis=0)


# --- locked colours ---------------------------------------------------------------------------------


def _without_nearest(free: Colors, fixed: Colors, num_left: int) -> Colors:
    """Remove the fitted colours that the locked ones replace, matched by the least total distance."""
    num_out = len(free) - num_left
    if num_out <= 0:
        return free
    gaps = perceptual(free / 255.0)[:, None] - perceptual(fixed / 255.0)[None]
    taken, _ = linear_sum_assignment(np.linalg.norm(gaps, axis=2))
    return np.delete(free, taken[:num_out], axis=0)


def _around_locked(colors: Colors, weights: Floats, free: Colors, fixed: Colors) -> Colors:
    """Lloyd's algorithm with the locked centres fixed, until the labels no longer change."""
    points = perceptual(colors / 255.0)
    locked, centers = perceptual(fixed / 255.0), perceptual(free / 255.0)
    previous: NDArray[np.intp] | None = None
    for _ in range(_LOCKED_ITERATIONS):
        label, _ = nearest_center(points, np.concatenate([locked, centers]))
        if previous is not None and np.array_equal(label, previous):
            break
        previous = label
        own = label - len(locked)
        mine = own >= 0
        total = np.bincount(own[mine], weights[mine], minlength=len(centers))
        for axis in range(3):
            moved = np.bincount(own[mine], weights[mine] * points[mine, axis], minlength=len(centers))
            # A centre without pixels keeps its place and may win some later.
            centers[:, axis] = np.where(total > 0, moved / np.maximum(total, 1e-300), centers[:, axis])
    return to_uint8(perceptual_to_srgb(centers))
