"""k-means on weighted colours: Lloyd's iterations (Lloyd 1982) and the k-means++ start of scikit-learn.

Both follow scikit-learn's KMeans step by step (same draws, same stopping rule), so that on pixels of weight 1
the labels are its own; weights and boxes over runs of colours make it fast.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pixelpersona.pixel.color_cells import BLOCK, block_boxes, contenders, morton_order

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

_TOLERANCE = 1e-4  # of the mean variance: centres that move less in sum of squares have converged
_RUN = 256  # pixels whose distances are summed together when a candidate is drawn


def weighted_kmeans(
    points: Floats,
    weights: Floats,
    centers: Floats,
    max_iterations: int = 300,
    tolerance: float = _TOLERANCE,
) -> tuple[Labels, Floats]:
    """Clusters of weighted points: labels int64 [N] and centres float64 [K, 3].

    points: float64 [N, 3] of any range. weights: float64 [N], not negative. centers: float64 [K, 3], the
    start. tolerance: stop when the centres' squared moves sum to less than this part of the mean variance.
    Raises ValueError for shapes that do not fit, for no points, or when no weight is above 0.
    """
    if points.ndim != 2 or points.shape[1] != 3 or centers.ndim != 2 or centers.shape[1] != 3:
        raise ValueError(
            f"points, centers: must be [N, 3] and [K, 3], not {points.shape} and {centers.shape}"
        )
    if weights.shape != (len(points),) or len(centers) == 0 or not (weights > 0).any() or weights.min() < 0:
        raise ValueError("weights: must be [N], none negative and not all 0, with at least one center")
    low, high = points.min(axis=0), points.max(axis=0)
    order = morton_order(np.ascontiguousarray(((points - low) / np.maximum(high - low, 1e-300)).T))
    middle = np.average(points, axis=0, weights=weights)
    columns = np.ascontiguousarray((points[order] - middle).T)
    sorted_labels, found = cluster_columns(
        columns, weights[order], centers - middle, max_iterations, tolerance
    )
    labels = np.empty(len(points), dtype=np.int64)
    labels[order] = sorted_labels
    return labels, found + middle


def cluster_columns(
    points: Floats,
    weights: Floats,
    centers: Floats,
    max_iterations: int = 300,
    tolerance: float = _TOLERANCE,
) -> tuple[Labels, Floats]:
    """As `weighted_kmeans`, unchecked, for points [3, N] around 0 whose neighbours are alike."""
    total = weights.sum()
    mean = points @ weights / total
    variance = float((((points - mean[:, None]) ** 2) @ weights).mean() / total)
    found: tuple[Labels, Floats] = _lloyd(
        np.ascontiguousarray(points, dtype=np.float64),
        np.ascontiguousarray(weights, dtype=np.float64),
        np.ascontiguousarray(centers, dtype=np.float64),
        max_iterations,
        tolerance * variance,
    )
    return found


@njit(cache=True)
def _lloyd(
    points: Floats, weights: Floats, centers: Floats, max_iterations: int, tolerance: float
) -> tuple[Labels, Floats]:
    num_points, num_clusters = points.shape[1], len(centers)
    middle, half = block_boxes(points)
    block_sums = _block_sums(points, weights)
    labels = np.full(num_points, -1, dtype=np.int64)
    centers = centers.copy()
    settled = False
    for _ in range(max_iterations):
        sums, changed = _assign(points, weights, centers, middle, half, block_sums, labels)
        _rescue_empty(points, weights, centers, labels, sums)
        moved = 0.0
        for k in range(num_clusters):
            for c in range(3):
                if sums[k, 0] > 0.0:
                    new = sums[k, c + 1] / sums[k, 0]
                    moved += (new - centers[k, c]) ** 2
                    centers[k, c] = new
        if not changed:
            settled = True
            break
        if moved <= tolerance:
            break
    if not settled:
        _assign(points, weights, centers, middle, half, block_sums, labels)
    return labels, centers


@njit(cache=True)
def _block_sums(points: Floats, weights: Floats) -> Floats:
    """Sums of weight * (1, x) over every run of points: float64 [B, 4]."""
    num_points = points.shape[1]
    sums = np.zeros(((num_points + BLOCK - 1) // BLOCK, 4))
    for i in range(num_points):
        sums[i // BLOCK, 0] += weights[i]
        for c in range(3):
            sums[i // BLOCK, c + 1] += weights[i] * points[c, i]
    return sums


@njit(cache=True)
def _assign(
    points: Floats,
    weights: Floats,
    centers: Floats,
    middle: Floats,
    half: Floats,
    block_sums: Floats,
    labels: Labels,
) -> tuple[Floats, bool]:
    """Label every point with its nearest centre; the sums [K, 4] of weight * (1, x), and whether any changed.

    The nearest centre has the highest 2 c @ x - c @ c. Where one centre wins a whole box, nothing is left
    to be measured.
    """
    num_points, num_clusters = points.shape[1], len(centers)
    linear, offset = 2.0 * centers.T.copy(), -(centers**2).sum(axis=1)
    sums = np.zeros((num_clusters, 4))
    found = np.empty(num_clusters, dtype=np.int64)
    highest, winner = np.empty(BLOCK), np.empty(BLOCK, dtype=np.int64)
    changed = False
    for b in range(len(middle)):
        start, stop = b * BLOCK, min((b + 1) * BLOCK, num_points)
        # The margin covers rounding: a tie goes to the first centre, as it does in a full search.
        num_found = contenders(middle[b], half[b], linear, offset, 1e-12, found)
        if num_found == 1:
            k = found[0]
            sums[k] += block_sums[b]
            for i in range(start, stop):
                changed |= labels[i] != k
                labels[i] = k
            continue
        highest[:] = -np.inf
        for f in range(num_found):
            k = found[f]
            a0, a1, a2, a = linear[0, k], linear[1, k], linear[2, k], offset[k]
            for i in range(start, stop):
                score = a0 * points[0, i] + a1 * points[1, i] + a2 * points[2, i] + a
                better = score > highest[i - start]
                highest[i - start] = score if better else highest[i - start]
                winner[i - start] = k if better else winner[i - start]
        for i in range(start, stop):
            k = winner[i - start]
            changed |= labels[i] != k
            labels[i] = k
            sums[k, 0] += weights[i]
            for c in range(3):
                sums[k, c + 1] += weights[i] * points[c, i]
    return sums, changed


@njit(cache=True)
def _rescue_empty(points: Floats, weights: Floats, centers: Floats, labels: Labels, sums: Floats) -> None:
    """Give every empty cluster the point farthest from its own centre."""
    taken = np.zeros(0, dtype=np.int64)
    for k in range(len(centers)):
        if sums[k, 0] > 0.0:
            continue
        farthest, distance = -1, 0.0
        for i in range(points.shape[1]):
            d = 0.0
            for c in range(3):
                d += (points[c, i] - centers[labels[i], c]) ** 2
            if d > distance and weights[i] > 0.0 and not (taken == i).any():
                farthest, distance = i, d
        if farthest < 0:
            return
        taken = np.append(taken, farthest)
        sums[labels[farthest], 0] -= weights[farthest]
        sums[k, 0] = weights[farthest]
        for c in range(3):
            share = weights[farthest] * points[c, farthest]
            sums[labels[farthest], c + 1] -= share
            sums[k, c + 1] = share


def first_centers(
    pixels: Floats, points: Floats, counts: Floats, num_clusters: int, random_state: int
) -> Floats:
    """The k-means++ centres [K, 3] (Arthur and Vassilvitskii 2007) that scikit-learn draws from the pixels.

    pixels: float64 [3, N], drawn from. points, counts: float64 [3, M] and [M], what a candidate's worth is
    measured on: the pixels themselves, or fewer colours that stand for them.
    """
    random = np.random.RandomState(random_state)
    num_pixels = pixels.shape[1]
    first = int(random.choice(num_pixels, p=np.full(num_pixels, 1.0 / num_pixels)))
    draws = random.uniform(size=(num_clusters - 1, 2 + int(np.log(num_clusters))))
    chosen = _plus_plus(pixels, points, counts, first, draws)
    return np.ascontiguousarray(pixels[:, chosen].T)


@njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _plus_plus(
    pixels: Floats, points: Floats, counts: Floats, first: int, draws: Floats
) -> NDArray[np.int64]:
    num_pixels, num_points = pixels.shape[1], points.shape[1]
    chosen = np.full(len(draws) + 1, first, dtype=np.int64)
    nearest, nearest_point = np.full(num_pixels, np.inf), np.full(num_points, np.inf)
    run_sums = np.empty((num_pixels + _RUN - 1) // _RUN)
    for step in range(len(draws)):
        c0, c1, c2 = pixels[0, chosen[step]], pixels[1, chosen[step]], pixels[2, chosen[step]]
        for run in range(len(run_sums)):
            total = 0.0
            for i in range(run * _RUN, min((run + 1) * _RUN, num_pixels)):
                d0, d1, d2 = pixels[0, i] - c0, pixels[1, i] - c1, pixels[2, i] - c2
                nearest[i] = min(nearest[i], d0 * d0 + d1 * d1 + d2 * d2)
                total += nearest[i]
            run_sums[run] = total
        for i in range(num_points):
            d0, d1, d2 = points[0, i] - c0, points[1, i] - c1, points[2, i] - c2
            nearest_point[i] = min(nearest_point[i], d0 * d0 + d1 * d1 + d2 * d2)
        best, lowest = 0, np.inf
        potential = run_sums.sum()
        for draw in draws[step]:
            candidate = _pick(nearest, run_sums, draw * potential)
            c0, c1, c2 = pixels[0, candidate], pixels[1, candidate], pixels[2, candidate]
            worth = 0.0
            for i in range(num_points):
                d0, d1, d2 = points[0, i] - c0, points[1, i] - c1, points[2, i] - c2
                worth += counts[i] * min(nearest_point[i], d0 * d0 + d1 * d1 + d2 * d2)
            if worth < lowest:
                best, lowest = candidate, worth
        chosen[step + 1] = best
    return chosen


@njit(cache=True)
def _pick(nearest: Floats, run_sums: Floats, goal: float) -> int:
    """The first pixel at which the running sum of `nearest` reaches the goal."""
    total, run = 0.0, 0
    while run < len(run_sums) - 1 and total + run_sums[run] < goal:
        total += run_sums[run]
        run += 1
    for i in range(run * _RUN, len(nearest)):
        total += nearest[i]
        if total >= goal:
            return i
    return len(nearest) - 1
