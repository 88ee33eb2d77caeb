"""Pictures with alpha: no fringes in the cells, none in the palette, and a PNG that is transparent."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.palette import Palette
from pixelpersona.pixel.snap import Snapped, save_cells_png, save_enlarged_png, snap
from pixelpersona.pixel.transparency import drawn_cells, reveal, snap_transparent

GRID = Grid(16, 16, 8)
PHOTO = np.ascontiguousarray(astronaut()[:256:2, 96:352:2])


def disc(rgb: np.ndarray) -> np.ndarray:
    """The picture inside a circle; outside, fully transparent green that must never be seen."""
    y, x = np.indices((128, 128)) - 63.5
    inside = np.hypot(x, y) < 45
    colors = np.where(inside[..., None], rgb, (0, 255, 0))
    return np.dstack([colors, np.where(inside, 255, 0)]).astype(np.uint8)


def test_hidden_colours_enter_neither_cells_nor_palette() -> None:
    red = np.full((128, 128, 3), (200, 30, 30), np.uint8)
    snapped, drawn = snap_transparent(disc(red), GRID)
    assert snapped.palette.rgb.tolist() == [[200, 30, 30]]
    assert 0.3 < drawn.mean() < 0.5  # a circle of 45 pixels covers 0.39 of the square
    photo, drawn = snap_transparent(disc(PHOTO), GRID, 16, method="mean")
    assert len(photo.palette) == 16
    green = photo.palette.rgb.astype(int)
    assert (green[:, 1] <= np.maximum(green[:, 0], green[:, 2]) + 30).all()


def test_an_opaque_picture_is_snapped_as_without_alpha() -> None:
    rgba = np.dstack([PHOTO, np.full((128, 128), 255, np.uint8)])
    snapped, drawn = snap_transparent(rgba, GRID)
    plain = snap(PHOTO, GRID)
    assert drawn.all()
    np.testing.assert_array_equal(snapped.cells, plain.cells)
    np.testing.assert_array_equal(reveal(rgba), PHOTO)


def test_hidden_pixels_take_the_nearest_visible_colour() -> None:
    rgba = np.zeros((1, 7, 4), np.uint8)
    rgba[0, 0] = (10, 0, 0, 255)
    rgba[0, 6] = (60, 0, 0, 200)
    assert reveal(rgba)[0, :, 0].tolist()[:3] == [10, 10, 10]
    assert reveal(rgba)[0, :, 0].tolist()[4:] == [60, 60, 60]
    assert (reveal(rgba, 0.9) == (10, 0, 0)).all()


def test_cells_are_drawn_by_their_mean_opacity() -> None:
    rgba = np.zeros((4, 8, 4), np.uint8)
    rgba[:2, :4, 3] = 255  # half of the first cell
    rgba[:1, 4:, 3] = 255  # a quarter of the second
    assert drawn_cells(rgba, Grid(2, 1, 4)).tolist() == [[True, False]]


def test_the_png_is_transparent_where_nothing_is_drawn(tmp_path: Path) -> None:
    snapped, drawn = snap_transparent(disc(PHOTO), GRID, 16)
    for scale, file in ((1, tmp_path / "true.png"), (3, tmp_path / "large.png")):
        if scale == 1:
            save_cells_png(snapped, file, drawn)
        else:
            save_enlarged_png(snapped, file, scale, drawn)
        with Image.open(file) as stored:
            assert stored.mode == "P"
            assert np.array(stored.getpalette()).reshape(-1, 3)[:16].tolist() == snapped.palette.rgb.tolist()
            rgba = np.asarray(stored.convert("RGBA"))[::scale, ::scale]
        np.testing.assert_array_equal(rgba[..., 3], np.where(drawn, 255, 0))
        np.testing.assert_array_equal(rgba[drawn][:, :3], snapped.cells[drawn])
        hidden = np.unique(rgba[~drawn][:, :3], axis=0)  # one colour, and one of the drawing's
        assert len(hidden) == 1
        assert hidden.tolist()[0] in snapped.palette.rgb.tolist()


def test_smoothing_the_png_gives_no_fringe(tmp_path: Path) -> None:
    snapped, drawn = snap_transparent(disc(np.full((128, 128, 3), (200, 30, 30), np.uint8)), GRID)
    save_cells_png(snapped, tmp_path / "a.png", drawn)
    with Image.open(tmp_path / "a.png") as stored:
        straight = stored.convert("RGBA")
    # Channel by channel, as a viewer does that knows nothing of premultiplied alpha.
    channels = [c.resize((100, 100), Image.Resampling.BILINEAR) for c in straight.split()[:3]]
    assert np.ptp(np.asarray(Image.merge("RGB", channels)).reshape(-1, 3), axis=0).max() == 0


def test_with_256_colours_an_unused_one_becomes_transparent(tmp_path: Path) -> None:
    palette = Palette(np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1))
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16)
    opaque = np.ones((16, 16), np.bool_)
    with pytest.raises(ValueError, match="none is left"):
        save_cells_png(Snapped(indices, palette, Grid(16, 16, 1)), tmp_path / "a.png", opaque)
    opaque[3, 4] = False
    save_cells_png(Snapped(indices, palette, Grid(16, 16, 1)), tmp_path / "a.png", opaque)
    with Image.open(tmp_path / "a.png") as stored:
        rgba = np.asarray(stored.convert("RGBA"))
    np.testing.assert_array_equal(rgba[..., 3] == 255, opaque)
    np.testing.assert_array_equal(rgba[opaque][:, 0], indices[opaque])


def test_wrong_values_are_refused(tmp_path: Path) -> None:
    nothing = np.zeros((128, 128, 4), np.uint8)
    for image, visible, reason in (
        (PHOTO, 0.5, "uint8"),
        (nothing, 0.5, "no pixel"),
        (disc(PHOTO), 0.0, "visible"),
    ):
        with pytest.raises(ValueError, match=reason):
            snap_transparent(image, GRID, visible=visible)
    speck = nothing.copy()
    speck[0, 0] = 255
    with pytest.raises(ValueError, match="no cell"):
        snap_transparent(speck, GRID)
    snapped = snap(PHOTO, GRID, 4)
    with pytest.raises(ValueError, match="opaque"):
        save_cells_png(snapped, tmp_path / "a.png", np.ones((3, 3), np.bool_))
