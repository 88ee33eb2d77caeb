"""KID and FID compared with formulas, torchmetrics and SciPy; coverage of the intervals."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn
from torchmetrics.image.kid import KernelInceptionDistance

from pixelpersona.evaluation.distribution import _small_fid, fid, fid_estimate, kid


def normal(num: int, width: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(shift, 1.0, (num, width)))


def mmd_by_loops(a: np.ndarray, b: np.ndarray, paired: bool = False) -> float:
    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return (float(x @ y) / len(x) + 1.0) ** 3

    within_a = np.mean([kernel(x, y) for i, x in enumerate(a) for j, y in enumerate(a) if i != j])
    within_b = np.mean([kernel(x, y) for i, x in enumerate(b) for j, y in enumerate(b) if i != j])
    across = np.mean(
        [kernel(x, y) for i, x in enumerate(a) for j, y in enumerate(b) if not (paired and i == j)]
    )
    return float(within_a + within_b - 2 * across)


@pytest.mark.parametrize(("num_a", "num_b", "paired"), [(9, 9, False), (9, 12, False), (9, 9, True)])
def test_kid_is_the_unbiased_mmd(num_a: int, num_b: int, paired: bool) -> None:
    a, b = normal(num_a, 5, 0), normal(num_b, 5, 1, shift=0.5)
    expected = mmd_by_loops(a.numpy(), b.numpy(), paired)
    assert kid(a, b, paired=paired).mean == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_kid_equals_torchmetrics_on_whole_sets() -> None:
    class Identity(nn.Module):
        num_features = 6

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return features

    a, b = normal(20, 6, 0), normal(20, 6, 1, shift=0.3)
    metric = KernelInceptionDistance(Identity(), subsets=1, subset_size=20)
    metric.update(a, real=True)
    metric.update(b, real=False)
    assert kid(a, b).mean == pytest.approx(float(metric.compute()[0]), rel=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_kid_of_two_halves_of_one_set_contains_zero(seed: int) -> None:
    whole = normal(64, 20, seed)
    estimate = kid(whole[:32], whole[32:])
    assert estimate.low < 0 < estimate.high
    assert estimate.low <= estimate.mean <= estimate.high


def test_kid_of_shifted_sets_is_above_zero() -> None:
    assert kid(normal(32, 20, 0), normal(32, 20, 1, shift=0.7)).low > 0


def test_kid_interval_covers_the_true_distance() -> None:
    # For normal x and y (one feature, deviation 1/2, means p and q), the expected kernel value is known:
    # E (xy + 1)^3 = E x^3 E y^3 + 3 E x^2 E y^2 + 3 E x E y + 1.
    def kernel_mean(p: float, q: float) -> float:
        cubes = (p**3 + 0.75 * p) * (q**3 + 0.75 * q)
        return cubes + 3 * (p * p + 0.25) * (q * q + 0.25) + 3 * p * q + 1

    true = kernel_mean(0, 0) + kernel_mean(0.5, 0.5) - 2 * kernel_mean(0, 0.5)
    estimates = [
        kid(normal(64, 1, 2 * seed) / 2, normal(64, 1, 2 * seed + 1) / 2 + 0.5) for seed in range(20)
    ]
    assert np.mean([estimate.mean for estimate in estimates]) == pytest.approx(true, rel=0.15)
    assert sum(estimate.low <= true <= estimate.high for estimate in estimates) >= 16


def test_kid_of_the_same_pictures_is_zero_if_paired_and_negative_if_not() -> None:
    a = normal(16, 8, 0)
    paired = kid(a, a, paired=True)
    assert (paired.mean, paired.low, paired.high) == pytest.approx((0, 0, 0), abs=1e-9)
    assert kid(a, a).mean < 0


def test_pairing_narrows_the_interval() -> None:
    people = normal(32, 8, 0)
    drawn = people + 0.2
    unpaired, paired = kid(people, drawn), kid(people, drawn, paired=True)
    assert paired.high - paired.low < unpaired.high - unpaired.low


def test_intervals_are_reproducible_and_leave_the_global_generators_alone() -> None:
    a, b = normal(16, 4, 0), normal(16, 4, 1)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = kid(a, b)
    np.random.seed(7)
    assert kid(a, b) == first
    assert torch.equal(state, torch.get_rng_state())


def frechet_by_scipy(a: np.ndarray, b: np.ndarray) -> float:
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(cov_a @ cov_b)
    return float(
        ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * np.trace(root).real
    )


def test_fid_is_the_frechet_distance() -> None:
    a, b = normal(60, 6, 0), 1.5 * normal(80, 6, 1, shift=0.4)
    expected = frechet_by_scipy(a.numpy(), b.numpy())
    assert fid(a, b) == pytest.approx(expected, rel=1e-6)
    assert _small_fid(a, b) == pytest.approx(expected, rel=1e-6)


def test_fid_with_fewer_pictures_than_features() -> None:
    a, b = normal(10, 50, 0), normal(12, 50, 1, shift=0.4)
    # tr sqrt(S_a S_b) from the eigenvalues of the symmetric matrix sqrt(S_a) S_b sqrt(S_a).
    values, vectors = np.linalg.eigh(np.cov(a.numpy(), rowvar=False))
    root_a = vectors * np.sqrt(values.clip(0)) @ vectors.T
    cov_b = np.cov(b.numpy(), rowvar=False)
    overlap = np.sqrt(np.linalg.eigvalsh(root_a @ cov_b @ root_a).clip(0)).sum()
    mean = float(((a.mean(0) - b.mean(0)) ** 2).sum())
    expected = mean + values.sum() + np.trace(cov_b) - 2 * overlap
    assert fid(a, b) == pytest.approx(expected, rel=1e-6)
    assert _small_fid(a, b) == pytest.approx(expected, rel=1e-6)


def test_fid_of_many_features_does_not_use_torchmetrics(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = normal(10, 1100, 0), normal(12, 1100, 1, shift=0.2)
    monkeypatch.setattr("pixelpersona.evaluation.distribution.FrechetInceptionDistance", None)
    root_a, root_b = ((x - x.mean(0)).numpy() / np.sqrt(len(x) - 1) for x in (a, b))
    # The square roots of the eigenvalues of S_a S_b are the singular values of A B'.
    overlap = scipy.linalg.svdvals(root_a @ root_b.T).sum()
    mean = float(((a.mean(0) - b.mean(0)) ** 2).sum())
    assert fid(a, b) == pytest.approx(mean + (root_a**2).sum() + (root_b**2).sum() - 2 * overlap, rel=1e-9)


def test_fid_of_a_set_with_itself_is_zero_and_intervals_contain_the_value() -> None:
    a = normal(10, 30, 0)
    assert fid(a, a) == pytest.approx(0, abs=1e-5)
    estimate = fid_estimate(a, normal(10, 30, 1, shift=1.0))
    assert 0 <= estimate.low <= estimate.mean <= estimate.high


@pytest.mark.parametrize(
    ("shape_a", "shape_b", "paired", "said"),
    [
        ((8, 3), (8, 4), False, r"\[N, D\] and \[M, D\]"),
        ((3, 3), (8, 3), False, "at least 4 pictures"),
        ((8, 3), (9, 3), True, "one picture per photo"),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(
    shape_a: tuple[int, int], shape_b: tuple[int, int], paired: bool, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        kid(torch.zeros(shape_a), torch.zeros(shape_b), paired=paired)
