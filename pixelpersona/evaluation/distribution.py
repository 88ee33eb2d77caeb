"""Distances between two sets of pictures: KID and FID.

In the features of this project they are called kid_persona and fid_persona; only in Inception's features
(kid_inception, fid_inception) are they comparable with published numbers.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_kernel

from pixelpersona.evaluation.intervals import Estimate

_Indices = NDArray[np.int64]
_MANY_FEATURES = 1024
_NUM_KID_SUBSETS, _NUM_FID_SUBSETS = 200, 100
MIN_PICTURES = 4
"""Pictures per set from which KID and FID are defined."""


def kid(features_a: Tensor, features_b: Tensor, *, paired: bool = False) -> Estimate:
    """Kernel distance: unbiased squared MMD by (x·y / D + 1)^3 (Bińkowski et al. 2018, arXiv:1801.01401).

    features_a, features_b: float [N, D] and [M, D]. The expected value for equal distributions is 0.
    paired: row i of both stems from the same photo. These pairs are excluded from the cross term (Gretton et
    al. 2012, eq. 4), which keeps it unbiased, and the interval does not include the variety of the photos.
    The interval comes from subsets of half the smaller set, drawn without replacement (see `_subsample`):
    drawing with replacement repeats pictures, which biases the distance upwards. In 120 draws of 64 + 64
    normal features its coverage was 0.93 (D = 20), 0.97 (D = 100) and 0.88 (D = 1).
    Raises ValueError for sets of fewer than 4 pictures, different D, or different sizes when paired.
    """
    features_a, features_b = _checked(features_a, features_b, paired)
    k_aa, k_bb = poly_kernel(features_a, features_a), poly_kernel(features_b, features_b)
    k_ab = poly_kernel(features_a, features_b)

    def value(a: _Indices, b: _Indices) -> float:
        return _mmd(k_aa[np.ix_(a, a)], k_ab[np.ix_(a, b)], k_bb[np.ix_(b, b)], paired)

    return _subsample(value, len(features_a), len(features_b), paired, _NUM_KID_SUBSETS)


def fid(features_a: Tensor, features_b: Tensor) -> float:
    """Fréchet distance of normal distributions of the features, ≥ 0 (Heusel et al. 2017, arXiv:1706.08500).

    features_a, features_b: float [N, D] and [M, D]; N and M may be below D. Biased upwards on few pictures:
    only for ranking variants on the same photos. Uses torchmetrics in float64, and `_small_fid` for many
    features of fewer pictures, because the eigenvalues of a 2,048 x 2,048 matrix take a minute.
    Raises ValueError for sets of fewer than 4 pictures or different D.
    """
    features_a, features_b = _checked(features_a, features_b, paired=False)
    if _MANY_FEATURES <= features_a.shape[1] > min(len(features_a), len(features_b)):
        return max(0.0, _small_fid(features_a, features_b))
    # No sync over processes: rank 0 has all the pictures while the others wait.
    extractor = _Identity(features_a.shape[1])
    metric = FrechetInceptionDistance(extractor, sync_on_compute=False).set_dtype(torch.float64)
    metric.update(features_a, real=True)
    metric.update(features_b, real=False)
    return max(0.0, float(metric.compute()))


def fid_estimate(features_a: Tensor, features_b: Tensor, *, paired: bool = False) -> Estimate:
    """`fid` with an interval from subsets as in `kid`: the spread of the value, not its bias."""
    features_a, features_b = _checked(features_a, features_b, paired)

    def value(a: _Indices, b: _Indices) -> float:
        return _small_fid(features_a[a], features_b[b])

    spread = _subsample(value, len(features_a), len(features_b), paired, _NUM_FID_SUBSETS)
    exact = fid(features_a, features_b)
    return Estimate(exact, max(0.0, exact + spread.low - spread.mean), exact + spread.high - spread.mean)


class _Identity(nn.Module):
    """Feature network of a torchmetrics metric that gets features instead of pictures."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def _checked(features_a: Tensor, features_b: Tensor, paired: bool) -> tuple[Tensor, Tensor]:
    shapes = f"{tuple(features_a.shape)} and {tuple(features_b.shape)}"
    if features_a.ndim != 2 or features_b.ndim != 2 or features_a.shape[1] != features_b.shape[1]:
        raise ValueError(f"features of two sets must be [N, D] and [M, D], got {shapes}")
    if min(len(features_a), len(features_b)) < MIN_PICTURES:
        raise ValueError(f"a distance of sets needs at least {MIN_PICTURES} pictures in each, got {shapes}")
    if paired and len(features_a) != len(features_b):
        raise ValueError(f"paired sets must have one picture per photo each, got {shapes}")
    return features_a.detach().double().cpu(), features_b.detach().double().cpu()


def _mmd(k_aa: Tensor, k_ab: Tensor, k_bb: Tensor, paired: bool) -> float:
    """Unbiased squared MMD from kernel values; torchmetrics' version needs sets of equal size."""
    n, m = k_ab.shape
    within = (k_aa.sum() - k_aa.trace()) / (n * (n - 1)) + (k_bb.sum() - k_bb.trace()) / (m * (m - 1))
    across = (k_ab.sum() - k_ab.trace()) / (n * (n - 1)) if paired else k_ab.mean()
    return float(within - 2 * across)


def _small_fid(features_a: Tensor, features_b: Tensor) -> float:
    """`fid` without a D x D root: for covariances A'A and B'B (A, B: scaled centred features), the trace of
    the square root of their product is the nuclear norm of A B' (N x M).
    """
    mean_a, mean_b = features_a.mean(dim=0), features_b.mean(dim=0)
    root_a = (features_a - mean_a) / (len(features_a) - 1) ** 0.5
    root_b = (features_b - mean_b) / (len(features_b) - 1) ** 0.5
    overlap = torch.linalg.matrix_norm(root_a @ root_b.T, ord="nuc")
    apart = (mean_a - mean_b).square().sum()
    return float(apart + root_a.square().sum() + root_b.square().sum() - 2 * overlap)


def _subsample(
    value: Callable[[_Indices, _Indices], float], num_a: int, num_b: int, paired: bool, num_subsets: int
) -> Estimate:
    """The value on all pictures, with a 95 % interval from subsets without replacement.

    By the delete-d jackknife (Shao & Wu 1989), the spread over subsets of b of n pictures times
    sqrt(b / (n - b)) estimates that of the whole; here n is the smaller set and b = n // 2.
    """
    num = min(num_a, num_b)
    size = num // 2
    rng = np.random.default_rng(0)
    values = np.empty(num_subsets)
    for i in range(num_subsets):
        a = rng.permutation(num_a)[:size]
        values[i] = value(a, a if paired else rng.permutation(num_b)[:size])
    whole = value(np.arange(num_a), np.arange(num_b))
    deviations = (values - values.mean()) * (size / (num - size)) ** 0.5
    low, high = np.quantile(deviations, (0.025, 0.975))
    return Estimate(whole, whole + min(0.0, float(low)), whole + max(0.0, float(high)))
