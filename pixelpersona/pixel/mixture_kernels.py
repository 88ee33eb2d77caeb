"""numba kernels of the colour mixture's variational expectation-maximisation.

The E-step takes 98 % of upstream's time. With a shared covariance the quadratic term of a point is the same
for all components and cancels, so a component's score is linear in the point: one product and one exponential
per point and component. Points come in blocks of similar colours; a component that is improbable on the whole
bounding box of a block is skipped, and the loops inside a block are vectorised.

`expectation_sums` may reorder its sums, so two compilations of it can differ in their last digits. A kernel
that called it would contain a second compilation of it; numba runs one of the two in the process that
compiles the kernel, and the other when it loads the kernel from its cache. Therefore both steps are called
from Python.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelpersona.pixel.color_cells import BLOCK, contenders
from pixelpersona.pixel.kernel import kernel

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]

_FAST = {"reassoc", "contract", "arcp", "nsz"}  # sums may be reordered; infinities stay exact
_COVARIANCE_FLOOR = 1e-6
_EMPTY = 10 * float(np.finfo(np.float64).eps)  # added to every component's members, as in scikit-learn


@kernel(fastmath=_FAST, inline="always")
def _exp2(x: Any) -> Any:
    """2**x for float32 x <= 0 by a polynomial of degree 5 (relative error 1e-7), clamped at x = -60.

    Smaller responsibilities are negligible, and denormal numbers would be 30 times as slow.
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


@kernel(fastmath=_FAST, inline="always")
def _unscaled_responsibilities(
    x0: Floats32,
    x1: Floats32,
    x2: Floats32,
    linear: Floats,
    offset: Floats,
    found: NDArray[np.int64],
    scores: Floats32,
    highest: Floats32,
    total: Floats32,
) -> None:
    """Write the likelihoods of the components `found` at one block, relative to the highest, to `scores`.

    `total` receives their sum at each point; `highest` is a work array.
    """
    highest[:] = np.float32(-np.inf)
    total[:] = np.float32(0.0)
    for f in range(len(found)):
        k = found[f]
        a0, a1, a2 = np.float32(linear[0, k]), np.float32(linear[1, k]), np.float32(linear[2, k])
        b = np.float32(offset[k])
        for i in range(BLOCK):
            score = a0 * x0[i] + a1 * x1[i] + a2 * x2[i] + b
            scores[f, i] = score
            highest[i] = max(highest[i], score)
    for f in range(len(found)):
        for i in range(BLOCK):
            e = _exp2(scores[f, i] - highest[i])
            scores[f, i] = e
            total[i] += e


@kernel(fastmath=_FAST, inline="always")
def _add_sums(
    x0: Floats32,
    x1: Floats32,
    x2: Floats32,
    weight: Floats32,
    found: NDArray[np.int64],
    scores: Floats32,
    sums: Floats,
) -> None:
    """Add one block's sums of weight * score * (1, x) to `sums` [K, 4] of the components `found`."""
    for f in range(len(found)):
        s = np.float32(0.0)
        s0 = np.float32(0.0)
        s1 = np.float32(0.0)
        s2 = np.float32(0.0)
        for i in range(BLOCK):
            r = scores[f, i] * weight[i]
            s += r
            s0 += r * x0[i]
            s1 += r * x1[i]
            s2 += r * x2[i]
        k = found[f]
        sums[k, 0] += s
        sums[k, 1] += s0
        sums[k, 2] += s1
        sums[k, 3] += s2


@kernel(fastmath=_FAST)
def expectation_sums(
    points: Floats32,
    counts: Floats32,
    middle: Floats,
    half: Floats,
    linear: Floats,
    offset: Floats,
    margin: float,
) -> Floats:
    """One E-step: the sums over points of count * responsibility * (1, x), float64 [K, 4].

    points: float32 [3, N], centred colours. counts: float32 [N]. middle, half: boxes of the blocks, from
    `block_boxes`. A component's log-probability in base 2, up to a term common to all, is
    linear[:, k] @ x + offset[k] with linear float64 [3, K], offset float64 [K]. margin: bits; a component
    less probable than another by more, everywhere in a block's box, is skipped there.
    """
    num_points, num_components = points.shape[1], offset.shape[0]
    sums = np.zeros((num_components, 4), dtype=np.float64)
    scores = np.empty((num_components, BLOCK), dtype=np.float32)
    found = np.empty(num_components, dtype=np.int64)
    x0 = np.zeros(BLOCK, dtype=np.float32)  # copies, so that all loops have the same, known length
    x1 = np.zeros(BLOCK, dtype=np.float32)
    x2 = np.zeros(BLOCK, dtype=np.float32)
    count = np.zeros(BLOCK, dtype=np.float32)
    highest = np.empty(BLOCK, dtype=np.float32)
    weight = np.empty(BLOCK, dtype=np.float32)
    for block in range(len(middle)):
        start = block * BLOCK
        size = min(BLOCK, num_points - start)
        for i in range(size):
            x0[i], x1[i], x2[i] = points[0, start + i], points[1, start + i], points[2, start + i]
            count[i] = counts[start + i]
        count[size:] = np.float32(0.0)
        num_found = contenders(middle[block], half[block], linear, offset, margin, found)
        active = found[:num_found]
        _unscaled_responsibilities(x0, x1, x2, linear, offset, active, scores, highest, weight)
        for i in range(BLOCK):
            weight[i] = count[i] / weight[i]
        _add_sums(x0, x1, x2, weight, active, scores, sums)
    return sums


@kernel
def _digamma(x: float) -> float:
    """Digamma function for x > 0 (Bernardo 1976, AS 103): recurrence up to 8, then the asymptotic series."""
    result = 0.0
    while x < 8.0:
        result -= 1.0 / x
        x += 1.0
    f = 1.0 / (x * x)
    series = f * (1 / 12 - f * (1 / 120 - f * (1 / 252 - f * (1 / 240 - f * (1 / 132 - f * 691 / 32760)))))
    return float(result + np.log(x) - 0.5 / x - series)


@kernel
def _log_weights(members: Floats, concentration: float, process: bool) -> Floats:
    """Expected log-weights up to a constant (Bishop 10.66; stick breaking: Blei & Jordan 2006, 3.2)."""
    num_components = len(members)
    result = np.empty(num_components)
    rest, stick = members.sum(), 0.0
    for k in range(num_components):
        if process:
            rest -= members[k]
            a, b = 1.0 + members[k], concentration + max(rest, 0.0)
            if k == num_components - 1:
                b = concentration
            total = _digamma(a + b)
            result[k] = _digamma(a) - total + stick
            stick += _digamma(b) - total
        else:
            result[k] = _digamma(concentration + members[k])
    return result


@kernel
def maximization(
    sums: Floats,
    num_pixels: float,
    covariance: Floats,
    prior_mean: Floats,
    mean_precision: float,
    concentration: float,
    process: bool,
) -> tuple[Floats, Floats, Floats]:
    """M-step (Bishop 2006, equations 10.58-10.63, with a shared scatter matrix).

    sums: float64 [K, 4], from `expectation_sums`. Returns centred means [K, 3], linear [3, K], offset [K].
    """
    num_components = len(sums)
    per_component = num_pixels / num_components
    members = sums[:, 0] + _EMPTY
    means = np.empty((num_components, 3))
    scatter, pull = np.zeros((3, 3)), np.zeros((3, 3))
    for k in range(num_components):
        precision = mean_precision + members[k]
        average = sums[k, 1:] / members[k]
        apart = average - prior_mean
        means[k] = (mean_precision * prior_mean + members[k] * average) / precision
        for c in range(3):
            for d in range(3):
                scatter[c, d] += members[k] * average[c] * average[d]
                pull[c, d] += members[k] / precision * apart[c] * apart[d]
    within = covariance - scatter / members.sum()
    for c in range(3):
        within[c, c] += _COVARIANCE_FLOOR
    prior_covariance = covariance * (num_pixels / max(1.0, num_pixels - 1.0))
    spread = prior_covariance + per_component * within + pull * (mean_precision / num_components)
    linear = np.linalg.solve(spread / (3.0 + per_component), np.ascontiguousarray(means.T))
    offset = _log_weights(members, concentration, process)
    for k in range(num_components):
        offset[k] -= 1.5 / (mean_precision + members[k])
        for c in range(3):
            offset[k] -= 0.5 * means[k, c] * linear[c, k]
    return means, linear, offset


@kernel
def highest_scores(colors: Floats, center: Floats, linear: Floats, offset: Floats) -> NDArray[np.intp]:
    """Index of the highest score at each colour, float64 [N, 3] -> intp [N]; the first of a tie."""
    best = np.empty(len(colors), dtype=np.intp)
    for i in range(len(colors)):
        x0, x1, x2 = colors[i, 0] - center[0], colors[i, 1] - center[1], colors[i, 2] - center[2]
        highest, winner = -np.inf, 0
        for k in range(len(offset)):
            score = linear[0, k] * x0 + linear[1, k] * x1 + linear[2, k] * x2 + offset[k]
            if score > highest:
                highest, winner = score, k
        best[i] = winner
    return best
