"""The metrics, against their definitions and on images without a grid or palette."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from pixelpersona.pixel.grid import Grid, cut
from pixelpersona.pixel.palette import Palette, perceptual
from pixelpersona.pixel.score import grid_contrast, palette_error, structure
from tests.pixel.snapping import FACE, snap

GRID = Grid(32, 32, 4)
ART = snap(FACE, GRID).image()


def blend(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    return np.rint((1 - share) * first.astype(float) + share * second).astype(np.uint8)


def test_grid_contrast_against_its_definition() -> None:
    """Crop to every shifted grid and take the variance inside its cells."""
    image = blend(FACE, ART, 0.4)
    inside = {}
    for y in range(4):
        for x in range(4):
            rows, columns = (128 - y) // 4, (128 - x) // 4
            crop = image[y : y + 4 * rows, x : x + 4 * columns]
            inside[y, x] = cut(crop, Grid(columns, rows, 4)).astype(float).var(axis=(2, 3)).mean()
    true = inside.pop((0, 0))
    assert grid_contrast(image, GRID) == pytest.approx(1 - true / np.mean(list(inside.values())), rel=1e-9)


def test_grid_contrast_of_art_photo_and_blur() -> None:
    assert grid_contrast(ART, GRID) == 1.0
    assert abs(grid_contrast(FACE, GRID)) < 0.1
    blurred = gaussian_filter(FACE, (4, 4, 0))
    assert abs(grid_contrast(blurred, GRID)) < 0.05
    assert grid_contrast(np.roll(ART, (2, 2), axis=(0, 1)), GRID) < 0.2
    assert grid_contrast(gaussian_filter(ART, (4, 4, 0)), GRID) < 0.05
    assert grid_contrast(np.full((128, 128, 3), 77, np.uint8), GRID) == 0.0


def test_grid_contrast_increases_with_the_share_of_art() -> None:
    values = [grid_contrast(blend(FACE, ART, share), GRID) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert all(low < high for low, high in pairwise(values))
    assert 0.3 < values[2] < 0.9


def test_grid_contrast_depends_on_the_cell_size() -> None:
    coarse = snap(FACE, Grid(16, 16, 8)).image()
    assert grid_contrast(coarse, Grid(16, 16, 8)) == 1.0
    fine = snap(FACE, Grid(64, 64, 2)).image()
    assert grid_contrast(fine, GRID) < 0.3


def test_grid_contrast_rejects_another_size() -> None:
    with pytest.raises(ValueError, match="128x128"):
        grid_contrast(FACE[:126], GRID)
    with pytest.raises(ValueError, match="2x2 cells"):
        grid_contrast(FACE, Grid(128, 128, 1))


def test_palette_error_is_0_for_art_and_decreases_with_the_size() -> None:
    assert palette_error(ART) == 0.0
    errors = [palette_error(FACE, k) for k in (2, 4, 16, 64)]
    assert all(low > high > 0 for low, high in pairwise(errors))


def test_palette_error_of_two_greys() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    image[0] = 100
    distance = np.linalg.norm(perceptual(np.full(3, 100 / 255)) - perceptual(np.zeros(3)))
    # The best colour is halfway, up to the rounding to 8 bits.
    assert palette_error(image, 1) == pytest.approx(distance / 2, abs=0.003)


def test_structure_of_the_photo_and_of_different_images() -> None:
    assert structure(FACE, FACE, GRID) == pytest.approx(1.0)
    kept = structure(FACE, ART, GRID)
    assert kept > 0.8
    assert structure(FACE, ART[:, ::-1].copy(), GRID) < kept - 0.3
    assert structure(FACE, 255 - FACE, GRID) < 0.1


def test_structure_ignores_detail_within_cells() -> None:
    noisy = FACE.astype(int) + np.random.default_rng(0).choice([-8, 8], FACE.shape)
    flat = np.clip(noisy, 0, 255).astype(np.uint8)
    assert structure(FACE, flat, GRID) > 0.95


def test_structure_needs_enough_cells() -> None:
    with pytest.raises(ValueError, match="7x7"):
        structure(FACE[:24, :24], FACE[:24, :24], Grid(6, 6, 4))


def test_palette_error_of_art_with_more_colours() -> None:
    wide = Palette(np.random.default_rng(0).integers(0, 256, (64, 3), dtype=np.uint8))
    assert palette_error(snap(FACE, GRID, palette=wide).image(), 4) > 0.01
