"""Contrast-limited adaptive histogram equalisation (CLAHE; Zuiderveld, Graphics Gems IV, 1994).

Bit-identical to scikit-image's `equalize_adapthist` with default settings, including its rounding, and 20
times as fast: 8 x 8 tiles, 256 bins, clip limit 1 % of a tile, bilinear blending of four tile mappings.
"""

import numpy as np
from numpy.typing import NDArray

from pixelpersona.pixel.kernel import kernel

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_TILES = 8
_NUM_BINS = 256
_CLIP = 0.01
_TOP = 16383  # grey levels are 0 to this
_BIN_SIZE = 1 + (_TOP + 1) // _NUM_BINS
_TOP_16_BITS = 65535


def equalize(value: Floats, out: Floats | None = None) -> Floats:
    """float64 [H, W] of 0-1 -> equalised float64 [H, W], stretched to 0-1 unless it is constant.

    out: array for the result, which may be `value` itself; default a new one.
    """
    tile_y, tile_x = max(value.shape[0] // _TILES, 1), max(value.shape[1] // _TILES, 1)
    bins = _bins(value)
    levels = _blend(bins, _mappings(bins, tile_y, tile_x), tile_y, tile_x)
    low, high = int(levels.min()), int(levels.max())
    if low == high:
        return np.minimum(levels, 1.0, out=out, dtype=np.float64)
    equalized = np.subtract(levels, low, out=out, dtype=np.float64)
    equalized /= high - low
    return equalized


@kernel
def _bins(value: Floats) -> NDArray[np.uint8]:
    """The histogram bin of every pixel, after rounding to 16 bits and stretching to 14 bits."""
    height, width = value.shape
    bins = np.empty((height, width), dtype=np.uint8)
    levels = np.empty((height, width), dtype=np.uint16)
    for y in range(height):
        for x in range(width):
            levels[y, x] = np.int64(np.rint(min(max(value[y, x], 0.0), 1.0) * _TOP_16_BITS))
    low, high = levels.min(), levels.max()
    for y in range(height):
        for x in range(width):
            if low == high:
                level = min(levels[y, x], _TOP)
            else:
                level = np.int64(np.rint((levels[y, x] - low) / (high - low) * _TOP))
            bins[y, x] = level // _BIN_SIZE
    return bins


@kernel
def _mirrored(i: int, size: int) -> int:
    """Reflect an index beyond the end into 0 to size - 1, without repeating the edge."""
    if size == 1:
        return 0
    i %= 2 * (size - 1)
    return i if i < size else 2 * (size - 1) - i


@kernel
def _mappings(bins: NDArray[np.uint8], tile_y: int, tile_x: int) -> Integers:
    """The grey level that each tile maps each bin to: [tiles down, tiles across, bins]."""
    height, width = bins.shape
    down, across = (height + tile_y - 1) // tile_y, (width + tile_x - 1) // tile_x
    num_pixels = tile_y * tile_x
    limit = max(int(_CLIP * num_pixels), 1)
    mappings = np.zeros((down, across, _NUM_BINS), dtype=np.int64)
    for i in range(down):
        for j in range(across):
            histogram = mappings[i, j]
            for y in range(i * tile_y, (i + 1) * tile_y):
                for x in range(j * tile_x, (j + 1) * tile_x):
                    histogram[bins[_mirrored(y, height), _mirrored(x, width)]] += 1
            _clip_histogram(histogram, limit)
            total = 0
            for b in range(_NUM_BINS):
                total += histogram[b]
                histogram[b] = np.int64(min(total * (_TOP / num_pixels), np.float64(_TOP)))
    return mappings


@kernel
def _clip_histogram(histogram: Integers, limit: int) -> None:
    """Clip the bins at the limit and redistribute the excess to bins below it, in place.

    Each bin gets an equal share (up to the limit); what remains is distributed one by one.
    """
    excess = 0
    for b in range(_NUM_BINS):
        excess += max(histogram[b] - limit, 0)
        histogram[b] = min(histogram[b], limit)
    share = excess // _NUM_BINS
    for b in range(_NUM_BINS):
        gain = share if histogram[b] < limit - share else 0
        if histogram[b] + gain >= limit - share:
            gain = limit - histogram[b]
        histogram[b] += gain
        excess -= gain
    while excess > 0:
        before = excess
        for first in range(_NUM_BINS):
            step = max(1, int((histogram < limit).sum()) // excess)
            for b in range(first, _NUM_BINS, step):
                if histogram[b] < limit:
                    histogram[b] += 1
                    excess -= 1
            if excess <= 0:
                break
        if excess == before:
            break


@kernel
def _blend(bins: NDArray[np.uint8], mappings: Integers, tile_y: int, tile_x: int) -> NDArray[np.uint16]:
    """The mappings of the four nearest tiles, interpolated bilinearly, as whole grey levels.

    Sums are in float32 and truncated, not rounded, as in scikit-image.
    """
    height, width = bins.shape
    down, across = mappings.shape[0], mappings.shape[1]
    levels = np.empty((height, width), dtype=np.uint16)
    for y in range(height):
        i, fy = (y + tile_y // 2) // tile_y, ((y + tile_y // 2) % tile_y) / tile_y
        above, below = max(i - 1, 0), min(i, down - 1)
        for x in range(width):
            j, fx = (x + tile_x // 2) // tile_x, ((x + tile_x // 2) % tile_x) / tile_x
            left, right = max(j - 1, 0), min(j, across - 1)
            b = bins[y, x]
            level = np.float32(mappings[above, left, b] * ((1 - fx) * (1 - fy)))
            level += np.float32(mappings[above, right, b] * (fx * (1 - fy)))
            level += np.float32(mappings[below, left, b] * ((1 - fx) * fy))
            level += np.float32(mappings[below, right, b] * (fx * fy))
            levels[y, x] = np.int64(level)
    return levels
