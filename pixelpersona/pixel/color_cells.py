"""Colours sorted along the Morton curve and grouped into cells of the colour cube.

Neighbours on the Morton curve (Morton 1966) are similar, so a block of consecutive colours has a small
bounding box, and a bound on the box holds for all its colours: k-means and the mixture skip most of their
work this way.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelpersona.pixel.kernel import kernel

Floats = NDArray[np.float64]

# Colours per block: a small box, and long enough for vectorised loops. numba compiles it into kmeans and
# mixture_kernels, whose caches miss a change here: touch those files as well.
BLOCK = 128
_BITS = 10  # per channel, of the keys and of the finest cells
_COARSEST = 8  # bits per channel of the coarsest cells: with 7, one palette in three moves by over 0.6/255
_MANY_CELLS = 32768
_DIGIT = 10  # bits per pass of the radix sort


@dataclass(frozen=True, slots=True, eq=False)
class ColorCells:
    """Mean colours float64 [3, M] of M cells in Morton order, and the number of pixels in each, float64 [M].

    order: int64 [N], the indices of the pixels in Morton order.
    """

    colors: Floats
    counts: Floats
    order: NDArray[np.int64]


def color_cells(pixels: Floats) -> ColorCells:
    """Group pixels, float64 [3, N] of 0-1, by cells of the colour cube.

    Uses the finest cells that give at most 32,768 of them, from 10 down to 8 bits per channel; 8 bits may
    give more.
    """
    order, keys = _morton_order(pixels)
    bounds = keys[1:] ^ keys[:-1]  # neighbours share a cell when they differ only in bits below the shift
    shift = 0
    while shift < 3 * (_BITS - _COARSEST) and np.count_nonzero(bounds >> shift) >= _MANY_CELLS:
        shift += 1  # merges pairs of neighbouring cells
    return ColorCells(*_gather(pixels, order, keys, shift), order)


def morton_order(pixels: Floats) -> NDArray[np.int64]:
    """Indices that stably sort pixels, float64 [3, N] of about 0-1, along the Morton curve: int64 [N]."""
    return _morton_order(pixels)[0]


@kernel(inline="always")
def _spread(level: Any) -> Any:
    """Spread ten bits, with two zeros between neighbours."""
    x = np.uint32(level)
    x = (x | (x << np.uint32(16))) & np.uint32(0x030000FF)
    x = (x | (x << np.uint32(8))) & np.uint32(0x0300F00F)
    x = (x | (x << np.uint32(4))) & np.uint32(0x030C30C3)
    return (x | (x << np.uint32(2))) & np.uint32(0x09249249)


@kernel
def _morton_order(pixels: Floats) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """The order by Morton key (stable radix sort), and the sorted keys."""
    num_pixels = pixels.shape[1]
    high, top = 1 << _BITS, (1 << _BITS) - 1
    keys = np.empty(num_pixels, dtype=np.uint32)
    for i in range(num_pixels):
        key = np.uint32(0)
        for c in range(3):
            # 8-bit levels lie on the lower edges of cells: rounding must not move them below the edge.
            level = min(max(np.int64(pixels[c, i] * high + 1e-6), 0), top)
            key = (key << np.uint32(1)) | _spread(level)
        keys[i] = key
    order = np.arange(num_pixels)
    for shift in range(0, 3 * _BITS, _DIGIT):
        start = np.zeros((1 << _DIGIT) + 1, dtype=np.int64)
        for i in range(num_pixels):
            start[((keys[i] >> np.uint32(shift)) & np.uint32((1 << _DIGIT) - 1)) + 1] += 1
        for digit in range(1 << _DIGIT):
            start[digit + 1] += start[digit]
        new_order, new_keys = np.empty_like(order), np.empty_like(keys)
        for i in range(num_pixels):
            digit = (keys[i] >> np.uint32(shift)) & np.uint32((1 << _DIGIT) - 1)
            new_order[start[digit]], new_keys[start[digit]] = order[i], keys[i]
            start[digit] += 1
        order, keys = new_order, new_keys
    return order, keys


@kernel
def _gather(
    pixels: Floats, order: NDArray[np.int64], keys: NDArray[np.uint32], shift: int
) -> tuple[Floats, Floats]:
    """Mean colour and number of pixels of every cell: runs of equal key >> shift."""
    num_pixels = len(order)
    colors = np.zeros((3, num_pixels))
    counts = np.zeros(num_pixels)
    number = -1
    for i in range(num_pixels):
        if i == 0 or (keys[i] ^ keys[i - 1]) >> np.uint32(shift):
            number += 1
        counts[number] += 1.0
        for c in range(3):
            colors[c, number] += pixels[c, order[i]]
    colors = colors[:, : number + 1] / counts[: number + 1]
    return colors, counts[: number + 1].copy()


@kernel
def block_boxes(colors: NDArray[np.floating[Any]]) -> tuple[Floats, Floats]:
    """Centre and half extent, float64 [ceil(M / BLOCK), 3], of the bounding box of each block of [3, M]."""
    num_blocks = (colors.shape[1] + BLOCK - 1) // BLOCK
    middle, half = np.empty((num_blocks, 3)), np.empty((num_blocks, 3))
    for b in range(num_blocks):
        for c in range(3):
            run = colors[c, b * BLOCK : (b + 1) * BLOCK]
            low, high = np.float64(run.min()), np.float64(run.max())
            middle[b, c], half[b, c] = 0.5 * (low + high), 0.5 * (high - low)
    return middle, half


@kernel
def contenders(
    middle: Floats,
    half: Floats,
    linear: Floats,
    offset: Floats,
    margin: float,
    found: NDArray[np.int64],
) -> int:
    """Find the linear scores that may be within `margin` of the highest one somewhere in a box.

    Score k at x is linear[:, k] @ x + offset[k], with linear [3, K] and offset [K]; the box is middle +-
    half, float64 [3]. Writes the indices k to `found` and returns their number. (For k-means this is the
    filtering algorithm of Kanungo et al. 2002, with a box per block of colours instead of a tree.)
    """
    num_scores = len(offset)
    best, highest = 0, -np.inf
    for k in range(num_scores):
        score = offset[k] + linear[0, k] * middle[0] + linear[1, k] * middle[1] + linear[2, k] * middle[2]
        if score > highest:
            best, highest = k, score
    num_found = 0
    for k in range(num_scores):
        bound = offset[k] - offset[best] + margin
        for c in range(3):
            slope = linear[c, k] - linear[c, best]
            bound += slope * middle[c] + abs(slope) * half[c]
        if bound >= 0.0 or k == best:
            found[num_found] = k
            num_found += 1
    return num_found
