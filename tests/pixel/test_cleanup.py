"""Orphan cells and near-identical colours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import generic_filter
from skimage.data import astronaut
from skimage.measure import label

from pixelpersona.pixel.cleanup import merge_similar, orphans, remove_orphans
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.palette import Palette, perceptual
from pixelpersona.pixel.snap import snap

PALETTE = Palette(np.array([[0, 0, 0], [90, 60, 50], [100, 70, 60], [255, 255, 255]], dtype=np.uint8))
BLACK, DARK, BROWN, WHITE = range(4)
PHOTO = np.ascontiguousarray(astronaut()[:256:2, 96:352:2])
GRID = Grid(32, 32, 4)


def around(center: int, ring: int, size: int = 5) -> np.ndarray:
    indices = np.full((size, size), ring, np.uint8)
    indices[size // 2, size // 2] = center
    return indices


@pytest.mark.parametrize("neighbors", [4, 8])
@given(seed=st.integers(0, 200), rows=st.integers(1, 9), columns=st.integers(1, 9))
def test_orphans_are_regions_of_one_cell(neighbors: int, seed: int, rows: int, columns: int) -> None:
    """Against scikit-image's labelling of connected regions."""
    indices = np.random.default_rng(seed).integers(0, 4, (rows, columns), dtype=np.uint8)
    regions = label(indices.astype(int) + 1, connectivity=1 if neighbors == 4 else 2)
    single = np.bincount(regions.ravel())[regions] == 1
    expected = single if indices.size > 1 else np.zeros_like(single)
    np.testing.assert_array_equal(orphans(indices, neighbors), expected)


def test_a_lone_shade_joins_its_neighbours_and_a_light_in_an_eye_stays() -> None:
    assert (remove_orphans(around(DARK, BROWN), PALETTE) == BROWN).all()
    eye = around(WHITE, BLACK)
    np.testing.assert_array_equal(remove_orphans(eye, PALETTE), eye)
    assert (remove_orphans(eye, PALETTE, keep_contrast=2.0) == BLACK).all()
    shade = around(DARK, BROWN)
    np.testing.assert_array_equal(remove_orphans(shade, PALETTE, keep_contrast=0.0), shade)


def test_a_light_beside_something_like_it_is_no_detail() -> None:
    near_white = Palette(np.concatenate([PALETTE.rgb, [[240, 240, 240]]]).astype(np.uint8))
    eye = around(WHITE, BLACK)
    eye[1, 1] = eye[0, 0] = 4
    assert remove_orphans(eye, near_white)[2, 2] == BLACK


def test_the_most_frequent_neighbour_wins_then_the_most_similar() -> None:
    indices = np.array([[1, 1, 1], [0, 2, 3], [0, 0, 0]], dtype=np.uint8)
    assert remove_orphans(indices, PALETTE, 2.0)[1, 1] == BLACK
    tie = np.array([[0, 0, 0], [1, 2, 0], [1, 1, 1]], dtype=np.uint8)
    assert remove_orphans(tie, PALETTE, 2.0)[1, 1] == DARK


@given(seed=st.integers(0, 200), keep=st.sampled_from([0.1, 0.3, 2.0]), neighbors=st.sampled_from([4, 8]))
def test_no_orphan_is_left_but_those_kept(seed: int, keep: float, neighbors: int) -> None:
    rng = np.random.default_rng(seed)
    indices = rng.integers(0, 4, (rng.integers(1, 8), rng.integers(1, 8)), dtype=np.uint8)
    before = indices.copy()
    after = remove_orphans(indices, PALETTE, keep, neighbors)
    np.testing.assert_array_equal(indices, before)
    assert (after != before)[~orphans(before, neighbors)].sum() == 0
    left = orphans(after, neighbors)
    np.testing.assert_array_equal(after[left], before[left])
    if keep > 1:
        assert not left.any()


def test_a_checkerboard_has_no_orphans_by_its_diagonals() -> None:
    board = (np.indices((6, 6)).sum(axis=0) % 2).astype(np.uint8)
    assert not orphans(board).any()
    assert orphans(board, 4).all()


def test_isolated_noise_against_a_majority_filter() -> None:
    """Far from one another and from edges, orphans become what a 3x3 majority filter makes of them."""
    indices = np.full((20, 20), BROWN, np.uint8)
    indices[10:] = BLACK
    noisy = indices.copy()
    noisy[2::6, 3::6] = DARK

    def majority(window: np.ndarray) -> float:
        return float(np.bincount(window.astype(int)).argmax())

    expected = generic_filter(noisy, majority, size=3, mode="nearest")
    np.testing.assert_array_equal(remove_orphans(noisy, PALETTE, 2.0), expected)
    np.testing.assert_array_equal(remove_orphans(noisy, PALETTE, 2.0), indices)


def test_merged_colours_are_the_mean_by_area() -> None:
    indices = np.array([[DARK] * 3 + [BROWN], [BLACK] * 2 + [WHITE] * 2], dtype=np.uint8)
    merged, palette = merge_similar(indices, PALETTE, 0.1)
    assert len(palette) == 3
    assert merged.tolist() == [[1, 1, 1, 1], [0, 0, 2, 2]]
    assert np.abs(palette.rgb[1] - np.array([92.5, 62.5, 52.5])).max() <= 1  # three quarters of the way
    kept, palette = merge_similar(indices, PALETTE, 0.1, keep_colors=True)
    np.testing.assert_array_equal(kept, merged)
    assert palette.rgb[1].tolist() == [90, 60, 50]


def test_a_large_distance_leaves_one_colour_and_none_changes_nothing() -> None:
    indices = np.arange(4, dtype=np.uint8).reshape(2, 2)
    merged, palette = merge_similar(indices, PALETTE, 10.0)
    assert len(palette) == 1
    assert not merged.any()
    same, palette = merge_similar(indices, PALETTE, 0.0)
    assert palette is PALETTE
    np.testing.assert_array_equal(same, indices)


@given(seed=st.integers(0, 200), distance=st.floats(0.0, 0.5), keep=st.booleans())
def test_no_two_colours_stay_closer_than_asked(seed: int, distance: float, keep: bool) -> None:
    rng = np.random.default_rng(seed)
    palette = Palette(rng.integers(0, 256, (rng.integers(1, 20), 3), dtype=np.uint8))
    indices = rng.integers(0, len(palette), (5, 6)).astype(np.uint8)
    merged, fewer = merge_similar(indices, palette, distance, keep)
    points = perceptual(fewer.rgb / 255)
    gaps = np.linalg.norm(points[:, None] - points[None], axis=2)[~np.eye(len(points), dtype=bool)]
    assert gaps.min(initial=1.0) >= distance - 0.02
    assert int(merged.max()) < len(fewer) <= len(palette)
    for color in np.unique(indices):  # what was one colour is one colour
        assert len(np.unique(merged[indices == color])) == 1
    if keep:
        assert {tuple(c) for c in fewer.rgb} <= {tuple(c) for c in palette.rgb}


def test_snap_with_and_without() -> None:
    plain = snap(PHOTO, GRID, 16)
    tidy = snap(PHOTO, GRID, 16, cleanup=True)
    np.testing.assert_array_equal(tidy.palette.rgb, plain.palette.rgb)
    assert orphans(tidy.indices).sum() < 0.3 * orphans(plain.indices).sum()
    assert not orphans(snap(PHOTO, GRID, 16, cleanup=2.0).indices).any()
    calm = snap(PHOTO, GRID, 16, min_distance=0.12)
    assert len(calm.palette) < 16
    given_palette = snap(PHOTO, GRID, palette=plain.palette, min_distance=0.12).palette
    assert {tuple(c) for c in given_palette.rgb} < {tuple(c) for c in plain.palette.rgb}


def test_wrong_values_are_refused() -> None:
    indices = np.full((2, 2), 4, np.uint8)
    for function in (remove_orphans, merge_similar):
        with pytest.raises(ValueError, match="points beyond"):
            function(indices, PALETTE, 0.1)
        with pytest.raises(ValueError, match="uint8"):
            function(indices.astype(int), PALETTE, 0.1)
    with pytest.raises(ValueError, match="neither 4 nor 8"):
        orphans(indices, 6)
    with pytest.raises(ValueError, match="negative"):
        merge_similar(indices, Palette(np.zeros((9, 3), np.uint8)), -1.0)
