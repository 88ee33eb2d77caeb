"""Pyxelate's colour model: a variational Bayesian Gaussian mixture with one covariance for all components.

Attias, "A Variational Bayesian Framework for Graphical Models", 2000; Bishop, "Pattern Recognition and
Machine Learning", 2006, section 10.2: the model of scikit-learn's BayesianGaussianMixture with
covariance_type="tied" and weight_concentration_prior_type="dirichlet_distribution", on weighted points and
without the bound, which Pyxelate's settings never let converge.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

from pixelpersona.pixel.pyxelate_kernels import expectation_sums

Floats = NDArray[np.float64]

_COVARIANCE_FLOOR = 1e-6
_EMPTY = 10 * float(np.finfo(np.float64).eps)  # members of a component that has none
_MEAN_PRECISION = 1.0 / 256.0


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Of the pixels behind the points: their number, mean [3], covariance [3, 3] (divided by n)."""

    num_pixels: int
    mean: Floats
    covariance: Floats


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

    def most_probable(self, colors: Floats) -> NDArray[np.intp]:
        """The most probable component of each colour: float [..., 3] -> indices [...]."""
        scores = (colors - self.center) @ self.linear + self.offset
        best: NDArray[np.intp] = scores.argmax(axis=-1)
        return best


def fit_mixture(
    points: Floats, counts: Floats, labels: NDArray[np.integer], moments: Moments, num_iterations: int = 128
) -> Mixture:
    """Fit K = labels.max() + 1 components, starting from the given clusters.

    points: float [N, 3], colours that stand for `counts` [N] pixels each.
    labels: int [N], the first clusters.
    moments: of all pixels; the spread inside a point counts as well.
    """
    num_components = int(labels.max()) + 1
    centered = points - moments.mean
    weighted = np.column_stack([counts, counts[:, None] * centered])
    sums: Floats = np.column_stack([np.bincount(labels, column, num_components) for column in weighted.T])
    points32 = np.ascontiguousarray(centered.T, dtype=np.float32)
    counts32 = counts.astype(np.float32)
    per_bit = 1.0 / np.log(2.0)
    for _ in range(num_iterations):
        _, linear, offset = _maximization(sums, moments)
        sums = expectation_sums(
            points32, counts32, (linear * per_bit).astype(np.float32), (offset * per_bit).astype(np.float32)
        )
    means, linear, offset = _maximization(sums, moments)
    return Mixture(means + moments.mean, linear, offset, moments.mean)


def _maximization(sums: Floats, moments: Moments) -> tuple[Floats, Floats, Floats]:
    """The posterior from the sums [K, 4] of responsibilities: centred means [K, 3], linear [3, K], offset [K]

    by equations 10.58-10.63 of Bishop 2006, with one scatter matrix for all components and the mean of the
    data as the prior mean (0 here: everything is centred).
    """
    num_components, num_features = len(sums), 3
    per_component = moments.num_pixels / num_components
    members = sums[:, 0] + _EMPTY
    averages = sums[:, 1:] / members[:, None]
    precision_of_mean = _MEAN_PRECISION + members
    means = averages * (members / precision_of_mean)[:, None]

    within = moments.covariance - (members * averages.T) @ averages / members.sum()
    within[np.diag_indices(num_features)] += _COVARIANCE_FLOOR
    prior_covariance = moments.covariance * (moments.num_pixels / max(1, moments.num_pixels - 1))
    pull = (members / precision_of_mean * averages.T) @ averages * (_MEAN_PRECISION / num_components)
    covariance = (prior_covariance + per_component * within + pull) / (num_features + per_component)

    linear = np.linalg.solve(covariance, means.T)
    concentration = 1.0 / num_components + sums[:, 0]
    offset = (
        digamma(np.maximum(concentration, _EMPTY))
        - 0.5 * (means.T * linear).sum(axis=0)
        - 0.5 * num_features / precision_of_mean
    )
    return means, linear, offset
