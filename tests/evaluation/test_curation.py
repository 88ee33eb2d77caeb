"""Curation scores and choices, compared with formulas and scikit-learn."""

from collections import Counter

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import zscore
from sklearn.neighbors import NearestNeighbors

from pixelpersona.evaluation.curation import (
    form,
    nearest_similarity,
    photo_side,
    proportional_choice,
    strangeness,
)


def _features(num: int, seed: int, width: int = 12) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(num, width))).float()


def test_strangeness_equals_the_formula() -> None:
    real, drawn = _features(50, 0) * 3 + 1, _features(20, 1) * 5 - 2
    photos, pictures = real.double().numpy(), drawn.double().numpy()
    deviation, mean = photos.std(axis=0, ddof=1), photos.mean(axis=0)
    far = np.sqrt((((pictures - mean) / deviation) ** 2).mean(axis=1))
    usual = np.sqrt((((photos - mean) / deviation) ** 2).mean(axis=1))
    found = strangeness(real, drawn)
    np.testing.assert_allclose(found, (far - usual.mean()) / usual.std(ddof=1), rtol=1e-9)
    assert found.mean() > strangeness(real, real).mean() + 1


def _side(photos: NDArray[np.float64], pictures: NDArray[np.float64]) -> NDArray[np.float64]:
    """The formula: the axis is the inverse covariance times the difference of the means."""
    within = (np.cov(photos.T, bias=True) + np.cov(pictures.T, bias=True)) / 2
    within = 0.999 * within + 0.001 * np.trace(within) / len(within) * np.eye(len(within))
    axis = np.linalg.inv(within) @ (photos.mean(axis=0) - pictures.mean(axis=0))
    return (pictures - (photos.mean(axis=0) + pictures.mean(axis=0)) / 2) @ axis


def test_photo_side_is_fishers_discriminant() -> None:
    photos, pictures = _features(300, 6) * 2, _features(100, 7) + torch.linspace(0, 1, 12)
    expected = _side(photos.double().numpy(), pictures.double().numpy())
    np.testing.assert_allclose(photo_side(photos, pictures), expected, rtol=1e-8, atol=1e-10)


def test_photo_side_is_finite_with_fewer_pictures_than_features() -> None:
    assert np.isfinite(photo_side(_features(5, 8), _features(4, 9))).all()


def test_form_is_the_sum_of_three_standard_scores_and_decides_what_is_acceptable() -> None:
    real = _features(200, 10), _features(200, 11)
    drawn = _features(40, 12) * torch.linspace(0.5, 3, 40)[:, None], _features(40, 13) + 1
    support = np.random.default_rng(14).integers(0, 40, 40)
    strange = strangeness(real[0], drawn[0])
    side = _side(real[1].double().numpy(), drawn[1].double().numpy())
    expected = zscore(side) + zscore(np.log(1 + support)) - zscore(np.maximum(strange, 0))
    found, acceptable = form(real, drawn, support.tolist())
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)
    limit = np.quantile(strangeness(real[0], real[0]), 0.95)
    assert 0 < acceptable.sum() < 40
    np.testing.assert_array_equal(acceptable, (expected >= 0) & (strange <= limit))


def test_identical_pictures_all_have_form_zero() -> None:
    real = _features(20, 15), _features(20, 16)
    same = _features(1, 17).expand(6, -1)
    np.testing.assert_allclose(form(real, (same, same), [3] * 6)[0], 0, atol=1e-9)


def test_nearest_similarity_is_that_of_scikit_learn() -> None:
    photos, pictures = _features(3000, 2), _features(1500, 3)
    center = photos.double().mean(dim=0)
    finder = NearestNeighbors(n_neighbors=2, metric="cosine", algorithm="brute")
    finder.fit((photos.double() - center).numpy())
    distances, _ = finder.kneighbors((pictures.double() - center).numpy())
    np.testing.assert_allclose(nearest_similarity(pictures, photos), 1 - distances[:, 0], atol=1e-9)
    distances, _ = finder.kneighbors((photos.double() - center).numpy())
    np.testing.assert_allclose(nearest_similarity(photos, photos, same=True), 1 - distances[:, 1], atol=1e-9)


def test_a_copy_is_more_similar_than_any_two_photos() -> None:
    photos = _features(100, 4)
    others = nearest_similarity(photos, photos, same=True)
    copies = nearest_similarity(photos[:5] + 0.01 * _features(5, 5), photos)
    assert copies.min() > others.max()
    with pytest.raises(ValueError, match="5 pictures are not the 100 photos"):
        nearest_similarity(photos[:5], photos, same=True)


def test_groups_are_chosen_in_the_proportions_of_the_population() -> None:
    wanted = ["a"] * 50 + ["b"] * 30 + ["c"] * 20
    groups = ["a"] * 40 + ["b"] * 40 + ["c"] * 40
    order = np.random.default_rng(0).permutation(120).tolist()
    chosen = proportional_choice(groups, order, 20, wanted)
    assert Counter(groups[index] for index in chosen) == {"a": 10, "b": 6, "c": 4}
    assert chosen == sorted(chosen)
    for group in "abc":  # the best ones of each group
        best = [index for index in order if groups[index] == group]
        mine = [index for index in chosen if groups[index] == group]
        assert set(mine) == set(best[: len(mine)])


def test_places_that_a_group_cannot_fill_go_to_the_best_remaining() -> None:
    groups, wanted = ["a", "b", "b", "b", "d"], ["a", "a", "a", "b"]
    assert proportional_choice(groups, [4, 3, 2, 1, 0], 4, wanted) == [0, 2, 3, 4]
    assert proportional_choice(groups, [3, 0], 4, wanted) == [0, 3]
    assert proportional_choice(groups, [3, 0], 3, wanted, [4, 2]) == [0, 3, 4]  # poor candidates come last
    assert proportional_choice(groups, [3, 1, 0], 2, wanted, [4, 2]) == [0, 3]


def test_the_largest_remainder_gets_the_next_place() -> None:
    wanted = ["a"] * 34 + ["b"] * 33 + ["c"] * 33
    chosen = proportional_choice(["a", "b", "c"] * 3, list(range(9)), 4, wanted)
    assert Counter("abc"[index % 3] for index in chosen) == {"a": 2, "b": 1, "c": 1}
