"""k-means and colour cells against scikit-learn and numpy."""

import numpy as np
import pytest
from sklearn.cluster import KMeans, kmeans_plusplus

from pixelpersona.pixel.color_cells import color_cells, morton_order
from pixelpersona.pixel.kmeans import first_centers, kmeans


def colors(num_colors: int = 3000) -> np.ndarray:
    """Clustered colours around 0 as columns in Morton order, float64 [3, N]."""
    rng = np.random.default_rng(3)
    points = rng.random((12, 3))[rng.integers(0, 12, num_colors)] + rng.normal(0, 0.06, (num_colors, 3))
    columns = np.ascontiguousarray(np.clip(points, 0, 1).T)
    columns = np.ascontiguousarray(columns[:, morton_order(columns)])
    return columns - columns.mean(axis=1, keepdims=True)


@pytest.mark.parametrize("num_clusters", [2, 9, 24])
def test_start_and_labels_are_scikit_learns(num_clusters: int) -> None:
    points = colors()
    theirs = KMeans(num_clusters, n_init=1, random_state=5).fit(points.T)
    start = first_centers(points, points, np.ones(points.shape[1]), num_clusters, 5)
    np.testing.assert_allclose(start, kmeans_plusplus(points.T, num_clusters, random_state=5)[0], atol=1e-12)
    np.testing.assert_array_equal(kmeans(points, start)[0], theirs.labels_)


def test_an_empty_cluster_gets_a_point() -> None:
    points = colors(200)
    start = np.concatenate([points[:, :4].T, [[9.0, 9.0, 9.0]]])
    labels, _ = kmeans(points, start)
    assert set(labels.tolist()) == set(range(5))


def test_sums_are_those_of_the_labels() -> None:
    points = colors(1000)
    start = np.concatenate([points[:, :8].T, [[9.0, 9.0, 9.0], [8.0, 8.0, 8.0]]])
    labels, sums = kmeans(points, start)
    np.testing.assert_array_equal(sums[:, 0], np.bincount(labels, minlength=10))
    for c in range(3):
        np.testing.assert_allclose(sums[:, c + 1], np.bincount(labels, points[c], 10), atol=1e-12)


def test_first_centers_against_a_full_search() -> None:
    """The bounds on blocks, by which candidates are evaluated, must not change the choice."""
    points = colors(4000)
    random = np.random.RandomState(3)
    chosen = [int(random.choice(4000, p=np.full(4000, 1 / 4000)))]
    draws = random.uniform(size=(11, 2 + int(np.log(12))))
    for row in draws:
        gaps = ((points[:, :, None] - points[:, None, chosen]) ** 2).sum(axis=0).min(axis=1)
        candidates = np.searchsorted(np.cumsum(gaps), row * gaps.sum())
        worth = [np.minimum(gaps, ((points - points[:, [c]]) ** 2).sum(axis=0)).sum() for c in candidates]
        chosen.append(int(candidates[int(np.argmin(worth))]))
    start = first_centers(points, points, np.ones(4000), 12, 3)
    np.testing.assert_array_equal(start, points[:, chosen].T)


def test_cells_hold_every_pixel_once() -> None:
    pixels = colors(50_000) * 0.4 + 0.5
    cells = color_cells(pixels)
    assert sorted(cells.order) == list(range(50_000))
    np.testing.assert_array_equal(cells.order, morton_order(pixels))
    cell = np.repeat(np.arange(len(cells.counts)), cells.counts.astype(int))
    for c in range(3):
        means = np.bincount(cell, pixels[c, cells.order]) / cells.counts
        np.testing.assert_allclose(means, cells.colors[c])
    assert np.abs(pixels[:, cells.order] - cells.colors[:, cell]).max() <= 1 / 256


def test_8_bit_levels_are_in_different_cells() -> None:
    levels = np.tile(np.arange(256) / 255.0, (3, 1))
    cells = color_cells(levels)
    assert len(cells.counts) == 256
    np.testing.assert_array_equal(cells.colors[0], levels[0])
