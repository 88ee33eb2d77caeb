"""numba kernels of Pyxelate's transform."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelpersona.pixel.kernel import kernel

Floats = NDArray[np.float64]


@kernel
def rgb_to_hsv(planes: Floats) -> None:
    """Convert planes of red, green and blue, float64 [3, H, W] of 0-1, to hue, saturation, value in place."""
    _, height, width = planes.shape
    for y in range(height):
        for x in range(width):
            r, g, b = planes[0, y, x], planes[1, y, x], planes[2, y, x]
            value = max(r, g, b)
            spread = value - min(r, g, b)
            hue = 0.0
            if spread > 0.0:
                if b == value:
                    hue = 4.0 + (r - g) / spread
                elif g == value:
                    hue = 2.0 + (b - r) / spread
                else:
                    hue = (g - b) / spread
            planes[0, y, x] = (hue / 6.0) % 1.0
            planes[1, y, x] = spread / value if spread > 0.0 else 0.0
            planes[2, y, x] = value


@kernel
def hsv_to_rgb(hsv: Floats) -> None:
    """Convert planes of hue, saturation and value, float64 [3, H, W], to red, green and blue in place."""
    _, height, width = hsv.shape
    for y in range(height):
        for x in range(width):
            hue, s, v = hsv[0, y, x] * 6.0, hsv[1, y, x], hsv[2, y, x]
            f = hue - np.floor(hue)
            p, q, t = v * (1.0 - s), v * (1.0 - f * s), v * (1.0 - (1.0 - f) * s)
            sextant = np.int64(hue) % 6
            r, g, b = v, p, q
            if sextant == 0:
                g, b = t, p
            elif sextant == 1:
                r, g, b = q, v, p
            elif sextant == 2:
                r, g, b = p, v, t
            elif sextant == 3:
                r, g, b = p, q, v
            elif sextant == 4:
                r, g, b = t, p, v
            hsv[0, y, x], hsv[1, y, x], hsv[2, y, x] = r, g, b


@kernel(inline="always")
def _sort3(a: Any, b: Any, c: Any) -> Any:
    low, high = min(a, b), max(a, b)
    return min(low, c), max(low, min(high, c)), max(high, c)


@kernel
def median_3x3(channel: Floats) -> None:
    """Replace every pixel by the median of its 3x3 neighbourhood, float64 [H, W]; the edge is replicated.

    Sorts columns of three once; the median of nine is the median of the largest low, the median middle and
    the smallest high value (Paeth, Graphics Gems 1990).
    """
    height, width = channel.shape
    above = channel[0].copy()  # the row above as it was before it was replaced
    low = np.empty(width + 2)
    middle = np.empty(width + 2)
    high = np.empty(width + 2)
    for y in range(height):
        here, below = channel[y], channel[min(y + 1, height - 1)]
        for x in range(width):
            a, b, c = _sort3(above[x], here[x], below[x])
            above[x] = here[x]
            low[x + 1], middle[x + 1], high[x + 1] = a, b, c
        low[0], middle[0], high[0] = low[1], middle[1], high[1]
        low[width + 1], middle[width + 1], high[width + 1] = low[width], middle[width], high[width]
        for x in range(width):
            a = max(low[x], low[x + 1], low[x + 2])
            _, b, _ = _sort3(middle[x], middle[x + 1], middle[x + 2])
            c = min(high[x], high[x + 1], high[x + 2])
            _, here[x], _ = _sort3(a, b, c)


@kernel(fastmath={"contract", "nsz"})
def edge_weighted(channel: Floats, side: int) -> Floats:
    """Mean of every side x side block weighted by Sobel magnitude: [H, W] -> [H // side, W // side].

    The edge is replicated; a flat block has its plain mean.
    """
    height, width = channel.shape
    rows, columns = height // side, width // side
    result = np.empty((rows, columns))
    smooth, step = np.empty(width + 2), np.empty(width + 2)
    total, weighted = np.empty(width), np.empty(width)
    for row in range(rows):
        total[:], weighted[:] = 0.0, 0.0
        for y in range(row * side, (row + 1) * side):
            above, here, below = channel[max(y - 1, 0)], channel[y], channel[min(y + 1, height - 1)]
            for x in range(width):
                smooth[x + 1] = 0.25 * (above[x] + below[x]) + 0.5 * here[x]
                step[x + 1] = above[x] - below[x]
            smooth[0], step[0] = smooth[1], step[1]
            smooth[width + 1], step[width + 1] = smooth[width], step[width]
            for x in range(width):
                across = smooth[x] - smooth[x + 2]
                down = 0.25 * (step[x] + step[x + 2]) + 0.5 * step[x + 1]
                weight = np.sqrt(0.5 * (across * across + down * down)) + 1e-8
                total[x] += weight
                weighted[x] += weight * here[x]
        for column in range(columns):
            block = slice(column * side, (column + 1) * side)
            result[row, column] = weighted[block].sum() / total[block].sum()
    return result
