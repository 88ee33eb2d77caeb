"""k-means and colour cells against scikit-learn and plain numpy."""

import numpy as np
import pytest
from sklearn.cluster import KMeans, kmeans_plusplus

from pixelpersona.pixel.color_cells import color_cells, morton_order
from pixelpersona.pixel.kmeans import cluster_columns, first_centers, weighted_kmeans


def colors(num_colors: int = 3000) -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.clip(
        rng.random((12, 3))[rng.integers(0, 12, num_colors)] + rng.normal(0, 0.06, (num_colors, 3)), 0, 1
    )


@pytest.mark.parametrize("num_clusters", [2, 9, 24])
def test_the_start_and_the_labels_are_scikit_learns(num_clusters: int) -> None:
    points = colors()
    theirs = KMeans(num_clusters, n_init=1, random_state=5).fit(points)
    centered = np.ascontiguousarray((points - points.mean(axis=0)).T)
    start = first_centers(centered, centered, np.ones(len(points)), num_clusters, 5) + points.mean(axis=0)
    np.testing.assert_allclose(start, kmeans_plusplus(points, num_clusters, random_state=5)[0], atol=1e-12)
    labels, centers = weighted_kmeans(points, np.ones(len(points)), start)
    np.testing.assert_array_equal(labels, theirs.labels_)
    np.testing.assert_allclose(centers, theirs.cluster_centers_, atol=1e-9)


def test_weights_count_as_repetitions() -> None:
    points = colors(400) * 200 - 50  # any range
    weights = np.random.default_rng(0).integers(1, 6, len(points))
    theirs = KMeans(7, init=points[:7], n_init=1).fit(points.repeat(weights, axis=0))
    labels, centers = weighted_kmeans(points, weights.astype(float), points[:7])
    np.testing.assert_array_equal(labels.repeat(weights), theirs.labels_)
    np.testing.assert_allclose(centers, theirs.cluster_centers_, atol=1e-9)


def test_an_empty_cluster_gets_a_point() -> None:
    points = colors(200)
    start = np.concatenate([points[:4], [[9.0, 9.0, 9.0]]])
    labels, centers = weighted_kmeans(points, np.ones(200), start)
    assert set(labels.tolist()) == set(range(5))
    for k in range(5):
        np.testing.assert_allclose(centers[k], points[labels == k].mean(axis=0), atol=0.02)


def test_sums_are_kept_up_with_the_labels() -> None:
    points = np.ascontiguousarray(colors(1000).T) - 0.5
    weights = (0.1 * np.random.default_rng(1).integers(0, 4, 1000)).astype(np.float64)
    start = np.concatenate([points[:, :8].T, [[9.0, 9.0, 9.0], [8.0, 8.0, 8.0]]])
    labels, _, sums = cluster_columns(points, weights, start)
    np.testing.assert_allclose(sums[:, 0], np.bincount(labels, weights, 10), atol=1e-12)
    for c in range(3):
        np.testing.assert_allclose(sums[:, c + 1], np.bincount(labels, weights * points[c], 10), atol=1e-12)


def test_a_start_that_passes_over_runs_is_that_of_a_full_search() -> None:
    """Runs of cells that a candidate cannot improve are passed over: the choice must be the full search's."""
    points = colors(4000)
    columns = np.ascontiguousarray(points[morton_order(np.ascontiguousarray(points.T))].T)
    random = np.random.RandomState(3)
    chosen = [int(random.choice(4000, p=np.full(4000, 1 / 4000)))]
    draws = random.uniform(size=(11, 2 + int(np.log(12))))
    for row in draws:
        gaps = ((columns[:, :, None] - columns[:, None, chosen]) ** 2).sum(axis=0).min(axis=1)
        candidates = np.searchsorted(np.cumsum(gaps), row * gaps.sum())
        worth = [np.minimum(gaps, ((columns - columns[:, [c]]) ** 2).sum(axis=0)).sum() for c in candidates]
        chosen.append(int(candidates[int(np.argmin(worth))]))
    start = first_centers(columns, columns, np.ones(4000), 12, 3)
    np.testing.assert_array_equal(start, columns[:, chosen].T)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="points"):
        weighted_kmeans(np.zeros((4, 2)), np.ones(4), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="weights"):
        weighted_kmeans(np.zeros((4, 3)), np.zeros(4), np.zeros((1, 3)))


def test_cells_hold_every_pixel_once() -> None:
    pixels = np.ascontiguousarray(colors(50_000).T)
    cells = color_cells(pixels)
    np.testing.assert_array_equal(np.bincount(cells.cell), cells.counts)
    for c in range(3):
        np.testing.assert_allclose(np.bincount(cells.cell, pixels[c]) / cells.counts, cells.colors[c])
    assert np.abs(pixels - cells.colors[:, cells.cell]).max() <= 1 / 256
    np.testing.assert_array_equal(cells.order, morton_order(pixels))
    assert sorted(cells.order) == list(range(50_000))


def test_levels_of_8_bits_are_told_apart() -> None:
    levels = np.tile(np.arange(256) / 255.0, (3, 1))
    cells = color_cells(levels)
    assert len(cells.counts) == 256
    np.testing.assert_array_equal(cells.colors[0], levels[0])
