"""Images with alpha: no fringes from hidden colours in cells, palettes and PNG files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import distance_transform_edt

from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.palette import Palette
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pixelator import Pixelated, Pixelator
from pixelpersona.pixel.snap import Snapped, save_png
from pixelpersona.pixel.transparency import drawn_cells, reveal
from tests.pixel.snapping import FACE, snap

GRID = Grid(16, 16, 8)


def disc(rgb: np.ndarray) -> np.ndarray:
    """The image inside a circle; outside, fully transparent green that must not be visible."""
    y, x = np.indices((128, 128)) - 63.5
    inside = np.hypot(x, y) < 45
    colors = np.where(inside[..., None], rgb, (0, 255, 0))
    return np.dstack([colors, np.where(inside, 255, 0)]).astype(np.uint8)


def pixelated(image: np.ndarray, downsample: str = "inner") -> Pixelated:
    recipe = Pixelation(factor=8, palette=16, fit="kmeans", downsample=downsample, alpha=0.5)
    return Pixelator(recipe).fit_apply(image)


def test_hidden_colours_are_neither_in_cells_nor_in_the_palette() -> None:
    red = pixelated(disc(np.full((128, 128, 3), (200, 30, 30), np.uint8)))
    assert red.snapped.palette.rgb.tolist() == [[200, 30, 30]]
    assert red.drawn is not None
    assert 0.3 < red.drawn.mean() < 0.5  # a circle of radius 45 covers 0.39 of the square
    photo = pixelated(disc(FACE), "mean").snapped
    assert len(photo.palette) == 16
    green = photo.palette.rgb.astype(int)
    assert (green[:, 1] <= np.maximum(green[:, 0], green[:, 2]) + 30).all()


def test_an_opaque_image_is_drawn_as_without_alpha() -> None:
    rgba = np.dstack([FACE, np.full((128, 128), 255, np.uint8)])
    made = pixelated(rgba)
    assert made.drawn is not None
    assert made.drawn.all()
    np.testing.assert_array_equal(made.snapped.cells, snap(FACE, GRID).cells)
    np.testing.assert_array_equal(reveal(rgba, 0.5), FACE)


def test_hidden_pixels_take_the_nearest_visible_colour() -> None:
    rgba = np.zeros((1, 7, 4), np.uint8)
    rgba[0, 0] = (10, 0, 0, 255)
    rgba[0, 6] = (60, 0, 0, 200)
    assert reveal(rgba, 0.5)[0, :, 0].tolist()[:3] == [10, 10, 10]
    assert reveal(rgba, 0.5)[0, :, 0].tolist()[4:] == [60, 60, 60]
    assert (reveal(rgba, 0.9) == (10, 0, 0)).all()
    hidden = np.dstack([FACE, np.zeros((128, 128), np.uint8)])
    np.testing.assert_array_equal(reveal(hidden, 0.5), FACE)


def test_cells_are_drawn_by_their_mean_opacity() -> None:
    rgba = np.zeros((4, 8, 4), np.uint8)
    rgba[:2, :4, 3] = 255  # half of the first cell
    rgba[:1, 4:, 3] = 255  # a quarter of the second
    assert drawn_cells(rgba, Grid(2, 1, 4), 0.5).tolist() == [[True, False]]


@pytest.mark.parametrize("scale", [1, 3])
def test_the_png_is_transparent_where_nothing_is_drawn(scale: int, tmp_path: Path) -> None:
    made = pixelated(disc(FACE))
    snapped, drawn = made.snapped, made.drawn
    assert drawn is not None
    save_png(snapped, tmp_path / "a.png", scale, drawn)
    with Image.open(tmp_path / "a.png") as stored:
        assert stored.mode == "P"
        assert np.array(stored.getpalette()).reshape(-1, 3)[:16].tolist() == snapped.palette.rgb.tolist()
        rgba = np.asarray(stored.convert("RGBA"))[::scale, ::scale]
    np.testing.assert_array_equal(rgba[..., 3], np.where(drawn, 255, 0))
    np.testing.assert_array_equal(rgba[drawn][:, :3], snapped.cells[drawn])
    hidden = np.unique(rgba[~drawn][:, :3], axis=0)  # a single colour of the palette
    assert len(hidden) == 1
    assert hidden.tolist()[0] in snapped.palette.rgb.tolist()


def test_smoothing_the_png_gives_no_fringe(tmp_path: Path) -> None:
    made = pixelated(disc(np.full((128, 128, 3), (200, 30, 30), np.uint8)))
    save_png(made.snapped, tmp_path / "a.png", opaque=made.drawn)
    with Image.open(tmp_path / "a.png") as stored:
        straight = stored.convert("RGBA")
    # Each channel separately, as in viewers that do not premultiply by alpha.
    channels = [c.resize((100, 100), Image.Resampling.BILINEAR) for c in straight.split()[:3]]
    assert np.ptp(np.asarray(Image.merge("RGB", channels)).reshape(-1, 3), axis=0).max() == 0


def test_with_256_colours_an_unused_one_becomes_transparent(tmp_path: Path) -> None:
    palette = Palette(np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1))
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16)
    snapped = Snapped(indices, palette, Grid(16, 16, 1))
    opaque = np.ones((16, 16), np.bool_)
    with pytest.raises(ValueError, match="none is free"):
        save_png(snapped, tmp_path / "a.png", opaque=opaque)
    opaque[3, 4] = False
    save_png(snapped, tmp_path / "a.png", opaque=opaque)
    with Image.open(tmp_path / "a.png") as stored:
        rgba = np.asarray(stored.convert("RGBA"))
    np.testing.assert_array_equal(rgba[..., 3] == 255, opaque)
    np.testing.assert_array_equal(rgba[opaque][:, 0], indices[opaque])


@pytest.mark.parametrize("fit", ["pyxelate", "kmeans"])
def test_an_image_without_an_opaque_pixel_raises(fit: str) -> None:
    hidden = np.zeros((128, 128, 4), np.uint8)
    pixelator = Pixelator(Pixelation(factor=8, palette=4, fit=fit, alpha=0.5)).fit([FACE])
    for draw in (pixelator.apply, pixelator.fit_apply):
        with pytest.raises(ValueError, match=r"image: no pixel reaches the opacity alpha=0\.5"):
            draw(hidden)


def test_a_mask_of_another_shape_raises(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="opaque"):
        save_png(snap(FACE, GRID, 4), tmp_path / "a.png", opaque=np.ones((3, 3), np.bool_))


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (23, 37)])
def test_hidden_pixels_take_the_nearest_visible_colour_against_scipy(
    size: tuple[int, int], share: float
) -> None:
    rng = np.random.default_rng(0)
    hidden = rng.random(size) < share
    hidden[rng.integers(size[0]), rng.integers(size[1])] = False
    y, x = np.mgrid[: size[0], : size[1]]
    image = np.stack([y, x, np.zeros_like(y), np.where(hidden, 0, 255)], axis=-1).astype(np.uint8)
    shown = reveal(image, 0.5).astype(np.int64)  # red and green say where the colour is from
    distance = np.hypot(shown[..., 0] - y, shown[..., 1] - x)
    np.testing.assert_allclose(distance, distance_transform_edt(hidden), atol=1e-12)
    assert not hidden[shown[..., 0], shown[..., 1]].any()
