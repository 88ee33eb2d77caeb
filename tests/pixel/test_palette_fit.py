"""Palette fits, automatic size, locked colours, one palette for several images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.cluster import KMeans

from pixelpersona.pixel import palette_fit
from pixelpersona.pixel.downsample import cell_colors
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.palette import Palette, nearest, perceptual, unique_colors
from pixelpersona.pixel.palette_fit import FITS, automatic_size, choose_palette, fit_palette
from pixelpersona.pixel.pyxelate import Pyx
from tests.pixel.snapping import FACE

CELLS = cell_colors(FACE, Grid.of(128, 128, 4))


def error(pixels: np.ndarray, palette: Palette) -> float:
    """Mean perceptual distance to the nearest palette colour."""
    colors, _, counts = unique_colors(pixels)
    used = palette.rgb[nearest(colors, palette)]
    return float(
        np.average(np.linalg.norm(perceptual(colors / 255) - perceptual(used / 255), axis=1), weights=counts)
    )


def squared_rgb_error(pixels: np.ndarray, rgb: np.ndarray) -> float:
    flat = pixels.reshape(-1, 1, 3).astype(float)
    return float(((flat - rgb[None].astype(float)) ** 2).sum(axis=2).min(axis=1).mean())


def has(palette: Palette, color: tuple[int, ...]) -> bool:
    return color in {tuple(int(v) for v in rgb) for rgb in palette.rgb}


@pytest.mark.parametrize("num_colors", [1, 5, 16, 200])
def test_kmeans_of_one_image_equals_fit_palette(num_colors: int) -> None:
    np.testing.assert_array_equal(choose_palette([CELLS], num_colors).rgb, fit_palette(CELLS, num_colors).rgb)


@pytest.mark.parametrize("num_colors", [2, 8, 16, 32])
def test_median_cut_against_pillow(num_colors: int) -> None:
    """Pillow splits at slightly different places, so the quantisation errors are compared."""
    theirs = Image.fromarray(FACE).quantize(num_colors, Image.Quantize.MEDIANCUT).getpalette() or []
    ours = choose_palette([FACE], num_colors, "median_cut")
    assert len(ours) == num_colors
    pillow = squared_rgb_error(FACE, np.array(theirs).reshape(-1, 3)[:num_colors])
    assert squared_rgb_error(FACE, ours.rgb) <= 1.1 * pillow


def test_median_cut_of_a_small_example() -> None:
    """Red varies most: split at its median into {0, 10} and {200, 250}, then each of those."""
    reds = np.zeros((4, 3), np.uint8)
    reds[:, 0] = (250, 10, 200, 0)
    pixels = np.repeat(reds, 5, axis=0)
    pixels[:, 1] = np.tile([0, 1, 2, 3, 4], 4)  # many colours, small range
    assert choose_palette([pixels], 2, "median_cut").rgb.tolist() == [[5, 2, 0], [225, 2, 0]]
    assert choose_palette([pixels], 4, "median_cut").rgb[:, 0].tolist() == [0, 10, 200, 250]


def test_kmeans_has_a_lower_perceptual_error_than_median_cut() -> None:
    assert error(CELLS, choose_palette([CELLS], 8)) < error(CELLS, choose_palette([CELLS], 8, "median_cut"))


def test_the_pyxelate_fit_equals_pyx() -> None:
    expected = np.unique(Pyx(palette=6).fit(FACE).colors, axis=0)
    palette = choose_palette([FACE], 6, "pyxelate")
    np.testing.assert_array_equal(np.unique(palette.rgb, axis=0), expected)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 99),
    fit=st.sampled_from(["kmeans", "median_cut"]),
    num_colors=st.integers(1, 12),
    num_locked=st.integers(0, 4),
    num_images=st.integers(1, 3),
)
def test_at_most_num_colors_and_all_locked_colours(
    seed: int, fit: str, num_colors: int, num_locked: int, num_images: int
) -> None:
    rng = np.random.default_rng(seed)
    images = [
        rng.integers(0, 8, (rng.integers(1, 9), rng.integers(1, 9), 3), dtype=np.uint8) * 32
        for _ in range(num_images)
    ]
    locked = rng.integers(0, 256, (min(num_locked, num_colors), 3), dtype=np.uint8)
    palette = choose_palette(images, num_colors, fit, locked)
    assert 1 <= len(palette) <= num_colors
    assert len(np.unique(palette.rgb, axis=0)) == len(palette)
    assert all(has(palette, tuple(int(v) for v in color)) for color in locked)


@pytest.mark.parametrize("fit", FITS)
def test_a_locked_colour_increases_the_error_little(fit: str) -> None:
    eyes = np.array([[40, 200, 90]], dtype=np.uint8)  # a green that is not in the photo
    free, locked = choose_palette([CELLS], 12, fit), choose_palette([CELLS], 12, fit, eyes)
    assert len(locked) <= 12
    assert has(locked, (40, 200, 90))
    assert not has(free, (40, 200, 90))
    if fit != "pyxelate":  # whose contrast increase may merge colours
        assert error(CELLS, locked) < 1.25 * error(CELLS, free)


def test_the_free_colours_are_fitted_around_the_locked_ones() -> None:
    """Another k-means step from the result does not move the free colours."""
    locked = np.array([[230, 180, 150], [30, 30, 60]], dtype=np.uint8)
    palette = choose_palette([CELLS], 8, locked=locked)
    free = np.array([c for c in palette.rgb if tuple(c) not in {tuple(x) for x in locked}])
    points, centers = perceptual(CELLS.reshape(-1, 3) / 255), perceptual(free / 255)
    everything = np.concatenate([perceptual(locked / 255), centers])
    label = np.linalg.norm(points[:, None] - everything[None], axis=2).argmin(axis=1)
    for k in range(len(free)):
        # scikit-learn's centre of the same pixels, up to the rounding to 8 bits
        member = points[label == len(locked) + k]
        mean = KMeans(1, n_init=1).fit(member).cluster_centers_[0]
        assert np.linalg.norm(mean - centers[k]) < 0.01


def test_automatic_size_is_the_smallest_below_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(palette_fit, "_JUST_VISIBLE", 0.05)
    size = automatic_size([CELLS])
    assert (
        error(CELLS, choose_palette([CELLS], size)) <= 0.05 < error(CELLS, choose_palette([CELLS], size - 1))
    )
    assert len(choose_palette([CELLS], None)) == size
    monkeypatch.setattr(palette_fit, "_JUST_VISIBLE", 0.03)
    assert automatic_size([CELLS]) > size


def test_automatic_size_of_images_with_few_colours() -> None:
    colors = np.array([[0, 0, 0], [255, 0, 0], [0, 200, 0], [0, 0, 255], [255, 255, 255]], dtype=np.uint8)
    picture = colors[np.random.default_rng(0).integers(0, 5, (20, 20))]
    assert automatic_size([picture]) == 5
    assert automatic_size([picture[:1, :1]]) == 2
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    assert automatic_size([noise]) == 32


def blue_and_red() -> tuple[np.ndarray, np.ndarray]:
    """A large blue image and a small red one."""
    rng = np.random.default_rng(0)
    blue = np.concatenate([rng.integers(0, 60, (300, 300, 2)), rng.integers(120, 256, (300, 300, 1))], axis=2)
    return blue.astype(np.uint8), blue[:12, :12, ::-1].astype(np.uint8)


@pytest.mark.parametrize("fit", ["kmeans", "median_cut"])
def test_images_have_equal_weight(fit: str) -> None:
    palette = choose_palette(blue_and_red(), 8, fit).rgb.astype(int)
    assert (palette[:, 0] > palette[:, 2]).sum() in (3, 4, 5)
    doubled = np.concatenate([CELLS, CELLS])
    np.testing.assert_array_equal(
        choose_palette([CELLS, doubled], 6, fit).rgb, choose_palette([CELLS], 6, fit).rgb
    )


def test_pyxelate_samples_images_equally(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []

    class Recorder:
        colors = np.zeros((1, 3), np.uint8)

        def __init__(self, palette: int) -> None:
            assert palette == 8

        def fit(self, image: np.ndarray) -> "Recorder":
            seen.append(image)
            return self

    monkeypatch.setattr("pixelpersona.pixel.palette_fit.Pyx", Recorder)
    blue, red = blue_and_red()
    for images in ([blue, red], [red, blue.reshape(-1, 3)], [red[:1, :3], red[:1, :1]]):
        choose_palette(images, 8, "pyxelate")
        image = seen.pop()
        assert image.dtype == np.uint8
        assert max(image.shape[:2]) <= 256  # Pyx would downsample a larger one
    choose_palette([blue, red], 8, "pyxelate")
    share = (seen[0][..., 0] > seen[0][..., 2]).mean()
    assert share == pytest.approx(0.5, abs=0.01)
    choose_palette([blue], 8, "pyxelate")
    assert seen[1] is blue


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"images": []}, "at least one"),
        ({"images": [CELLS[:0]]}, "at least one colour"),
        ({"images": [CELLS / 255]}, "uint8"),
        ({"fit": "octree"}, "kmeans, median_cut, pyxelate"),
        ({"num_colors": 0}, "1 to 256"),
        ({"num_colors": 2, "locked": np.eye(3, dtype=np.uint8)}, "3 colours, more than"),
        ({"locked": np.zeros((1, 4), np.uint8)}, r"uint8 \[L, 3\]"),
    ],
)
def test_invalid_arguments_raise(arguments: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        choose_palette(**{"images": [CELLS], **arguments})  # type: ignore[arg-type]


@pytest.mark.parametrize("fit", ["kmeans", "median_cut"])
def test_importance_equals_repeated_pixels(fit: str) -> None:
    counts = np.random.default_rng(2).integers(1, 5, CELLS.shape[:2])
    repeated = CELLS.reshape(-1, 3).repeat(counts.ravel(), axis=0)
    ours = choose_palette([CELLS], 8, fit, importance=[counts.astype(float)])
    np.testing.assert_array_equal(ours.rgb, choose_palette([repeated], 8, fit).rgb)


def test_images_count_alike_whatever_their_importance() -> None:
    other = np.ascontiguousarray(CELLS[:16, :16, ::-1])
    images = [CELLS, other]
    plain = choose_palette(images, 8)
    scaled = choose_palette(images, 8, importance=[np.ones(CELLS.shape[:2]), np.full(other.shape[:2], 5.0)])
    np.testing.assert_array_equal(plain.rgb, scaled.rgb)


@pytest.mark.parametrize("wrong", [np.ones((3, 3)), np.zeros(CELLS.shape[:2])])
def test_importance_that_does_not_fit_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"importance: need \(32, 32\) numbers above 0"):
        choose_palette([CELLS], 8, importance=[wrong])
