"""numba kernels of the downsamplers `k_centroid` and `dominant`.

Sums are taken in a fixed order and in float64, so results do not depend on the machine.
"""

import numpy as np
from numpy.typing import NDArray

from pixelpersona.pixel.kernel import kernel

Floats = NDArray[np.float64]

_ITERATIONS = 16  # of Lloyd's algorithm; two clusters of one cell converge in a few


@kernel
def _squared(first: Floats, second: Floats) -> float:
    total = 0.0
    for c in range(3):
        total += (first[c] - second[c]) ** 2
    return total


@kernel
def _first_centers(points: Floats, centers: Floats) -> None:
    """Fill centers [K, 3]: the point farthest from the mean, then the points farthest from those chosen."""
    size = points.shape[0]
    mean = np.zeros(3)
    for i in range(size):
        for c in range(3):
            mean[c] += points[i, c] / size
    gap = np.empty(size)
    for k in range(centers.shape[0]):
        farthest = 0
        for i in range(size):
            d = _squared(points[i], mean if k == 0 else centers[k - 1])
            gap[i] = d if k < 2 else min(gap[i], d)
            if gap[i] > gap[farthest]:
                farthest = i
        centers[k] = points[farthest]


@kernel
def _assign(points: Floats, centers: Floats, label: NDArray[np.int64]) -> bool:
    """Write the nearest center of every point into label [n]; return whether any label changed."""
    changed = False
    for i in range(points.shape[0]):
        best, least = 0, np.inf
        for k in range(centers.shape[0]):
            d = _squared(points[i], centers[k])
            if d < least:
                best, least = k, d
        changed = changed or best != label[i]
        label[i] = best
    return changed


@kernel
def largest_cluster(points: Floats, num_clusters: int) -> Floats:
    """k-means in each of N cells: float64 [N, n, 3] -> the center of its largest cluster, float64 [N, 3].

    Starts from points far from the mean and from each other; ties go to the first point or cluster.
    """
    num_cells, size, _ = points.shape
    result = np.empty((num_cells, 3))
    centers = np.empty((num_clusters, 3))
    sums = np.empty((num_clusters, 3))
    counts = np.empty(num_clusters, dtype=np.int64)
    label = np.empty(size, dtype=np.int64)
    for cell in range(num_cells):
        _first_centers(points[cell], centers)
        label[:] = -1
        for _ in range(_ITERATIONS):
            changed = _assign(points[cell], centers, label)
            sums[:] = 0.0
            counts[:] = 0
            for i in range(size):
                counts[label[i]] += 1
                sums[label[i]] += points[cell, i]
            for k in range(num_clusters):
                if counts[k] > 0:
                    centers[k] = sums[k] / counts[k]
            if not changed:
                break
        result[cell] = centers[counts.argmax()]
    return result


@kernel
def most_frequent(pixels: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """The mean colour of each cell's most frequent colour bin: uint8 [N, n, 3] -> uint8 [N, 3].

    Bins have `bits` bits per channel; a tie goes to the bin of the earliest pixel.
    """
    num_cells, size, _ = pixels.shape
    shift = 8 - bits
    result = np.empty((num_cells, 3), dtype=np.uint8)
    count = np.zeros(1 << (3 * bits), dtype=np.int64)
    key = np.empty(size, dtype=np.int64)
    for cell in range(num_cells):
        for i in range(size):
            r, g, b = pixels[cell, i, 0] >> shift, pixels[cell, i, 1] >> shift, pixels[cell, i, 2] >> shift
            key[i] = (np.int64(r) << (2 * bits)) | (np.int64(g) << bits) | np.int64(b)
            count[key[i]] += 1
        best = key[0]
        for i in range(size):
            if count[key[i]] > count[best]:
                best = key[i]
        total = count[best]
        for c in range(3):
            value = 0
            for i in range(size):
                if key[i] == best:
                    value += pixels[cell, i, c]
            result[cell, c] = (2 * value + total) // (2 * total)
        for i in range(size):
            count[key[i]] = 0
    return result
