"""The inner loops of Pyxelate, compiled by numba on first use and kept in its cache.

The mixture's E-step is where 98 % of upstream's time goes. With one covariance for all components the
quadratic term of a point is the same for each of them and cancels, so a component's score is linear in the
point: one product and one exponential per point and component. Points are taken in blocks, components outside
and points inside, so that every inner loop is a plain vector loop.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

_BLOCK = 128  # points per block: scores of 32 components stay in the first-level cache
_FAST = {"reassoc", "contract", "arcp", "nsz"}  # sums may be reordered; infinities keep their meaning


@njit(cache=True, fastmath=_FAST, inline="always")
def _exp2(x: Any) -> Any:
    """2**x for float32 x <= 0 (a polynomial of degree 5, relative error 1e-7); below -60 as at -60.

    No responsibility that small is felt, and further down wait the denormal numbers: 30 times as slow.
    """
    x = max(x, np.float32(-60.0))
    whole = np.floor(x)
    f = x - whole
    p = np.float32(1.86718286e-3)
    p = p * f + np.float32(9.01668762e-3)
    p = p * f + np.float32(5.58004471e-2)
    p = p * f + np.float32(2.40164154e-1)
    p = p * f + np.float32(6.93151363e-1)
    p = p * f + np.float32(1.0)
    scale = (np.int32(whole) + np.int32(127)) << np.int32(23)
    return p * np.int32(scale).view(np.float32)


@njit(cache=True, fastmath=_FAST)
def expectation_sums(points: Floats, counts: Floats, linear: Floats, offset: Floats) -> NDArray[np.float64]:
    """One E-step and the sums the M-step needs.

    points: float32 [3, N], centred colours. counts: float32 [N]. A component's log-probability in base 2, up
    to a term common to all, is linear[:, k] @ x + offset[k] with linear float32 [3, K], offset float32 [K].
    Returns float64 [K, 4]: the sum over points of count * responsibility * (1, x).
    """
    num_points, num_components = points.shape[1], offset.shape[0]
    sums = np.zeros((num_components, 4), dtype=np.float64)
    scores = np.empty((num_components, _BLOCK), dtype=np.float32)
    highest = np.empty(_BLOCK, dtype=np.float32)
    weight = np.empty(_BLOCK, dtype=np.float32)
    for start in range(0, num_points, _BLOCK):
        size = min(_BLOCK, num_points - start)
        x0 = points[0, start : start + size]
        x1 = points[1, start : start + size]
        x2 = points[2, start : start + size]
        highest[:] = np.float32(-np.inf)
        for k in range(num_components):
            a0, a1, a2, b = linear[0, k], linear[1, k], linear[2, k], offset[k]
            for i in range(size):
                score = a0 * x0[i] + a1 * x1[i] + a2 * x2[i] + b
                scores[k, i] = score
                highest[i] = max(highest[i], score)
        weight[:] = np.float32(0.0)
        for k in range(num_components):
            for i in range(size):
                e = _exp2(scores[k, i] - highest[i])
                scores[k, i] = e
                weight[i] += e
        for i in range(size):
            weight[i] = counts[start + i] / weight[i]
        for k in range(num_components):
            s = np.float32(0.0)
            s0 = np.float32(0.0)
            s1 = np.float32(0.0)
            s2 = np.float32(0.0)
            for i in range(size):
                r = scores[k, i] * weight[i]
                s += r
                s0 += r * x0[i]
                s1 += r * x1[i]
                s2 += r * x2[i]
            sums[k, 0] += s
            sums[k, 1] += s0
            sums[k, 2] += s1
            sums[k, 3] += s2
    return sums


@njit(cache=True, inline="always")
def _sort3(a: Any, b: Any, c: Any) -> Any:
    low, high = min(a, b), max(a, b)
    return min(low, c), max(low, min(high, c)), max(high, c)


@njit(cache=True)
def median_3x3(channel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of every pixel's 3x3 neighbourhood, float64 [H, W]; the edge is repeated outside.

    Columns of three are sorted once; the median of nine is the median of the largest low, the median middle
    and the smallest high (Paeth, Graphics Gems 1990).
    """
    height, width = channel.shape
    result = np.empty_like(channel)
    low = np.empty(width + 2)
    middle = np.empty(width + 2)
    high = np.empty(width + 2)
    for y in range(height):
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        for x in range(width):
            a, b, c = _sort3(channel[above, x], channel[y, x], channel[below, x])
            low[x + 1], middle[x + 1], high[x + 1] = a, b, c
        low[0], middle[0], high[0] = low[1], middle[1], high[1]
        low[width + 1], middle[width + 1], high[width + 1] = low[width], middle[width], high[width]
        for x in range(width):
            a = max(low[x], low[x + 1], low[x + 2])
            _, b, _ = _sort3(middle[x], middle[x + 1], middle[x + 2])
            c = min(high[x], high[x + 1], high[x + 2])
            _, result[y, x], _ = _sort3(a, b, c)
    return result
