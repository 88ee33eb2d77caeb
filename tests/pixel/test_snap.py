"""Snapped images: exactly on grid and palette, also in their PNG files."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.data import astronaut

from pixelpersona.pixel.downsample import METHODS, cell_colors
from pixelpersona.pixel.grid import Grid, cut, render
from pixelpersona.pixel.palette import Palette
from pixelpersona.pixel.snap import Snapped, save_png
from tests.pixel.snapping import snap

ART = np.array([[[0, 0, 0], [250, 240, 230]], [[200, 40, 30], [20, 60, 200]]], dtype=np.uint8)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 1000),
    columns=st.integers(1, 9),
    rows=st.integers(1, 9),
    cell=st.integers(1, 9),
    colors=st.integers(1, 16),
    method=st.sampled_from(METHODS),
)
def test_images_are_on_grid_and_palette(
    seed: int, columns: int, rows: int, cell: int, colors: int, method: str
) -> None:
    grid = Grid(columns, rows, cell)
    noise = np.random.default_rng(seed).integers(0, 256, (grid.height, grid.width, 3), dtype=np.uint8)
    snapped = snap(noise, grid, colors, method=method)
    image = snapped.image()
    blocks = cut(image, grid)
    assert image.shape == noise.shape
    assert image.dtype == np.uint8
    assert (blocks == blocks[:, :, :1, :1]).all()
    assert len(np.unique(image.reshape(-1, 3), axis=0)) <= len(snapped.palette) <= colors
    np.testing.assert_array_equal(render(snapped.cells, grid), image)


@pytest.mark.parametrize("method", METHODS)
def test_pixel_art_is_unchanged(method: str) -> None:
    grid = Grid(8, 8, 4)
    image = render(np.tile(ART, (4, 4, 1)), grid)
    np.testing.assert_array_equal(snap(image, grid, 4, method=method).image(), image)


def test_inner_ignores_blurred_cell_borders() -> None:
    """Pixel art whose cells bleed into each other by a pixel, as after a decoder, is restored."""
    grid = Grid(8, 8, 4)
    art = render(np.tile(ART, (4, 4, 1)), grid)
    bled = (art.astype(int) + np.roll(art, 1, axis=1)) // 2
    np.testing.assert_array_equal(snap(bled.astype(np.uint8), grid, 4).image(), art)


def test_the_mean_is_taken_in_linear_light() -> None:
    checkers = np.zeros((4, 4, 3), np.uint8)
    checkers[::2, ::2] = checkers[1::2, 1::2] = 255
    # Half of the light is sRGB 188; the mean of the sRGB values, 128, is too dark.
    assert (cell_colors(checkers, Grid(1, 1, 4), "mean") == 188).all()


def test_the_median_is_taken_per_channel() -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    expected = np.median(image[:3, 3:].reshape(-1, 3), axis=0)
    np.testing.assert_array_equal(cell_colors(image, Grid(2, 2, 3), "median")[0, 1], expected)


def test_an_unknown_method_lists_the_accepted_ones() -> None:
    with pytest.raises(ValueError, match="method=mode: accepted mean, median, inner"):
        cell_colors(np.zeros((4, 4, 3), np.uint8), Grid(1, 1, 4), "mode")


def test_png_files_hold_exactly_the_image(tmp_path: Path) -> None:
    snapped = snap(astronaut(), Grid.of(512, 512, 16))
    save_png(snapped, tmp_path / "내 사진 (1).png")
    save_png(snapped, tmp_path / "large.png", 5)
    small, large = Image.open(tmp_path / "내 사진 (1).png"), Image.open(tmp_path / "large.png")
    assert (small.mode, small.size, large.mode, large.size) == ("P", (32, 32), "P", (160, 160))
    np.testing.assert_array_equal(np.asarray(small.convert("RGB")), snapped.cells)
    np.testing.assert_array_equal(np.asarray(large.convert("RGB")), render(snapped.cells, Grid(32, 32, 5)))
    assert len(small.getpalette() or []) == 3 * len(snapped.palette)


def test_invalid_arguments_raise(tmp_path: Path) -> None:
    palette = Palette(np.zeros((2, 3), np.uint8))
    with pytest.raises(ValueError, match="do not fit"):
        Snapped(np.zeros((2, 3), np.uint8), palette, Grid(2, 2, 4))
    with pytest.raises(ValueError, match="index 2"):
        Snapped(np.full((2, 2), 2, np.uint8), palette, Grid(2, 2, 4))
    with pytest.raises(ValueError, match="scale=0: accepted 1 or more"):
        save_png(Snapped(np.zeros((2, 2), np.uint8), palette, Grid(2, 2, 4)), tmp_path / "x.png", 0)
