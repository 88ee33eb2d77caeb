"""95 % intervals over photos, and over training seeds and photos. Needs no torch, so reports can use it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, bootstrap, norm, t

_QUANTILE = 0.975
_Z = float(norm.ppf(_QUANTILE))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with the bounds of its 95 % interval, in the unit of the metric."""

    mean: float
    low: float
    high: float


def bootstrap_mean(values: Sequence[float]) -> Estimate:
    """Mean with a 95 % percentile bootstrap interval (Efron & Tibshirani 1993, chapter 13).

    values: one per photo, at least 2, finite. The random seed is fixed, so the interval is reproducible.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size < 2:
        raise ValueError(f"an interval needs a list of at least 2 values, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"an interval needs finite values, got {array[~np.isfinite(array)][0]}")
    interval = bootstrap(
        (array,),
        np.mean,
        method="percentile",
        n_resamples=2000,
        batch=max(1, 2**20 // array.size),  # limits the memory for many photos
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Estimate(float(array.mean()), float(interval.low), float(interval.high))


def proportion(hits: Sequence[float]) -> Estimate:
    """Share of photos with its 95 % score interval (Wilson 1927); for 64 of 64 photos 1, and 0.943 to 1.

    A bootstrap interval of a share of 0 or 1 would have no width. hits: 1 or 0 per photo, at least one photo.
    Raises ValueError for other values.
    """
    if not hits or not set(hits) <= {0.0, 1.0}:
        raise ValueError(f"a share needs 0 or 1 for every photo, got {hits!r:.60}")
    found = binomtest(round(sum(hits)), len(hits)).proportion_ci(method="wilson")
    return Estimate(sum(hits) / len(hits), float(found.low), float(found.high))


def paired_difference(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """Mean of a - b over the same photos with its 95 % interval; photos are resampled, not single values.

    Raises ValueError when the lists differ in length, are shorter than 2 or not finite.
    """
    _require_same_photos(a, b)
    return bootstrap_mean(np.subtract(a, b, dtype=np.float64).tolist())


def paired_proportions(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """Share of a minus share of b over the same photos with its 95 % interval (Newcombe 1998, method 10).

    It adds the squared margins of both Wilson intervals, corrected for the correlation phi of the pairs.
    a, b: 1 or 0 per photo. Raises ValueError for other values, or when the lists differ in length.
    """
    _require_same_photos(a, b)
    first, second = proportion(a), proportion(b)
    num = len(a)
    hits_a, hits_b, both = round(sum(a)), round(sum(b)), round(float(np.dot(a, b)))
    excess: float = num * both - hits_a * hits_b  # the determinant of the 2x2 table of the pairs
    if excess > 0:  # continuity correction
        excess = max(excess - num / 2, 0)
    scale = hits_a * (num - hits_a) * hits_b * (num - hits_b)
    phi = excess / math.sqrt(scale) if scale else 0.0

    def margin(x: float, y: float) -> float:
        return math.sqrt(max(x * x - 2 * phi * x * y + y * y, 0.0))

    difference = first.mean - second.mean
    return Estimate(
        difference,
        difference - margin(first.mean - first.low, second.high - second.mean),
        difference + margin(first.high - first.mean, second.mean - second.low),
    )


def crossed_mean(values: NDArray[np.float64]) -> Estimate:
    """Mean over training seeds and photos with its 95 % interval for other seeds and other photos.

    values: [num_seeds, num_photos], at least 2 of each, the same photos for every seed. Seeds and photos are
    crossed random effects: by the two-way analysis of variance without replication, photos add
    max(MS_photos - MS_rest, 0) / (num_seeds num_photos) to the variance of the mean, and the variance of the
    seeds' means contains the other components. `_joined` combines the margins of both.
    """
    num_seeds, num_photos = values.shape
    mean = float(values.mean())
    of_seeds, of_photos = values.mean(axis=1), values.mean(axis=0)
    rest = values - of_seeds[:, None] - of_photos + mean
    ms_photos = num_seeds * of_photos.var(ddof=1)
    ms_rest = np.square(rest).sum() / ((num_seeds - 1) * (num_photos - 1))
    over_photos = _Z * math.sqrt(max(ms_photos - ms_rest, 0.0) / values.size)
    margin = _joined(of_seeds, over_photos)
    return Estimate(mean, mean - margin, mean + margin)


def pooled_mean(of_seeds: Sequence[Estimate]) -> Estimate:
    """Mean of one estimate per training seed with its 95 % interval for other seeds and other photos.

    For what has no value per photo that could be averaged: KID and FID, and shares, whose intervals over
    photos are not symmetric. The margin over photos is the root of the mean square of those of the seeds,
    which share their photos; `_joined` combines it with the margin over seeds.
    """
    means = np.array([e.mean for e in of_seeds])
    mean = float(means.mean())
    below = _joined(means, math.sqrt(np.mean([(e.mean - e.low) ** 2 for e in of_seeds])))
    above = _joined(means, math.sqrt(np.mean([(e.high - e.mean) ** 2 for e in of_seeds])))
    return Estimate(mean, mean - below, mean + above)


def _joined(of_seeds: NDArray[np.float64], over_photos: float) -> float:
    """Margin over seeds and photos: Student's t margin of the seeds' means and `over_photos`, in quadrature.

    MOVER, the method of variance estimates recovery (Zou & Donner 2008, Statistics in Medicine 27:1693). With
    a single t quantile at Satterthwaite's degrees of freedom, the coverage for three seeds is too low.
    """
    num_seeds = len(of_seeds)
    over_seeds = t.ppf(_QUANTILE, num_seeds - 1) * of_seeds.std(ddof=1) / math.sqrt(num_seeds)
    return math.hypot(over_seeds, over_photos)


def _require_same_photos(a: Sequence[float], b: Sequence[float]) -> None:
    if len(a) != len(b):
        raise ValueError(f"a paired difference needs the same photos twice, got {len(a)} and {len(b)} values")
