"""A blue-noise threshold map for ordered dithering, by the void-and-cluster method.

Ulichney, "The void-and-cluster method for dither array generation", SPIE 1913, 1993.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from pixelpersona.pixel.kernel import kernel

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SIDE = 64
_SIGMA = 1.5  # pixels, of the Gaussian that measures local density: Ulichney's choice
_FIRST_POINTS = SIDE * SIDE // 10
_SEED = 1


@cache
def blue_noise_map() -> Floats:
    """Read-only float64 [64, 64] that tiles seamlessly: each threshold (rank + 0.5) / 4096 occurs once."""
    offset = np.minimum(np.arange(SIDE), SIDE - np.arange(SIDE)) ** 2
    gaussian = np.exp(-(offset[:, None] + offset[None]) / (2 * _SIGMA**2))
    chosen = np.random.RandomState(_SEED).permutation(SIDE * SIDE)[:_FIRST_POINTS]
    thresholds: Floats = (_ranks(gaussian, chosen).reshape(SIDE, SIDE) + 0.5) / SIDE**2
    thresholds.flags.writeable = False
    return thresholds


@kernel
def _add_gaussian(energy: Floats, gaussian: Floats, point: int, sign: float) -> None:
    """Add (sign 1) or subtract (sign -1) a point's Gaussian, with periodic boundaries, in place."""
    row, column = point // SIDE, point % SIDE
    for y in range(SIDE):
        for x in range(SIDE):
            energy[y * SIDE + x] += sign * gaussian[(y - row) % SIDE, (x - column) % SIDE]


@kernel
def _extreme(energy: Floats, points: NDArray[np.bool_], wanted: bool) -> int:
    """The tightest cluster (wanted=True) or the largest void (wanted=False).

    That is the set point of highest energy, or the unset point of lowest energy.
    """
    best, most = -1, -np.inf
    for i in range(len(energy)):
        density = energy[i] if wanted else -energy[i]
        if points[i] == wanted and density > most:
            best, most = i, density
    return best


@kernel
def _ranks(gaussian: Floats, chosen: Integers) -> Integers:
    points = np.zeros(SIDE * SIDE, dtype=np.bool_)
    energy = np.zeros(SIDE * SIDE)
    for point in chosen:
        points[point] = True
        _add_gaussian(energy, gaussian, point, 1.0)
    while True:  # move points from clusters to voids until they are evenly spread
        cluster = _extreme(energy, points, True)
        points[cluster] = False
        _add_gaussian(energy, gaussian, cluster, -1.0)
        void = _extreme(energy, points, False)
        points[void] = True
        _add_gaussian(energy, gaussian, void, 1.0)
        if void == cluster:
            break
    ranks = np.zeros(SIDE * SIDE, dtype=np.int64)
    rest, rest_energy = points.copy(), energy.copy()
    for rank in range(len(chosen) - 1, -1, -1):
        cluster = _extreme(rest_energy, rest, True)
        rest[cluster] = False
        _add_gaussian(rest_energy, gaussian, cluster, -1.0)
        ranks[cluster] = rank
    # Ulichney's third phase (tightest cluster of gaps) picks the same points: the energies sum to a constant.
    for rank in range(len(chosen), SIDE * SIDE):
        void = _extreme(energy, points, False)
        points[void] = True
        _add_gaussian(energy, gaussian, void, 1.0)
        ranks[void] = rank
    return ranks
