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
    sorted_labels, found, _ = cluster_columns(
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
) -> tuple[Labels, Floats, Floats]:
    """As `weighted_kmeans`, unchecked, for points [3, N] around 0 whose neighbours are alike.

    Also the sums [K, 4] of weight * (1, x) over the points of each label, 0 for a label without points.
    """
    total = weights.sum()
    mean = points @ weights / total
    variance = float((((points - mean[:, None]) ** 2) @ weights).mean() / total)
    found: tuple[Labels, Floats, Floats] = _lloyd(
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
) -> tuple[Labels, Floats, Floats]:
    num_points, num_clusters = points.shape[1], len(centers)
    middle, half = block_boxes(points)
    labels = np.full(num_points, -1, dtype=np.int64)
    sums, members = np.zeros((num_clusters, 4)), np.zeros(num_clusters, dtype=np.int64)
    centers = centers.copy()
    settled = rescued = False
    for _ in range(max_iterations):
        changed = _assign(points, weights, centers, middle, half, labels, sums, members) or rescued
        rescued = _rescue_empty(points, weights, centers, labels, sums, members)
        moved = 0.0
        for k in range(num_clusters):
            for c in range(3):
                if members[k] > 0:
                    new = sums[k, c + 1] / sums[k, 0]
                    moved += (new - centers[k, c]) ** 2
                    centers[k, c] = new
        if not changed:
            settled = True
            break
        if moved <= tolerance:
            break
    if not settled:
        _assign(points, weights, centers, middle, half, labels, sums, members)
    return labels, centers, sums


@njit(cache=True)
def _assign(
    points: Floats,
    weights: Floats,
    centers: Floats,
    middle: Floats,
    half: Floats,
    labels: Labels,
    sums: Floats,
    members: Labels,
) -> bool:
    """Give every point the label of its nearest centre; whether any changed is returned.

    sums: [K, 4] of weight * (1, x). members: [K], the number of points that weigh anything. Both are kept up
    with the labels, of which few change after the first iterations. The nearest centre has the highest
    2 c @ x - c @ c. Where one centre wins a whole box, nothing is left to be measured.
    """
    num_points, num_clusters = points.shape[1], len(centers)
    linear, offset = 2.0 * centers.T.copy(), -(centers**2).sum(axis=1)
    found = np.empty(num_clusters, dtype=np.int64)
    highest, winner = np.empty(BLOCK), np.empty(BLOCK, dtype=np.int64)
    changed = False
    for b in range(len(middle)):
        start, stop = b * BLOCK, min((b + 1) * BLOCK, num_points)
        # The margin covers rounding: a tie goes to the first centre, as it does in a full search.
        num_found = contenders(middle[b], half[b], linear, offset, 1e-12, found)
        winner[:] = found[0]
        if num_found > 1:
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
            if labels[i] != winner[i - start]:
                changed = True
                _move(points, weights, labels, sums, members, i, winner[i - start])
    return changed


@njit(cache=True)
def _move(
    points: Floats, weights: Floats, labels: Labels, sums: Floats, members: Labels, i: int, new: int
) -> None:
    """Give point i a new label, in sums and members as well; the old one may be -1, none."""
    old, labels[i] = labels[i], new
    if weights[i] == 0.0:
        return
    members[new] += 1
    sums[new, 0] += weights[i]
    for c in range(3):
        sums[new, c + 1] += weights[i] * points[c, i]
    if old < 0:
        return
    members[old] -= 1
    sums[old, 0] -= weights[i]
    for c in range(3):
        sums[old, c + 1] -= weights[i] * points[c, i]
    if members[old] == 0:
        sums[old] = 0.0  # not what rounding has left


@njit(cache=True)
def _rescue_empty(
    points: Floats, weights: Floats, centers: Floats, labels: Labels, sums: Floats, members: Labels
) -> bool:
    """Give every empty cluster the point farthest from its own centre; whether there was any is returned."""
    taken = np.zeros(0, dtype=np.int64)
    for k in range(len(centers)):
        if members[k] > 0:
            continue
        farthest, distance = -1, 0.0
        for i in range(points.shape[1]):
            d = 0.0
            for c in range(3):
                d += (points[c, i] - centers[labels[i], c]) ** 2
            if d > distance and weights[i] > 0.0 and not (taken == i).any():
                farthest, distance = i, d
        if farthest < 0:
            break
        taken = np.append(taken, farthest)
        _move(points, weights, labels, sums, members, farthest, k)
    return len(taken) > 0


def first_centers(
    pixels: Floats, points: Floats, counts: Floats, num_clusters: int, random_state: int
) -> Floats:
    """The k-means++ centres [K, 3] (Arthur and Vassilvitskii 2007) that scikit-learn draws from the pixels.

    pixels: float64 [3, N], drawn from. points, counts: float64 [3, M] and [M], what a candidate's worth is
    measured on: the pixels themselves, or fewer colours that stand for them; fast when neighbours are alike.
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
    num_pixels = pixels.shape[1]
    chosen = np.full(len(draws) + 1, first, dtype=np.int64)
    nearest, nearest_point = np.full(num_pixels, np.inf), np.full(points.shape[1], np.inf)
    run_sums = np.empty((num_pixels + _RUN - 1) // _RUN)
    middle, half = block_boxes(points)
    farthest = np.full(len(middle), np.inf)
    for step in range(len(draws)):
        color = pixels[:, chosen[step]].copy()
        for run in range(len(run_sums)):
            total = 0.0
            for i in range(run * _RUN, min((run + 1) * _RUN, num_pixels)):
                d0, d1, d2 = pixels[0, i] - color[0], pixels[1, i] - color[1], pixels[2, i] - color[2]
                nearest[i] = min(nearest[i], d0 * d0 + d1 * d1 + d2 * d2)
                total += nearest[i]
            run_sums[run] = total
        _approach(points, middle, half, nearest_point, farthest, color)
        best, most = 0, -np.inf
        potential = run_sums.sum()
        for draw in draws[step]:
            candidate = _pick(nearest, run_sums, draw * potential)
            gain = _gain(points, counts, middle, half, nearest_point, farthest, pixels[:, candidate].copy())
            if gain > most:
                best, most = candidate, gain
        chosen[step + 1] = best
    return chosen


@njit(cache=True, inline="always")
def _out_of_reach(middle: Floats, half: Floats, color: Floats, farthest: float) -> bool:
    """Whether no point of a box is nearer to a colour than `farthest`, a squared distance."""
    distance = 0.0
    for c in range(3):
        distance += max(abs(color[c] - middle[c]) - half[c], 0.0) ** 2
    return distance >= farthest


@njit(cache=True, fastmath={"contract", "nsz"})
def _approach(
    points: Floats, middle: Floats, half: Floats, nearest: Floats, farthest: Floats, color: Floats
) -> None:
    """Take a new centre into the points' squared distances to the nearest one, and each run's farthest."""
    c0, c1, c2 = color[0], color[1], color[2]
    for b in range(len(middle)):
        if _out_of_reach(middle[b], half[b], color, farthest[b]):
            continue
        high = 0.0
        for i in range(b * BLOCK, min((b + 1) * BLOCK, points.shape[1])):
            d0, d1, d2 = points[0, i] - c0, points[1, i] - c1, points[2, i] - c2
            nearest[i] = min(nearest[i], d0 * d0 + d1 * d1 + d2 * d2)
            high = max(high, nearest[i])
        farthest[b] = high


@njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
def _gain(
    points: Floats,
    counts: Floats,
    middle: Floats,
    half: Floats,
    nearest: Floats,
    farthest: Floats,
    color: Floats,
) -> float:
    """By how much a new centre would lower the sum of the squared distances to the nearest one."""
    c0, c1, c2 = color[0], color[1], color[2]
    total = 0.0
    for b in range(len(middle)):
        if _out_of_reach(middle[b], half[b], color, farthest[b]):
            continue
        part = 0.0
        for i in range(b * BLOCK, min((b + 1) * BLOCK, points.shape[1])):
            d0, d1, d2 = points[0, i] - c0, points[1, i] - c1, points[2, i] - c2
            part += counts[i] * max(nearest[i] - (d0 * d0 + d1 * d1 + d2 * d2), 0.0)
        total += part
    return total


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
