"""A blue-noise threshold map: thresholds next to each other differ much, and no pattern is seen.

Ulichney, "The void-and-cluster method for dither array generation", SPIE 1913, 1993.
"""

from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SIDE = 64
_SIGMA = 1.5  # pixels, of the Gaussian that measures crowding: Ulichney's choice
_FIRST_POINTS = SIDE * SIDE // 10
_SEED = 1


@cache
def blue_noise_map() -> Floats:
    """float64 [64, 64], every threshold (rank + 0.5) / 4096 once; tiles without a seam. Takes 0.1 s once."""
    offset = np.minimum(np.arange(SIDE), SIDE - np.arange(SIDE)) ** 2
    crowding = np.exp(-(offset[:, None] + offset[None]) / (2 * _SIGMA**2))
    chosen = np.random.RandomState(_SEED).permutation(SIDE * SIDE)[:_FIRST_POINTS]
    thresholds: Floats = (_ranks(crowding, chosen).reshape(SIDE, SIDE) + 0.5) / SIDE**2
    thresholds.flags.writeable = False
    return thresholds


@njit(cache=True)
def _change(energy: Floats, crowding: Floats, point: int, sign: float) -> None:
    """Add a point's Gaussian, wrapped around the edges, to the energy, or take it away."""
    row, column = point // SIDE, point % SIDE
    for y in range(SIDE):
        for x in range(SIDE):
            energy[y * SIDE + x] += sign * crowding[(y - row) % SIDE, (x - column) % SIDE]


@njit(cache=True)
def _extreme(energy: Floats, points: NDArray[np.bool_], wanted: bool) -> int:
    """The tightest cluster (the most crowded point), or the largest void (the least crowded gap)."""
    best, most = -1, -np.inf
    for i in range(len(energy)):
        crowded = energy[i] if wanted else -energy[i]
        if points[i] == wanted and crowded > most:
            best, most = i, crowded
    return best


@njit(cache=True)
def _ranks(crowding: Floats, chosen: Integers) -> Integers:
    points = np.zeros(SIDE * SIDE, dtype=np.bool_)
    energy = np.zeros(SIDE * SIDE)
    for point in chosen:
        points[point] = True
        _change(energy, crowding, point, 1.0)
    while True:  # move points from clusters to voids until they are spread evenly
        cluster = _extreme(energy, points, True)
        points[cluster] = False
        _change(energy, crowding, cluster, -1.0)
        void = _extreme(energy, points, False)
        points[void] = True
        _change(energy, crowding, void, 1.0)
        if void == cluster:
            break
    ranks = np.zeros(SIDE * SIDE, dtype=np.int64)
    rest, rest_energy = points.copy(), energy.copy()
    for rank in range(len(chosen) - 1, -1, -1):
        cluster = _extreme(rest_energy, rest, True)
        rest[cluster] = False
        _change(rest_energy, crowding, cluster, -1.0)
        ranks[cluster] = rank
    # His third phase, the tightest cluster of gaps, picks the same: the two energies add up to a constant.
    for rank in range(len(chosen), SIDE * SIDE):
        void = _extreme(energy, points, False)
        points[void] = True
        _change(energy, crowding, void, 1.0)
        ranks[void] = rank
    return ranks
