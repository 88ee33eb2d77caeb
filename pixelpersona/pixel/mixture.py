"""Pyxelate's colour model: a variational Bayesian Gaussian mixture with one covariance for all components.

Attias, "A Variational Bayesian Framework for Graphical Models", 2000; Bishop, "Pattern Recognition and
Machine Learning", 2006, section 10.2; with a Dirichlet process: Blei and Jordan 2006. It is the model of
scikit-learn's BayesianGaussianMixture with covariance_type="tied", on weighted points and without the bound,
which Pyxelate's settings never let converge.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelpersona.pixel.color_cells import block_boxes
from pixelpersona.pixel.mixture_kernels import expectation_maximization, highest_scores

Floats = NDArray[np.float64]

_MEAN_PRECISION = 1.0 / 256.0
_EXACT_MARGIN = 30.0  # bits: below float32's own rounding


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Of the pixels behind the points: their number, mean [3], covariance [3, 3] (divided by n)."""

    num_pixels: int
    mean: Floats
    covariance: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """What the model expects of K components before it sees the pixels.

    concentration: of the weights. process: a Dirichlet process (which favours the first components) in place
    of a Dirichlet distribution. mean: float64 [3], or None for the mean of the pixels. mean_precision: how
    many pixels' worth of belief in `mean`.
    """

    concentration: float
    mean_precision: float
    process: bool = False
    mean: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """A fitted mixture: means [K, 3], and the linear score of each component.

    The log-probability of component k at x, up to a term common to all components, is
    linear[:, k] @ (x - center) + offset[k]; linear [3, K], offset [K], center [3].
    """

    means: Floats
    linear: Floats
    offset: Floats
    center: Floats

    def scores(self, colors: Floats) -> Floats:
        """Log-probabilities up to a common term: float64 [..., 3] -> [..., K]."""
        scores: Floats = (colors - self.center) @ self.linear + self.offset
        return scores

    def most_probable(self, colors: Floats) -> NDArray[np.intp]:
        """The most probable component of each colour, the first of equals: float64 [..., 3] -> [...]."""
        flat = np.ascontiguousarray(colors, dtype=np.float64).reshape(-1, 3)
        best: NDArray[np.intp] = highest_scores(flat, self.center, self.linear, self.offset)
        return best.reshape(colors.shape[:-1])

    def probabilities(self, colors: Floats) -> Floats:
        """Of every component at each colour, summing to 1: float64 [..., 3] -> [..., K]."""
        scores = self.scores(colors)
        probabilities: Floats = np.exp(scores - scores.max(axis=-1, keepdims=True))
        probabilities /= probabilities.sum(axis=-1, keepdims=True)
        return probabilities


def label_sums(
    points: Floats, counts: Floats, labels: NDArray[np.integer], moments: Moments, num_components: int
) -> Floats:
    """What the iterations start from: sums [K, 4] of count * (1, x - mean) over the points of each label.

    points: float [N, 3], colours that stand for `counts` [N] pixels each. labels: int [N] below K.
    """
    sums = np.empty((num_components, 4))
    sums[:, 0] = np.bincount(labels, counts, num_components)
    for c in range(3):
        sums[:, c + 1] = np.bincount(labels, counts * (points[:, c] - moments.mean[c]), num_components)
    return sums


def fit_mixture(
    points: Floats,
    counts: Floats,
    sums: Floats,
    moments: Moments,
    num_iterations: int = 128,
    prior: Prior | None = None,
    margin: float = _EXACT_MARGIN,
) -> Mixture:
    """Fit K = len(sums) components.

    points: float [N, 3], colours that stand for `counts` [N] pixels each; fast when neighbours are alike.
    sums: float64 [K, 4], the first clusters, from `label_sums`.
    moments: of all pixels; the spread inside a point counts as well.
    prior: without one, that of a palette to be found: Dirichlet distribution, concentration 1/K.
    margin: in bits; components less probable than another by more are passed over. 11 is faster, and moves
    means by less than 0.1/255.
    """
    prior = Prior(1.0 / len(sums), _MEAN_PRECISION) if prior is None else prior
    prior_mean = np.zeros(3) if prior.mean is None else prior.mean - moments.mean
    points32 = np.ascontiguousarray((points - moments.mean).T, dtype=np.float32)
    means, linear, offset = expectation_maximization(
        points32,
        counts.astype(np.float32),
        *block_boxes(points32),
        sums,
        float(moments.num_pixels),
        np.ascontiguousarray(moments.covariance),
        prior_mean,
        float(prior.mean_precision),
        float(prior.concentration),
        prior.process,
        num_iterations,
        margin,
    )
    return Mixture(means + moments.mean, linear, offset, moments.mean)
