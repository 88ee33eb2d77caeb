"""Pixelation by a recipe: number of cells, colours of the palette, errors that name the key."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut, coffee

from pixelpersona.pixel.color_dither import dither_colors
from pixelpersona.pixel.dither import DITHERS
from pixelpersona.pixel.downsample import cell_colors
from pixelpersona.pixel.face_map import face_map
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.landmarks import find_landmarks
from pixelpersona.pixel.palette import (
    Palette,
    nearest,
    perceptual,
    perceptual_to_srgb,
    srgb_to_oklab,
    to_uint8,
)
from pixelpersona.pixel.palette_files import named_palette, write_palette
from pixelpersona.pixel.palette_fit import choose_palette
from pixelpersona.pixel.pixelation import FITS, Pixelation
from pixelpersona.pixel.pixelator import Pixelator, pixelize
from pixelpersona.pixel.pyxelate import Pyx
from tests.pixel.test_landmarks import portrait

FACE = np.ascontiguousarray(astronaut()[:192, 120:312])
RECIPE = Pixelation(factor=8, palette=8)


def colors_of(cells: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(color) for color in cells.reshape(-1, 3).tolist()}


def test_pyxelates_settings_equal_pyx() -> None:
    made = Pixelator(RECIPE).fit([FACE]).apply(FACE)
    expected = Pyx(factor=8, palette=8).fit_transform(FACE)
    assert np.array_equal(made.snapped.cells, expected)
    assert made.snapped.grid == Grid(24, 24, 8)
    assert made.drawn is None


def test_other_settings_equal_downsampling_fit_and_nearest_colour() -> None:
    recipe = dataclasses.replace(RECIPE, fit="kmeans", downsample="median")
    made = Pixelator(recipe).fit([FACE]).apply(FACE)
    cells = cell_colors(FACE, Grid.of(192, 192, 8), "median")
    palette = choose_palette([cells], 8)
    assert np.array_equal(made.snapped.cells, palette.rgb[nearest(cells, palette)])


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("downsample", ["gradient", "dominant"])
@pytest.mark.parametrize("palette", [6, "auto", "pico8", ["#000000", "#ff8800", "#ffffff"]])
def test_every_combination_gives_cells_in_the_palette(fit: str, downsample: str, palette: object) -> None:
    recipe = Pixelation(factor=12, palette=palette, fit=fit, downsample=downsample)
    pixelator = Pixelator(recipe).fit([FACE])
    snapped = pixelator.apply(FACE).snapped
    assert snapped.indices.shape == (16, 16)
    assert colors_of(snapped.cells) <= colors_of(pixelator.palette.rgb)
    match palette:
        case int():
            assert 2 <= len(pixelator.palette) <= palette
        case "auto":
            assert 2 <= len(pixelator.palette) <= 32
        case "pico8":
            assert colors_of(pixelator.palette.rgb) == colors_of(named_palette("pico8").rgb)
        case _:
            assert colors_of(pixelator.palette.rgb) == {(0, 0, 0), (255, 136, 0), (255, 255, 255)}


@pytest.mark.parametrize("dither", DITHERS)
def test_pyxelates_dithers_equal_pyx(dither: str) -> None:
    recipe = dataclasses.replace(RECIPE, dither=dither)
    expected = Pyx(factor=8, palette=8, dither=dither).fit_transform(FACE)
    assert np.array_equal(Pixelator(recipe).fit([FACE]).apply(FACE).snapped.cells, expected)


@pytest.mark.parametrize("dither", [name for name in DITHERS if name != "none"])
def test_dithering_a_ramp_in_black_and_white_keeps_its_lightness(dither: str) -> None:
    """The share of white cells in each column is the ramp's lightness in `perceptual`."""
    lightness = np.linspace(0.1, 0.9, 64)
    points = np.zeros((64, 64, 3))
    points[..., 0] = lightness
    cells = to_uint8(perceptual_to_srgb(points))
    palette = Palette(np.array([[0, 0, 0], [255, 255, 255]], np.uint8))
    white = dither_colors(cells, palette, dither).mean(axis=0)
    tolerance = {"naive": 0.26, "atkinson": 0.2}.get(
        dither, 0.07
    )  # three levels; a quarter of the error is lost
    smooth = np.convolve(white, np.ones(8) / 8, mode="valid")
    np.testing.assert_allclose(smooth, np.convolve(lightness, np.ones(8) / 8, mode="valid"), atol=tolerance)
    plain = dither_colors(cells, palette, "none").mean(axis=0)
    assert set(plain.tolist()) == {0.0, 1.0}
    one = Palette(np.array([[9, 9, 9]], np.uint8))
    assert not dither_colors(cells, one, dither).any()


def test_locked_colours_are_in_the_palette_exactly() -> None:
    recipe = Pixelation(factor=8, palette=6, locked=["#12f0c3", "00ff00"])
    palette = Pixelator(recipe).fit([FACE]).palette
    assert {(0x12, 0xF0, 0xC3), (0, 255, 0)} <= colors_of(palette.rgb)
    assert len(palette) <= 6


def test_a_palette_for_several_images_has_colours_of_each() -> None:
    rng = np.random.default_rng(0)
    red, blue = (
        np.clip(np.array(color) + rng.normal(0, 6, (64, 64, 3)), 0, 255).astype(np.uint8)
        for color in ((200, 30, 30), (30, 30, 200))
    )
    for fit in ("pyxelate", "kmeans"):
        pixelator = Pixelator(Pixelation(factor=8, palette=4, fit=fit)).fit([red, blue])
        for image, channel in ((red, 0), (blue, 2)):
            cells = pixelator.apply(image).snapped.cells
            assert cells[..., channel].mean() > 120
            assert colors_of(cells) <= colors_of(pixelator.palette.rgb)


@pytest.mark.parametrize("fit", ["pyxelate", "kmeans"])
def test_hidden_colours_are_not_drawn(fit: str) -> None:
    image = np.dstack([FACE, np.full(FACE.shape[:2], 255, np.uint8)])
    image[:, :96] = (0, 255, 0, 0)  # fully transparent green
    made = Pixelator(dataclasses.replace(RECIPE, fit=fit)).fit([image]).apply(image)
    assert made.drawn is not None
    assert not made.drawn[:, :12].any()
    assert made.drawn[:, 13:].all()
    drawn = made.snapped.cells[made.drawn].astype(int)
    assert (drawn[:, 1] - drawn[:, [0, 2]].max(axis=1)).max() < 60


def test_width_instead_of_factor() -> None:
    wide = FACE[:96]
    for recipe in (Pixelation(width=30), Pixelation(width=30, fit="kmeans")):
        snapped = Pixelator(recipe).fit([wide]).apply(wide).snapped
        assert snapped.indices.shape == (15, 30)
        assert snapped.grid.cell == 1


def test_a_palette_file_and_clean_up(tmp_path: Path) -> None:
    file = tmp_path / "내 palette (1).gpl"
    write_palette(named_palette("gameboy"), file)
    recipe = Pixelation(factor=8, palette_file=file, fit="kmeans")
    plain = Pixelator(recipe).fit([FACE]).apply(FACE).snapped
    assert colors_of(plain.cells) <= colors_of(named_palette("gameboy").rgb)
    merged = dataclasses.replace(RECIPE, palette=32, fit="kmeans", min_distance=0.1)
    assert len(Pixelator(merged).fit([FACE]).apply(FACE).snapped.palette) < 32
    tidy = dataclasses.replace(RECIPE, palette=32, fit="kmeans", cleanup=True)
    rough = dataclasses.replace(tidy, cleanup=False)
    changed = [Pixelator(r).fit([FACE]).apply(FACE).snapped.indices for r in (tidy, rough)]
    assert 0 < (changed[0] != changed[1]).mean() < 0.4


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("palette", 1),
        ("palette", 300),
        ("palette", "pico9"),
        ("palette", ["#12"]),
        ("palette", 2.5),
        ("palette", True),
        ("fit", "magic"),
        ("dither", "bayr"),
        ("downsample", "bicubic"),
        ("factor", 0),
        ("sobel", 1),
        ("alpha", 0.0),
        ("min_distance", 2.0),
        ("levels", 1.5),
        ("locked", ["red"]),
        ("locked", ["#000000"] * 9),
        ("palette_file", Path("missing.hex")),
    ],
)
def test_invalid_settings_are_named_by_their_key(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^pixelate\.{key}(=|: )|missing\.hex") as caught:
        Pixelator(dataclasses.replace(RECIPE, **{key: value}))
    assert "\n" not in str(caught.value)


def test_an_image_smaller_than_one_cell_raises() -> None:
    with pytest.raises(ValueError, match="factor"):
        Pixelator(RECIPE).fit([FACE]).apply(FACE[:4, :4])


def test_a_dither_and_smoothing_or_a_given_palette_and_locked_colours_exclude_each_other() -> None:
    with pytest.raises(ValueError, match=r"pixelate\.coherence=0\.1: accepted 0 with a dither"):
        dataclasses.replace(RECIPE, dither="bayer", coherence=0.1).check()
    with pytest.raises(ValueError, match=r"pixelate\.locked=.*: accepted with a fitted palette only"):
        dataclasses.replace(RECIPE, palette="pico8", locked=["#000000"]).check()


@pytest.mark.parametrize("factor", [8, 7])
def test_pixelize_returns_the_photos_size(factor: int) -> None:
    """7 does not divide 192: 27 cells are resized to the photo's size and have no exact grid."""
    pixel, grid, palette = pixelize(FACE, Pixelation(factor=factor, palette=8))
    assert pixel.shape == FACE.shape
    assert colors_of(pixel) <= colors_of(palette.rgb)
    assert grid == (Grid(24, 24, 8) if factor == 8 else None)


PORTRAIT = Pixelation(
    factor=4,
    palette=16,
    fit="kmeans",
    downsample="outline",
    features=True,
    feature_contrast=2.0,
    skin_contrast=0.3,
    flatness=0.04,
    coherence=0.07,
    cleanup=True,
    focus=3.0,
)


def test_features_keep_the_eyes_clear() -> None:
    """Cells of the eyes that keep the colour that the palette has for them: all with features, else not."""
    photo, eyes = portrait()
    recipe = dataclasses.replace(PORTRAIT, coherence=0.3)
    kept = []
    for on in (True, False):
        pixelator = Pixelator(dataclasses.replace(recipe, features=on))
        snapped = pixelator.fit_apply(photo).snapped
        assert snapped.indices.shape == (48, 48)
        cells = cell_colors(pixelator.clarified(photo), snapped.grid, "outline")
        best = nearest(cells, snapped.palette)
        parts = [np.s_[y - 1 : y + 1, x - 2 : x + 2] for x, y in np.rint(eyes / 4).astype(int)]
        kept.append(np.mean([(best[part] == snapped.indices[part]).mean() for part in parts]))
        if on:
            lightness = srgb_to_oklab(snapped.cells / 255.0)[..., 0]
            assert all(lightness[part].min() < 0.35 for part in parts)
    assert kept[0] == 1.0
    assert kept[1] < 0.9


def test_features_have_palette_colours_of_their_own() -> None:
    """With few colours, the cells of eyes and mouth are closer to the photo than without features."""
    photo, _ = portrait()
    landmarks = find_landmarks(photo)
    assert landmarks is not None
    is_feature = face_map(landmarks, 192, 192).features.reshape(48, 4, 48, 4).mean(axis=(1, 3)) > 0.5
    errors = []
    for on in (True, False):
        recipe = Pixelation(factor=4, palette=6, fit="kmeans", downsample="mean", features=on)
        snapped = Pixelator(recipe).fit_apply(photo).snapped
        gaps = perceptual(snapped.cells / 255.0) - perceptual(cell_colors(photo, snapped.grid) / 255.0)
        errors.append(np.linalg.norm(gaps, axis=2)[is_feature].mean())
    assert errors[0] < errors[1]


@pytest.mark.parametrize("scale", [1, 5])
def test_features_do_not_change_the_number_of_cells(scale: int) -> None:
    photo, _ = portrait(size=192 * scale)
    by_factor = Pixelator(dataclasses.replace(PORTRAIT, factor=4 * scale)).fit_apply(photo).snapped
    assert (by_factor.indices.shape, by_factor.grid.cell) == ((48, 48), 4 * scale)
    by_number = Pixelator(dataclasses.replace(PORTRAIT, factor=None, height=40)).fit_apply(photo).snapped
    assert by_number.indices.shape == (40, 40)


def test_without_a_face_features_change_nothing() -> None:
    cup = np.ascontiguousarray(coffee()[:192, :192])
    found, plain = (
        Pixelator(dataclasses.replace(PORTRAIT, features=on)).fit_apply(cup).snapped for on in (True, False)
    )
    np.testing.assert_array_equal(found.indices, plain.indices)
    np.testing.assert_array_equal(found.palette.rgb, plain.palette.rgb)


def test_the_photo_before_drawing_has_the_size_of_the_grid() -> None:
    photo, _ = portrait(size=250)
    pixelator = Pixelator(dataclasses.replace(PORTRAIT, factor=None, width=48))
    assert pixelator.clarified(photo).shape == (240, 240, 3)


def test_features_are_refused_where_pyxelate_draws() -> None:
    with pytest.raises(ValueError, match=r"pixelate\.features=true: accepted with another downsample"):
        Pixelator(Pixelation(features=True))


def test_focus_gives_the_head_more_colours() -> None:
    """Colours of the head that have a palette entry close to them."""
    photo, _ = portrait()
    errors = []
    for focus in (1.0, 8.0):
        recipe = Pixelation(factor=4, palette=6, fit="kmeans", downsample="mean", focus=focus)
        snapped = Pixelator(recipe).fit_apply(photo).snapped
        gaps = perceptual(snapped.cells / 255.0) - perceptual(cell_colors(photo, snapped.grid) / 255.0)
        errors.append(np.linalg.norm(gaps, axis=2)[12:34, 16:32].mean())
    assert errors[1] < errors[0]


def test_skin_has_a_few_colours_of_its_own() -> None:
    photo, _ = portrait()
    landmarks = find_landmarks(photo)
    assert landmarks is not None
    blue = photo.copy()
    blue[:, :50] = (120, 130, 190)  # a background whose colours are foreign to skin
    recipe = dataclasses.replace(PORTRAIT, skin_tones=3, downsample="mean")
    snapped = Pixelator(recipe).fit_apply(blue).snapped
    assert len(snapped.palette) <= 16
    skin = face_map(landmarks, 192, 192).skin.reshape(48, 4, 48, 4).mean(axis=(1, 3)) > 0.95
    skin[:, :13] = False
    used = np.unique(snapped.indices[skin])
    assert 2 <= len(used) <= 3 + 1  # an isolated cell may take its neighbours' colour
    many = Pixelator(dataclasses.replace(recipe, skin_tones=None)).fit_apply(blue).snapped
    assert len(np.unique(many.indices[skin])) > len(used)


@pytest.mark.parametrize("wrong", [0, 17])
def test_another_number_of_skin_tones_is_refused(wrong: int) -> None:
    with pytest.raises(ValueError, match=f"pixelate.skin_tones={wrong}: accepted null or 1 to 16"):
        Pixelator(dataclasses.replace(PORTRAIT, skin_tones=wrong))


@pytest.mark.parametrize("palette", [4, "auto", ["#000000", "#c08060", "#ffffff"]])
def test_skin_tones_with_any_kind_of_palette(palette: object) -> None:
    photo, _ = portrait()
    recipe = dataclasses.replace(PORTRAIT, skin_tones=4, palette=palette)
    pixelator = Pixelator(recipe).fit([photo, photo[:, ::-1]])
    snapped = pixelator.apply(photo).snapped
    assert 2 <= len(snapped.palette) <= (32 if palette == "auto" else 4)
