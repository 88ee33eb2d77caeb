"""The Potts model: its energy against an independent formula, and its effect on an image."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelpersona.pixel.cleanup import Cleanup, orphans
from pixelpersona.pixel.coherence import OUTLINE, coherent
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.palette import Palette, perceptual
from tests.pixel.snapping import FACE, snap


def energy(cells: np.ndarray, indices: np.ndarray, palette: Palette, strength: float) -> float:
    """Data term plus every pair of neighbours once, computed with shifted arrays."""
    colors = perceptual(cells / 255.0)
    total = ((colors - perceptual(palette.rgb / 255.0)[indices]) ** 2).sum()
    rows, columns = indices.shape
    for dy, dx, weight in ((0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.5), (1, -1, 0.5)):
        first = np.s_[: rows - dy, max(0, -dx) : columns - max(0, dx)]
        second = np.s_[dy:, max(0, dx) : columns + min(0, dx)]
        gap = ((colors[first] - colors[second]) ** 2).sum(axis=-1)
        pays = weight * np.exp(-gap / (2 * OUTLINE**2)) * (indices[first] != indices[second])
        total += strength**2 * pays.sum()
    return float(total)


@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(1, 7), st.integers(1, 5))
def test_no_single_cell_could_lower_the_energy(seed: int, rows: int, columns: int, num_colors: int) -> None:
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    palette = Palette(np.unique(rng.integers(0, 256, (num_colors, 3), dtype=np.uint8), axis=0))
    start = rng.integers(0, len(palette), (rows, columns)).astype(np.uint8)
    strength = float(rng.uniform(0.02, 0.5))
    settled = coherent(cells, start, palette, strength)
    least = energy(cells, settled, palette, strength)
    assert least <= energy(cells, start, palette, strength) + 1e-9
    for y in range(rows):
        for x in range(columns):
            for k in range(len(palette)):
                other = settled.copy()
                other[y, x] = k
                assert energy(cells, other, palette, strength) >= least - 1e-9


def test_a_portrait_has_fewer_borders_and_keeps_its_outlines() -> None:
    grid = Grid.of(128, 128, 4)
    plain, smooth = snap(FACE, grid), snap(FACE, grid, settings=Cleanup(coherence=0.12))

    def borders(indices: np.ndarray) -> int:
        return int((np.diff(indices, axis=0) != 0).sum() + (np.diff(indices, axis=1) != 0).sum())

    assert borders(smooth.indices) < 0.8 * borders(plain.indices)
    assert orphans(smooth.indices).sum() < orphans(plain.indices).sum()
    lightness = perceptual(plain.cells / 255.0)[..., 0], perceptual(smooth.cells / 255.0)[..., 0]
    strong = np.abs(np.diff(lightness[0], axis=1)) > 0.3
    kept = np.abs(np.diff(lightness[1], axis=1))[strong] > 0.15
    assert kept.mean() > 0.95


def test_strength_0_returns_a_copy() -> None:
    snapped = snap(FACE, Grid.of(128, 128, 4))
    same = coherent(snapped.cells, snapped.indices, snapped.palette, 0.0)
    assert np.array_equal(same, snapped.indices)
    assert same is not snapped.indices


def test_invalid_arguments_raise() -> None:
    palette = Palette(np.array([[0, 0, 0], [255, 255, 255]], np.uint8))
    cells, indices = np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3), np.uint8)
    with pytest.raises(ValueError, match="cells"):
        coherent(cells[:1], indices, palette, 0.1)
    with pytest.raises(ValueError, match="strength"):
        coherent(cells, indices, palette, -0.1)
    with pytest.raises(ValueError, match="out of range for 2 colours"):
        coherent(cells, indices + 2, palette, 0.1)


def test_each_cell_may_have_its_own_strength() -> None:
    """A pair pays the mean of its two prices, and no change of one cell lowers the energy."""
    rng = np.random.default_rng(3)
    cells = rng.integers(0, 256, (6, 7, 3), dtype=np.uint8)
    palette = Palette(rng.integers(0, 256, (4, 3), dtype=np.uint8))
    start = rng.integers(0, 4, (6, 7)).astype(np.uint8)
    same = coherent(cells, start, palette, np.full((6, 7), 0.2))
    np.testing.assert_array_equal(same, coherent(cells, start, palette, 0.2))
    strengths = rng.uniform(0.0, 0.5, (6, 7))

    def varied(indices: np.ndarray) -> float:
        total = energy(cells, indices, palette, 0.0)
        colors = perceptual(cells / 255.0)
        for (y, x), (v, u) in combinations(np.ndindex(6, 7), 2):
            if max(abs(y - v), abs(x - u)) == 1 and indices[y, x] != indices[v, u]:
                weight = 1.0 if y == v or x == u else 0.5
                gap = ((colors[y, x] - colors[v, u]) ** 2).sum()
                price = (strengths[y, x] ** 2 + strengths[v, u] ** 2) / 2
                total += price * weight * np.exp(-gap / (2 * OUTLINE**2))
        return total

    settled = coherent(cells, start, palette, strengths)
    least = varied(settled)
    assert least < varied(start)
    for y, x in np.ndindex(6, 7):
        for k in range(4):
            other = settled.copy()
            other[y, x] = k
            assert varied(other) >= least - 1e-9
    with pytest.raises(ValueError, match=r"strength=-1\.0: accepted 0 or more"):
        coherent(cells, start, palette, strengths - np.eye(6, 7) * (1 + strengths))


def test_a_cell_gets_an_allowed_colour_only() -> None:
    rng = np.random.default_rng(5)
    cells = rng.integers(90, 140, (9, 9, 3), dtype=np.uint8)
    palette = Palette(np.array([(95, 95, 95), (115, 115, 115), (135, 135, 135)], np.uint8))
    allowed = np.ones((9, 9, 3), np.bool_)
    allowed[3:6, 3:6, 1] = False
    start = np.where(allowed[..., 1], 1, 0).astype(np.uint8)
    settled = coherent(cells, start, palette, 0.3, allowed)
    assert (settled == 1).sum() > 60
    assert not (settled[3:6, 3:6] == 1).any()
    assert (coherent(cells, start, palette, 0.3)[3:6, 3:6] == 1).all()
