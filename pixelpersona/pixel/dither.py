"""Pyxelate's choice of a mixture component for each cell: the most probable one, or a dither.

`naive`, `bayer` and `floyd` work on the components' probabilities, as in upstream, and mix colours only where
the mixture is uncertain; `atkinson` and `blue_noise` work on colours.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve

from pixelpersona.pixel.blue_noise import blue_noise_map
from pixelpersona.pixel.kernel import kernel
from pixelpersona.pixel.mixture import Mixture

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])  # Bayer 1973

_NAIVE_BOOST = 1.33  # on even rows the second best needs a probability that is lower by about this factor
_FLOYD_POWER = 1.0 / 6.0  # flattens the probabilities, almost all of which are 0 or 1


def choose(cells: Floats, mixture: Mixture, dither: str) -> Indices:
    """The component of every cell: float64 [rows, columns, 3], in the mixture's colours, -> [rows, columns].

    dither: one of DITHERS. Raises ValueError for another.
    """
    if dither not in DITHERS:
        raise ValueError(f"dither={dither}: accepted {', '.join(DITHERS)}")
    return DITHERS[dither](cells, mixture)


def tiled(thresholds: Floats, rows: int, columns: int) -> Floats:
    """A threshold map repeated to float64 [rows, columns]."""
    height, width = thresholds.shape
    return np.tile(thresholds, (-(-rows // height), -(-columns // width)))[:rows, :columns]


def _none(cells: Floats, mixture: Mixture) -> Indices:
    return mixture.most_probable(cells)


def _probabilities(cells: Floats, mixture: Mixture) -> Floats:
    probabilities = mixture.probabilities(cells)
    # Two components overlap only in a thin range; the square root widens it.
    return np.sqrt(probabilities) if len(mixture.means) < 3 else probabilities


def _naive(cells: Floats, mixture: Mixture) -> Indices:
    """Every other cell, as on a chessboard, takes the second best component if that is probable enough."""
    probabilities = _probabilities(cells, mixture)
    rows, columns, num_colors = probabilities.shape
    best = probabilities.argmax(axis=-1)
    np.put_along_axis(probabilities, best[..., None], 0.0, axis=-1)
    second, likely = probabilities.argmax(axis=-1), probabilities.max(axis=-1)
    y, x = np.mgrid[0:rows, 0:columns]
    board = (y + x) % 2 == 0
    least = np.where(y % 2 == 1, 1.0 / (num_colors + 1), 1.0 / (num_colors * _NAIVE_BOOST + 1))
    chosen: Indices = np.where(board & (likely > least), second, best)
    return chosen


def _bayer(cells: Floats, mixture: Mixture) -> Indices:
    """Convolve the probabilities with the 4x4 matrix, whose sum is negative: the lowest result wins."""
    spread = convolve(_probabilities(cells, mixture), (BAYER / 16.0 - 0.5)[..., None], mode="reflect")
    index: Indices = spread.argmin(axis=-1)
    return index


def _floyd(cells: Floats, mixture: Mixture) -> Indices:
    """Diffuses the probability of the components that were not chosen (Floyd & Steinberg 1976)."""
    index: Indices = _diffuse_probabilities(_probabilities(cells, mixture) ** _FLOYD_POWER)
    return index


def _atkinson(cells: Floats, mixture: Mixture) -> Indices:
    """Diffuses 6/8 of each cell's difference from its component's mean (Atkinson 1984)."""
    index: Indices = _diffuse_colors(
        np.ascontiguousarray(cells), mixture.means, mixture.center, mixture.linear, mixture.offset
    )
    return index


def _blue_noise(cells: Floats, mixture: Mixture) -> Indices:
    """The best or second best component: the cell's position between their means against a blue-noise map."""
    scores = mixture.scores(cells)
    best: Indices = scores.argmax(axis=-1)
    if len(mixture.means) < 2:
        return best
    np.put_along_axis(scores, best[..., None], -np.inf, axis=-1)
    second = scores.argmax(axis=-1)
    line = mixture.means[second] - mixture.means[best]
    along = ((cells - mixture.means[best]) * line).sum(axis=-1)
    share = along / np.maximum((line**2).sum(axis=-1), 1e-12)
    chosen: Indices = np.where(share > tiled(blue_noise_map(), *share.shape), second, best)
    return chosen


DITHERS: dict[str, Callable[[Floats, Mixture], Indices]] = {
    "none": _none,
    "naive": _naive,
    "bayer": _bayer,
    "floyd": _floyd,
    "atkinson": _atkinson,
    "blue_noise": _blue_noise,
}


@kernel
def _diffuse_probabilities(probabilities: Floats) -> Indices:
    """Error diffusion in raster order; as upstream, the outer columns and the last row do not diffuse.

    Modifies its argument.
    """
    rows, columns, num_colors = probabilities.shape
    index = np.empty((rows, columns), dtype=np.intp)
    for y in range(rows):
        for x in range(columns):
            here = probabilities[y, x]
            best = here.argmax()
            index[y, x] = best
            if y == rows - 1 or x == 0 or x == columns - 1:
                continue
            for k in range(num_colors):
                if k != best:
                    error = here[k] / 16.0
                    probabilities[y, x + 1, k] += error * 7.0
                    probabilities[y + 1, x - 1, k] += error * 3.0
                    probabilities[y + 1, x, k] += error * 5.0
                    probabilities[y + 1, x + 1, k] += error
    return index


@kernel
def _diffuse_colors(cells: Floats, means: Floats, center: Floats, linear: Floats, offset: Floats) -> Indices:
    rows, columns, _ = cells.shape
    index = np.empty((rows, columns), dtype=np.intp)
    color = np.zeros((rows + 2, columns + 3, 3))  # a margin for errors beyond the edges
    color[:rows, 1 : columns + 1] = cells
    for y in range(rows):
        for x in range(1, columns + 1):
            here = color[y, x]
            best, highest = 0, -np.inf
            for k in range(len(offset)):
                score = offset[k]
                for c in range(3):
                    score += linear[c, k] * (here[c] - center[c])
                if score > highest:
                    best, highest = k, score
            index[y, x - 1] = best
            for c in range(3):
                error = (here[c] - means[best, c]) / 8.0
                color[y, x + 1, c] += error
                color[y, x + 2, c] += error
                color[y + 1, x - 1, c] += error
                color[y + 1, x, c] += error
                color[y + 1, x + 1, c] += error
                color[y + 2, x, c] += error
    return index
