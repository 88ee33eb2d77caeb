"""Intervals compared with closed formulas, published examples, other libraries and simulations."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from pixelpersona.evaluation.intervals import (
    Estimate,
    bootstrap_mean,
    crossed_mean,
    paired_difference,
    paired_proportions,
    pooled_mean,
    proportion,
)


def test_interval_is_the_percentile_bootstrap() -> None:
    values = np.random.default_rng(3).gamma(2.0, 1.0, 64)
    chosen = np.random.default_rng(0).integers(0, 64, (2000, 64))
    low, high = np.quantile(values[chosen].mean(axis=1), (0.025, 0.975))
    found = bootstrap_mean(values.tolist())
    assert found.mean == values.mean()
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)


def test_interval_agrees_with_the_normal_formula() -> None:
    values = np.random.default_rng(0).normal(1.0, 2.0, 4000)
    ours = bootstrap_mean(values.tolist())
    half = 1.96 * values.std() / math.sqrt(values.size)
    assert (ours.high - ours.low) / 2 == pytest.approx(half, rel=0.06)


def test_interval_is_reproducible() -> None:
    values = np.random.default_rng(1).normal(size=50).tolist()
    found = bootstrap_mean(values)
    np.random.seed(7)
    assert bootstrap_mean(values) == found


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0, -1 / 3])
def test_interval_of_constant_values_has_no_width(value: float) -> None:
    found = bootstrap_mean([value] * 7)
    assert found.low == found.mean == found.high == pytest.approx(value)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [1.0, math.inf]])
def test_interval_refuses_too_few_or_non_finite_values(values: list[float]) -> None:
    with pytest.raises(ValueError, match="an interval needs"):
        bootstrap_mean(values)


def test_pairing_removes_what_the_photos_share() -> None:
    rng = np.random.default_rng(2)
    shared = rng.normal(0.0, 5.0, 64)
    a, b = shared + 0.5 + rng.normal(0, 0.1, 64), shared + rng.normal(0, 0.1, 64)
    paired = paired_difference(a.tolist(), b.tolist())
    assert paired == bootstrap_mean((a - b).tolist())
    assert 0.4 < paired.low < 0.5 < paired.high < 0.6
    unpaired = bootstrap_mean(a.tolist())
    assert unpaired.high - unpaired.low > 10 * (paired.high - paired.low)


def test_pairing_refuses_different_photos() -> None:
    with pytest.raises(ValueError, match="got 2 and 3"):
        paired_difference([1.0, 2.0], [1.0, 2.0, 3.0])


# --- shares of photos -------------------------------------------------------------------------------


def hits(number: int, of: int) -> list[float]:
    return [1.0] * number + [0.0] * (of - number)


@pytest.mark.parametrize(("number", "of"), [(64, 64), (62, 64), (0, 64), (7, 9), (1, 1), (500, 1000)])
def test_a_share_has_wilsons_interval(number: int, of: int) -> None:
    """(p + z² / 2n ± z √(p (1 - p) / n + z² / 4n²)) / (1 + z² / n)."""
    z, share = stats.norm.ppf(0.975), number / of
    half = z * math.sqrt(share * (1 - share) / of + z**2 / (4 * of**2))
    low, high = ((share + z**2 / (2 * of) + side * half) / (1 + z**2 / of) for side in (-1, 1))
    found = proportion(hits(number, of))
    assert found.mean == share
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)


def test_a_share_of_all_photos_is_not_certain() -> None:
    found = proportion(hits(64, 64))
    assert found == Estimate(1.0, pytest.approx(0.9434, abs=1e-4), 1.0)
    assert proportion(hits(0, 64)) == Estimate(0.0, 0.0, pytest.approx(0.0566, abs=1e-4))


@pytest.mark.parametrize("values", [[], [0.5, 1.0], [2.0], [math.nan]])
def test_a_share_needs_zeros_and_ones(values: list[float]) -> None:
    with pytest.raises(ValueError, match="a share needs 0 or 1 for every photo"):
        proportion(values)


def test_paired_shares_agree_with_the_published_example() -> None:
    """14, 5, 0 and 22 pairs: 0.011 to 0.226 (Altman et al. 2000, Statistics with Confidence, chapter 6)."""
    found = paired_proportions(hits(19, 41), hits(14, 41))
    assert found.mean == pytest.approx(5 / 41)
    assert (round(found.low, 3), round(found.high, 3)) == (0.011, 0.226)
    swapped = paired_proportions(hits(14, 41), hits(19, 41))
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low))


def test_two_equal_shares_of_all_photos_may_still_differ() -> None:
    """Without variation there is no correlation: both margins of 64 of 64, squared and added."""
    found = paired_proportions(hits(64, 64), hits(64, 64))
    assert (found.mean, found.low, found.high) == pytest.approx((0.0, -0.0566, 0.0566), abs=1e-4)


def test_pairing_makes_the_interval_of_shares_shorter() -> None:
    hit, other = hits(40, 80), hits(36, 80)
    paired, unpaired = paired_proportions(hit, other), paired_proportions(hit, other[::-1])
    assert paired.mean == unpaired.mean
    assert paired.high - paired.low < 0.7 * (unpaired.high - unpaired.low)


# --- training seeds ---------------------------------------------------------------------------------


def measured(
    num_seeds: int, num_photos: int, seeds: float, photos: float, rest: float, number: int = 0
) -> NDArray[np.float64]:
    """Values around 0.5 with these deviations of seeds, of photos, and of single values."""
    rng = np.random.default_rng(number)
    return (
        0.5
        + rng.normal(0.0, seeds, (num_seeds, 1))
        + rng.normal(0.0, photos, (1, num_photos))
        + rng.normal(0.0, rest, (num_seeds, num_photos))
    )


def test_seeds_and_photos_agree_with_the_analysis_of_variance() -> None:
    """Mean squares by least squares with indicator columns; quantiles of Student's t and the normal law."""
    values = measured(3, 20, seeds=0.1, photos=0.2, rest=0.05)
    seed, photo = (index.ravel() for index in np.indices(values.shape))
    in_seed, in_photo = (np.eye(number)[of] for number, of in zip(values.shape, (seed, photo), strict=True))

    def left_over(*columns: NDArray[np.float64]) -> float:
        design = np.hstack([np.ones((values.size, 1)), *columns])
        fitted = design @ np.linalg.lstsq(design, values.ravel(), rcond=None)[0]
        return float(np.square(values.ravel() - fitted).sum())

    both = left_over(in_seed, in_photo)
    ms_seeds, ms_photos = (left_over(in_photo) - both) / 2, (left_over(in_seed) - both) / 19
    ms_rest = both / (2 * 19)
    over_seeds = stats.t.ppf(0.975, 2) * math.sqrt(ms_seeds / 60)
    over_photos = stats.norm.ppf(0.975) * math.sqrt((ms_photos - ms_rest) / 60)
    half = math.sqrt(over_seeds**2 + over_photos**2)
    found = crossed_mean(values)
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half))


def test_where_photos_do_not_differ_the_interval_is_students_of_the_seeds() -> None:
    values = measured(4, 16, seeds=0.1, photos=0.0, rest=0.0)
    known = stats.ttest_1samp(values.mean(axis=1), 0.0).confidence_interval()
    found = crossed_mean(values)
    assert (found.low, found.high) == pytest.approx((known.low, known.high))
    pooled = pooled_mean([Estimate(mean, mean, mean) for mean in values.mean(axis=1)])
    assert (pooled.low, pooled.high) == pytest.approx((known.low, known.high))


def test_where_seeds_do_not_differ_the_interval_is_that_over_photos() -> None:
    of_photos = np.random.default_rng(5).normal(0.5, 0.2, 400)
    found, known = crossed_mean(np.tile(of_photos, (3, 1))), bootstrap_mean(of_photos.tolist())
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.002)
    share = proportion(hits(60, 64))
    same = pooled_mean([share] * 3)
    assert (same.mean, same.low, same.high) == pytest.approx((share.mean, share.low, share.high))


@pytest.mark.parametrize(
    ("seeds", "photos", "rest"), [(0.1, 0.1, 0.1), (0.02, 0.2, 0.1), (0.2, 0.02, 0.0), (0.0, 0.1, 0.1)]
)
def test_the_interval_over_seeds_holds_the_true_mean_in_95_of_100_studies(
    seeds: float, photos: float, rest: float
) -> None:
    """At least in so many; where seeds differ, intervals over photos alone hold it far less often."""
    num, held, over_photos = 1000, 0, 0
    for number in range(num):
        values = measured(3, 32, seeds, photos, rest, number)
        found = crossed_mean(values)
        held += found.low <= 0.5 <= found.high
        of_photos = values[0]
        half = 1.96 * of_photos.std(ddof=1) / math.sqrt(32)
        over_photos += abs(of_photos.mean() - 0.5) <= half
    assert held / num >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / num)
    if seeds >= 0.1:
        assert over_photos / num < 0.75


def test_equal_values_have_no_width() -> None:
    assert crossed_mean(np.full((3, 8), 0.25)) == Estimate(0.25, 0.25, 0.25)
