"""Clean-up: isolated cells, similar colours, and the whole chain."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import generic_filter
from skimage.measure import label

from pixelpersona.pixel.cleanup import Cleanup, clean_up, merge_similar, orphans, remove_orphans
from pixelpersona.pixel.coherence import coherent
from pixelpersona.pixel.downsample import cell_colors
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.palette import Palette, nearest, perceptual
from tests.pixel.snapping import FACE, snap

PALETTE = Palette(np.array([[0, 0, 0], [90, 60, 50], [100, 70, 60], [255, 255, 255]], dtype=np.uint8))
BLACK, DARK, BROWN, WHITE = range(4)
GREYS = Palette(np.array([[90] * 3, [100] * 3, [110] * 3, [130] * 3], dtype=np.uint8))  # no pair is an accent
GRID = Grid(32, 32, 4)


def around(center: int, ring: int, size: int = 5) -> np.ndarray:
    indices = np.full((size, size), ring, np.uint8)
    indices[size // 2, size // 2] = center
    return indices


@given(seed=st.integers(0, 200), rows=st.integers(1, 9), columns=st.integers(1, 9))
def test_orphans_are_connected_regions_of_one_cell(seed: int, rows: int, columns: int) -> None:
    """Against scikit-image's labelling of connected regions."""
    indices = np.random.default_rng(seed).integers(0, 4, (rows, columns), dtype=np.uint8)
    regions = label(indices.astype(int) + 1, connectivity=2)
    single = np.bincount(regions.ravel())[regions] == 1
    expected = single if indices.size > 1 else np.zeros_like(single)
    np.testing.assert_array_equal(orphans(indices), expected)


def test_an_isolated_shade_is_reassigned_and_an_accent_stays() -> None:
    assert (remove_orphans(around(DARK, BROWN), PALETTE) == BROWN).all()
    eye = around(WHITE, BLACK)
    np.testing.assert_array_equal(remove_orphans(eye, PALETTE), eye)


def test_a_highlight_beside_a_similar_colour_is_no_accent() -> None:
    near_white = Palette(np.concatenate([PALETTE.rgb, [[240, 240, 240]]]).astype(np.uint8))
    eye = around(WHITE, BLACK)
    eye[1, 1] = eye[0, 0] = 4
    assert remove_orphans(eye, near_white)[2, 2] == BLACK


def test_the_most_frequent_neighbour_wins_then_the_most_similar() -> None:
    indices = np.array([[1, 1, 1], [0, 2, 3], [0, 0, 0]], dtype=np.uint8)
    assert remove_orphans(indices, GREYS)[1, 1] == 0
    tie = np.array([[0, 0, 0], [1, 2, 0], [1, 1, 1]], dtype=np.uint8)
    assert remove_orphans(tie, GREYS)[1, 1] == 1


@pytest.mark.parametrize("palette", [PALETTE, GREYS])
@given(seed=st.integers(0, 200))
def test_only_accents_remain_isolated(palette: Palette, seed: int) -> None:
    rng = np.random.default_rng(seed)
    indices = rng.integers(0, 4, (rng.integers(1, 8), rng.integers(1, 8)), dtype=np.uint8)
    before = indices.copy()
    after = remove_orphans(indices, palette)
    np.testing.assert_array_equal(indices, before)
    assert (after != before)[~orphans(before)].sum() == 0
    left = orphans(after)
    np.testing.assert_array_equal(after[left], before[left])
    if palette is GREYS:
        assert not left.any()


def test_a_checkerboard_has_no_orphans() -> None:
    board = (np.indices((6, 6)).sum(axis=0) % 2).astype(np.uint8)
    assert not orphans(board).any()


def test_sparse_noise_against_a_majority_filter() -> None:
    """Orphans far from one another and from edges become what a 3x3 majority filter makes of them."""
    indices = np.full((20, 20), 2, np.uint8)
    indices[10:] = 0
    noisy = indices.copy()
    noisy[2::6, 3::6] = 1

    def majority(window: np.ndarray) -> float:
        return float(np.bincount(window.astype(int)).argmax())

    expected = generic_filter(noisy, majority, size=3, mode="nearest")
    np.testing.assert_array_equal(remove_orphans(noisy, GREYS), expected)
    np.testing.assert_array_equal(remove_orphans(noisy, GREYS), indices)


def test_merged_colours_are_the_mean_weighted_by_area() -> None:
    indices = np.array([[DARK] * 3 + [BROWN], [BLACK] * 2 + [WHITE] * 2], dtype=np.uint8)
    merged, palette = merge_similar(indices, PALETTE, 0.1)
    assert len(palette) == 3
    assert merged.tolist() == [[1, 1, 1, 1], [0, 0, 2, 2]]
    assert np.abs(palette.rgb[1] - np.array([92.5, 62.5, 52.5])).max() <= 1  # 3 cells to 1
    kept, palette = merge_similar(indices, PALETTE, 0.1, keep_colors=True)
    np.testing.assert_array_equal(kept, merged)
    assert palette.rgb[1].tolist() == [90, 60, 50]


def test_a_large_distance_leaves_one_colour_and_0_changes_nothing() -> None:
    indices = np.arange(4, dtype=np.uint8).reshape(2, 2)
    merged, palette = merge_similar(indices, PALETTE, 10.0)
    assert len(palette) == 1
    assert not merged.any()
    same, palette = merge_similar(indices, PALETTE, 0.0)
    assert palette is PALETTE
    np.testing.assert_array_equal(same, indices)


@given(seed=st.integers(0, 200), distance=st.floats(0.0, 0.5), keep=st.booleans())
def test_no_two_colours_remain_closer_than_min_distance(seed: int, distance: float, keep: bool) -> None:
    rng = np.random.default_rng(seed)
    palette = Palette(rng.integers(0, 256, (rng.integers(1, 20), 3), dtype=np.uint8))
    indices = rng.integers(0, len(palette), (5, 6)).astype(np.uint8)
    merged, fewer = merge_similar(indices, palette, distance, keep)
    points = perceptual(fewer.rgb / 255)
    gaps = np.linalg.norm(points[:, None] - points[None], axis=2)[~np.eye(len(points), dtype=bool)]
    assert gaps.min(initial=1.0) >= distance - 0.02
    assert int(merged.max()) < len(fewer) <= len(palette)
    for color in np.unique(indices):  # cells of one colour still have one colour
        assert len(np.unique(merged[indices == color])) == 1
    if keep:
        assert {tuple(c) for c in fewer.rgb} <= {tuple(c) for c in palette.rgb}


def test_each_setting_on_a_portrait() -> None:
    plain = snap(FACE, GRID)
    tidy = snap(FACE, GRID, settings=Cleanup(cleanup=True))
    np.testing.assert_array_equal(tidy.palette.rgb, plain.palette.rgb)
    assert orphans(tidy.indices).sum() < 0.3 * orphans(plain.indices).sum()
    merged = Cleanup(min_distance=0.12)
    assert len(snap(FACE, GRID, settings=merged).palette) < 16
    given_palette = snap(FACE, GRID, palette=plain.palette, settings=merged).palette
    assert {tuple(c) for c in given_palette.rgb} < {tuple(c) for c in plain.palette.rgb}


def test_the_chain_merges_then_smooths_then_removes_orphans() -> None:
    plain = snap(FACE, GRID)
    cells = cell_colors(FACE, GRID, "inner")
    indices, palette = merge_similar(nearest(cells, plain.palette), plain.palette, 0.05)
    expected = remove_orphans(coherent(cells, indices, palette, 0.1), palette)
    settings = Cleanup(min_distance=0.05, coherence=0.1, cleanup=True)
    found, merged = clean_up(cells, plain.indices, plain.palette, settings)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(merged.rgb, palette.rgb)
    same, unmerged = clean_up(cells, plain.indices, plain.palette, Cleanup())
    assert same is plain.indices
    assert unmerged is plain.palette


@pytest.mark.parametrize("key", ["min_distance", "coherence"])
@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_values_out_of_range_are_named(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"postprocess\.{key}={value}: accepted 0 to 1"):
        Cleanup(**{key: value}).check_cleanup("postprocess")


def test_invalid_arguments_raise() -> None:
    indices = np.full((2, 2), 4, np.uint8)
    for wrong, reason in ((indices, "out of range for 4"), (indices.astype(int), "uint8")):
        with pytest.raises(ValueError, match=reason):
            remove_orphans(wrong, PALETTE)
        with pytest.raises(ValueError, match=reason):
            merge_similar(wrong, PALETTE, 0.1)
    with pytest.raises(ValueError, match=r"min_distance=-1\.0: accepted 0 or more"):
        merge_similar(indices, Palette(np.zeros((9, 3), np.uint8)), -1.0)


def test_fixed_cells_are_neither_smoothed_nor_reassigned() -> None:
    rng = np.random.default_rng(4)
    cells = rng.integers(100, 130, (12, 12, 3), dtype=np.uint8)
    palette = Palette(np.array([(100, 100, 100), (115, 115, 115), (130, 130, 130)], np.uint8))
    indices = nearest(cells, palette)
    fixed = rng.random((12, 12)) < 0.2
    settings = Cleanup(coherence=0.2, cleanup=True)
    free, _ = clean_up(cells, indices, palette, settings)
    kept, _ = clean_up(cells, indices, palette, settings, fixed=fixed)
    assert (free != indices)[fixed].any()
    np.testing.assert_array_equal(kept[fixed], indices[fixed])
    np.testing.assert_array_equal(kept[~fixed], free[~fixed])


def test_skin_is_smoothed_to_colours_of_skin_only() -> None:
    palette = Palette(np.array([(100, 100, 100), (110, 108, 106), (112, 112, 112)], np.uint8))
    indices = np.full((9, 9), 2, np.uint8)
    indices[3:6, 3:6] = 1
    skin = indices == 1
    cells = palette.rgb[indices]
    settings = Cleanup(coherence=0.3)
    assert (clean_up(cells, indices, palette, settings)[0] == 2).all()
    np.testing.assert_array_equal(clean_up(cells, indices, palette, settings, skin=skin)[0], indices)
