"""Colour spaces and palettes."""

from collections.abc import Callable

import numpy as np
import pytest
from skimage.color import rgb2xyz

from pixelpersona.pixel.palette import (
    Palette,
    linear_to_srgb,
    nearest,
    oklab_to_srgb,
    perceptual,
    perceptual_to_srgb,
    srgb_to_linear,
    srgb_to_oklab,
    to_uint8,
    unique_colors,
)
from pixelpersona.pixel.palette_fit import fit_palette

CUBE = np.stack(np.meshgrid(*[np.arange(0, 256, 15, dtype=np.uint8)] * 3), axis=-1).reshape(-1, 3)


@pytest.mark.parametrize(
    ("there", "back"),
    [
        (srgb_to_linear, linear_to_srgb),
        (srgb_to_oklab, oklab_to_srgb),
        (perceptual, perceptual_to_srgb),
    ],
)
def test_conversions_are_invertible_for_8_bit_colours(
    there: Callable[..., np.ndarray], back: Callable[..., np.ndarray]
) -> None:
    np.testing.assert_array_equal(to_uint8(back(there(CUBE / 255.0))), CUBE)


def test_oklab_against_its_definition_from_xyz() -> None:
    """Ottosson 2020 defines OKLab by CIE XYZ (D65), which scikit-image computes."""
    m1 = np.array(
        [
            [0.8189330101, 0.3618667424, -0.1288597137],
            [0.0329845436, 0.9293118715, 0.0361456387],
            [0.0482003018, 0.2643662691, 0.6338517070],
        ]
    )
    m2 = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    expected = np.cbrt(rgb2xyz(CUBE / 255.0) @ m1.T) @ m2.T
    np.testing.assert_allclose(srgb_to_oklab(CUBE / 255.0), expected, atol=2e-3)


def test_greys_have_no_chroma_and_lightness_from_0_to_1() -> None:
    greys = np.repeat(np.linspace(0, 1, 11)[:, None], 3, axis=1)
    for space in (srgb_to_oklab, perceptual):
        values = space(greys)
        np.testing.assert_allclose(values[:, 1:], 0.0, atol=2e-4)
        np.testing.assert_allclose(values[[0, -1], 0], [0.0, 1.0], atol=1e-4)
        assert (np.diff(values[:, 0]) > 0).all()


def test_unique_colors_and_indices_reproduce_the_image() -> None:
    image = np.random.default_rng(0).integers(0, 3, (9, 8, 3), dtype=np.uint8) * 100
    colors, index, counts = unique_colors(image)
    np.testing.assert_array_equal(colors[index], image)
    assert counts.sum() == 72
    assert len(np.unique(image.reshape(-1, 3), axis=0)) == len(colors)


def test_a_palette_of_few_colours_is_found_exactly() -> None:
    colors = np.array([[250, 240, 10], [0, 0, 0], [200, 30, 40]], dtype=np.uint8)
    image = colors[np.random.default_rng(0).integers(0, 3, (20, 20))]
    palette = fit_palette(image, 16)
    assert {tuple(c) for c in palette.rgb} == {tuple(c) for c in colors}
    assert tuple(palette.rgb[0]) == (0, 0, 0)  # from dark to light


def test_clusters_of_different_sizes_are_found() -> None:
    rng = np.random.default_rng(0)
    centers = np.array([[30, 30, 30], [220, 60, 60], [60, 90, 220], [240, 240, 230]])
    pixels = np.concatenate(
        [c + rng.integers(-3, 4, (n, 3)) for c, n in zip(centers, (40, 400, 900, 2000), strict=True)]
    ).astype(np.uint8)
    palette = fit_palette(pixels, 4)
    distance = np.abs(palette.rgb[:, None].astype(int) - centers[None]).max(axis=2)
    assert distance.min(axis=0).max() <= 2


@pytest.mark.parametrize("num_colors", [1, 2, 7, 16, 256])
def test_at_most_num_colors_distinct_colours(num_colors: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    palette = fit_palette(pixels, num_colors)
    assert 1 <= len(palette) <= num_colors
    assert len(np.unique(palette.rgb, axis=0)) == len(palette)


def test_fitting_is_deterministic() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(fit_palette(pixels, 16).rgb, fit_palette(pixels, 16).rgb)


def test_nearest_against_brute_force() -> None:
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 256, (13, 11, 3), dtype=np.uint8)
    palette = Palette(rng.integers(0, 256, (9, 3), dtype=np.uint8))
    points, centers = perceptual(pixels / 255.0), perceptual(palette.rgb / 255.0)
    expected = [[int(np.argmin([np.linalg.norm(p - c) for c in centers])) for p in row] for row in points]
    index = nearest(pixels, palette)
    assert index.dtype == np.uint8
    np.testing.assert_array_equal(index, expected)


@pytest.mark.parametrize("rgb", [np.zeros((0, 3), np.uint8), np.zeros((257, 3), np.uint8), np.zeros((4, 3))])
def test_a_palette_has_1_to_256_colours_of_8_bits(rgb: np.ndarray) -> None:
    with pytest.raises(ValueError, match="1 to 256"):
        Palette(rgb)


@pytest.mark.parametrize("num_colors", [0, 257])
def test_num_colors_is_checked(num_colors: int) -> None:
    with pytest.raises(ValueError, match="num_colors"):
        fit_palette(CUBE, num_colors)
