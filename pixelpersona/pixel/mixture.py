"""Pyxelate's colour model: a variational Bayesian Gaussian mixture with a shared covariance.

Attias, "A Variational Bayesian Framework for Graphical Models", 2000; Bishop, "Pattern Recognition and
Machine Learning", 2006, section 10.2; with a Dirichlet process: Blei & Jordan 2006. It is the model of
scikit-learn's BayesianGaussianMixture with covariance_type="tied", for weighted points, with a fixed number
of iterations instead of a convergence test, which Pyxelate's settings never meet.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelpersona.pixel.color_cells import block_boxes
from pixelpersona.pixel.mixture_kernels import expectation_sums, highest_scores, maximization

Floats = NDArray[np.float64]

_MEAN_PRECISION = 1.0 / 256.0
_NUM_ITERATIONS = 128  # as upstream
_BITS_PER_NAT = 1.0 / np.log(2.0)  # converts natural logarithms to base 2


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Number, mean [3] and population covariance [3, 3] of all pixels that the points represent."""

    num_pixels: int
    mean: Floats
    covariance: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """Prior of the mixture, with scikit-learn's terms.

    concentration: weight concentration. mean_precision: weight of `mean`, as a number of pixels. process: a
    Dirichlet process (which favours the first components) instead of a Dirichlet distribution. mean: float64
    [3], or None for the mean of the pixels.
    """

    concentration: float
    mean_precision: float
    process: bool = False
    mean: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """A fitted mixture: means [K, 3] and a linear score per component.

    With a shared covariance the log-probability of component k at x is, up to a term common to all,
    linear[:, k] @ (x - center) + offset[k]; linear [3, K], offset [K], center [3].
    """

    means: Floats
    linear: Floats
    offset: Floats
    center: Floats

    def scores(self, colors: Floats) -> Floats:
        """Log-probabilities of all components up to a common term: float64 [..., 3] -> [..., K]."""
        scores: Floats = (colors - self.center) @ self.linear + self.offset
        return scores

    def most_probable(self, colors: Floats) -> NDArray[np.intp]:
        """Index of the most probable component, the first of a tie: float64 [..., 3] -> intp [...]."""
        flat = np.ascontiguousarray(colors, dtype=np.float64).reshape(-1, 3)
        best: NDArray[np.intp] = highest_scores(flat, self.center, self.linear, self.offset)
        return best.reshape(colors.shape[:-1])

    def probabilities(self, colors: Floats) -> Floats:
        """Posterior probabilities of all components, which sum to 1: float64 [..., 3] -> [..., K]."""
        scores = self.scores(colors)
        probabilities: Floats = np.exp(scores - scores.max(axis=-1, keepdims=True))
        probabilities /= probabilities.sum(axis=-1, keepdims=True)
        return probabilities


def label_sums(
    points: Floats, counts: Floats, labels: NDArray[np.integer], moments: Moments, num_components: int
) -> Floats:
    """Initial sums of `fit_mixture`: count * (1, x - mean) over the points of each label, float64 [K, 4].

    points: float64 [N, 3], colours that represent `counts` [N] pixels each. labels: int [N], 0 to K - 1.
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
    margin: float,
    prior: Prior | None = None,
) -> Mixture:
    """Fit K = len(sums) components by 128 iterations of variational expectation-maximisation.

    points: float64 [N, 3], colours that represent `counts` [N] pixels each; fast when neighbouring points are
    similar. sums: float64 [K, 4], the initial clusters, from `label_sums`. moments: of all pixels, so that
    the variance within a point is included. margin: bits; components less probable than another by more are
    skipped. 30 is below float32's rounding; 11 is faster and moves means by less than 0.1/255. prior: by
    default that of a palette to be fitted, a Dirichlet distribution of concentration 1/K.
    """
    prior = Prior(1.0 / len(sums), _MEAN_PRECISION) if prior is None else prior
    prior_mean = np.zeros(3) if prior.mean is None else prior.mean - moments.mean
    points32 = np.ascontiguousarray((points - moments.mean).T, dtype=np.float32)
    weights, boxes = counts.astype(np.float32), block_boxes(points32)
    model = (
        float(moments.num_pixels),
        np.ascontiguousarray(moments.covariance),
        prior_mean,
        float(prior.mean_precision),
        float(prior.concentration),
        prior.process,
    )
    for _ in range(_NUM_ITERATIONS):
        _, linear, offset = maximization(sums, *model)
        sums = expectation_sums(
            points32, weights, *boxes, linear * _BITS_PER_NAT, offset * _BITS_PER_NAT, margin
        )
    means, linear, offset = maximization(sums, *model)
    return Mixture(means + moments.mean, linear, offset, moments.mean)
