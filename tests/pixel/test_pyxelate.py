"""Pyxelate against upstream's output, its mixture against scikit-learn, its kernels against numpy.

The goldens are results of sedthh/pyxelate 2.2.0 with scikit-learn 1.9.1 for the two images below with
`Pyx(factor=4, palette=K)`: means, colours, and cells for each of SETTINGS. dithers.npz (from
benchmarks/pixelate_goldens.py) has the cells for every dither, a given palette and two colours.
"""

import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import median_filter
from skimage.color import rgb2hsv
from skimage.data import astronaut
from skimage.exposure import equalize_adapthist
from skimage.filters import sobel
from skimage.transform import resize
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture

from pixelpersona.pixel.clahe import equalize
from pixelpersona.pixel.color_cells import block_boxes
from pixelpersona.pixel.mixture import Moments, fit_mixture, label_sums
from pixelpersona.pixel.mixture_kernels import expectation_sums
from pixelpersona.pixel.palette import Palette
from pixelpersona.pixel.pyxelate import Pyx
from pixelpersona.pixel.pyxelate_kernels import edge_weighted, hsv_to_rgb, median_3x3, rgb_to_hsv
from pixelpersona.pixel.resample import resize_linear

GOLDENS = Path(__file__).parent / "goldens"
PALETTE = {"drawn": 8, "portrait": 16}
GIVEN = np.array(
    [
        [20, 12, 28],
        [93, 39, 93],
        [177, 62, 83],
        [239, 125, 87],
        [255, 205, 117],
        [59, 93, 201],
        [244, 244, 244],
    ],
    dtype=np.uint8,
)
DITHERS_OF_UPSTREAM = ("none", "naive", "bayer", "floyd", "atkinson")
SETTINGS = {
    "plain": {"factor": 4},
    "deep": {"factor": 6, "depth": 2, "svd": False},
    "small_blocks": {"factor": 5, "sobel": 2},
}


def drawn_portrait() -> np.ndarray:
    """A head with hair, eyes and mouth, shaded, with noise: uint8 [96, 90, 3]."""
    y, x = np.mgrid[0:96, 0:90] / 96.0
    head = ((x - 0.47) / 0.3) ** 2 + ((y - 0.5) / 0.38) ** 2 < 1
    hair = ((x - 0.47) / 0.36) ** 2 + ((y - 0.38) / 0.33) ** 2 < 1
    light = 0.75 + 0.25 * np.cos(3 * (x - 0.3)) * np.cos(2 * (y - 0.4))
    rgb = np.stack([0.25 + 0.3 * y, 0.45 + 0.2 * x, 0.7 - 0.2 * y], -1)
    rgb[hair] = np.array([0.25, 0.15, 0.1]) * (1 + 0.5 * np.sin(40 * x[hair])[:, None] * 0.4)
    rgb[head & (y > 0.3)] = np.array([0.9, 0.68, 0.55])
    for eye in (0.36, 0.58):
        rgb[((x - eye) / 0.05) ** 2 + ((y - 0.47) / 0.03) ** 2 < 1] = (0.1, 0.2, 0.25)
    rgb[((x - 0.47) / 0.11) ** 2 + ((y - 0.7) / 0.03) ** 2 < 1] = (0.7, 0.25, 0.3)
    noise = np.random.RandomState(0).normal(0, 0.02, rgb.shape)
    return (np.clip(rgb * light[..., None] + noise, 0, 1) * 255).astype(np.uint8)


def source(name: str) -> np.ndarray:
    return drawn_portrait() if name == "drawn" else np.ascontiguousarray(astronaut()[:256:2, 96:352:2])


@cache
def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDENS / f"{name}.npz") as file:
        return dict(file)


@cache
def fitted(name: str) -> Pyx:
    return Pyx(factor=4, palette=PALETTE[name]).fit(source(name))


def with_settings(pyx: Pyx, **settings: object) -> Pyx:
    other = Pyx(palette=pyx.palette, **settings)  # type: ignore[arg-type]
    other._mixture = pyx.mixture
    return other


def quantisation_error(image: np.ndarray, means: np.ndarray) -> float:
    pixels = (image.reshape(-1, 3) / 255.0 - 0.5) * 1.07 + 0.5
    return float(np.sqrt(((pixels[:, None] - means[None]) ** 2).sum(axis=2).min(axis=1).mean()))


@pytest.mark.parametrize("name", PALETTE)
def test_the_palette_against_upstream(name: str) -> None:
    means, expected = fitted(name).means, golden(name)["means"]
    assert np.abs(means - expected).mean() * 255 <= 0.6
    assert quantisation_error(source(name), means) <= 1.01 * quantisation_error(source(name), expected)
    # After rounding to multiples of 8 a colour is the same or one step off.
    assert np.abs(fitted(name).colors.astype(int) - golden(name)["colors"]).mean() < 2


@pytest.mark.parametrize("name", PALETTE)
def test_the_exact_palette_against_upstream(name: str) -> None:
    exact = Pyx(factor=4, palette=PALETTE[name], fit="exact").fit(source(name))
    np.testing.assert_allclose(exact.means * 255, golden(name)["means"] * 255, atol=0.05)
    np.testing.assert_array_equal(exact.colors, golden(name)["colors"])


@pytest.mark.parametrize("fit", ["exact", "fast"])
@pytest.mark.parametrize("dither", DITHERS_OF_UPSTREAM)
def test_every_dither_against_upstream(dither: str, fit: str) -> None:
    pyx = Pyx(factor=4, palette=8, dither=dither, fit=fit)  # type: ignore[arg-type]
    same = (pyx.fit_transform(drawn_portrait()) == golden("dithers")[dither]).all(axis=2).mean()
    # floyd diffuses all of an error, so a difference in the sixth digit of the palette grows.
    least = {"exact": 0.9, "fast": 0.4} if dither == "floyd" else {"exact": 0.995, "fast": 0.9}
    assert same >= least[fit]


@pytest.mark.parametrize("fit", ["exact", "fast"])
def test_palette_transfer_against_upstream(fit: str) -> None:
    pyx = Pyx(width=30, palette=GIVEN, fit=fit).fit(drawn_portrait())  # type: ignore[arg-type]
    difference = np.abs(pyx.means - golden("dithers")["given_means"]) * 255
    assert difference.max() < (0.05 if fit == "exact" else 1.0)
    cells, expected = pyx.transform(drawn_portrait()), golden("dithers")["given"]
    assert cells.shape == expected.shape
    assert (cells == expected).all(axis=2).mean() >= (0.995 if fit == "exact" else 0.97)
    np.testing.assert_array_equal(pyx.colors, GIVEN)


def test_two_colours_height_and_upscale_against_upstream() -> None:
    pyx = Pyx(height=24, palette=2, dither="bayer", upscale=(2, 1), fit="exact").fit(drawn_portrait())
    np.testing.assert_allclose(pyx.means, golden("dithers")["two_means"], atol=2e-4)
    cells = pyx.transform(drawn_portrait())
    assert cells.shape == golden("dithers")["two"].shape
    assert (cells == golden("dithers")["two"]).all(axis=2).mean() >= 0.995


def test_a_palette_may_be_an_array_a_list_a_palette_or_a_name() -> None:
    image = drawn_portrait()
    expected = Pyx(factor=6, palette=GIVEN).fit_transform(image)
    for palette in (GIVEN.tolist(), Palette(GIVEN)):
        np.testing.assert_array_equal(Pyx(factor=6, palette=palette).fit_transform(image), expected)
    assert len(Pyx(palette="pico8").colors) == 16


@pytest.mark.parametrize("name", PALETTE)
@pytest.mark.parametrize("setting", SETTINGS)
def test_the_cells_against_upstream(name: str, setting: str) -> None:
    cells = with_settings(fitted(name), **SETTINGS[setting]).transform(source(name))
    expected = golden(name)[setting]
    assert cells.shape == expected.shape
    difference = np.abs(cells.astype(int) - expected)
    assert difference.mean() < 1.5
    assert (difference.max(axis=2) <= 8).mean() > 0.95  # one step of the palette's rounding


def test_the_mixture_against_scikit_learn() -> None:
    """The same start and number of iterations on the same points."""
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(c, 0.05, (150, 3)) for c in rng.random((5, 3))])
    labels = rng.integers(0, 5, len(points))

    class FromLabels(BayesianGaussianMixture):
        def _initialize_parameters(self, X: np.ndarray, *_: object, **__: object) -> None:  # noqa: N803
            self._initialize(X, np.eye(5)[labels])

    theirs = FromLabels(
        n_components=5,
        covariance_type="tied",
        weight_concentration_prior_type="dirichlet_distribution",
        weight_concentration_prior=1 / 5,
        mean_precision_prior=1 / 256,
        max_iter=128,
        tol=0.0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(points)
    moments = Moments(len(points), points.mean(axis=0), np.cov(points.T, bias=True))
    sums = label_sums(points, np.ones(len(points)), labels, moments, 5)
    ours = fit_mixture(points, np.ones(len(points)), sums, moments, margin=30.0)
    np.testing.assert_allclose(ours.means, theirs.means_, atol=1e-4)
    assert (ours.most_probable(points) == theirs.predict(points)).mean() > 0.99


def test_a_weighted_point_equals_repeated_points() -> None:
    rng = np.random.default_rng(1)
    points, counts = rng.random((60, 3)), rng.integers(1, 9, 60)
    labels = rng.integers(0, 4, 60)
    repeated = points.repeat(counts, axis=0)
    moments = Moments(len(repeated), repeated.mean(axis=0), np.cov(repeated.T, bias=True))
    sums = label_sums(points, counts, labels, moments, 4)
    short = fit_mixture(points, counts.astype(float), sums, moments, margin=30.0)
    long = fit_mixture(repeated, np.ones(len(repeated)), sums, moments, margin=30.0)
    np.testing.assert_allclose(short.means, long.means, atol=1e-3)


@pytest.mark.parametrize("num_points", [1, 127, 128, 300])
def test_expectation_sums_against_numpy(num_points: int) -> None:
    rng = np.random.default_rng(num_points)
    points = rng.normal(0, 0.3, (3, num_points)).astype(np.float32)
    counts = rng.integers(1, 50, num_points).astype(np.float32)
    linear = rng.normal(0, 40, (3, 11))
    offset = rng.normal(0, 5, 11)
    scores = points.T.astype(float) @ linear + offset
    responsibility = np.exp2(scores - scores.max(axis=1, keepdims=True))
    responsibility *= (counts / responsibility.sum(axis=1))[:, None]
    expected = np.column_stack([responsibility.sum(axis=0), responsibility.T @ points.T])
    found = expectation_sums(points, counts, *block_boxes(points), linear, offset, 30.0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * counts.sum())


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 3), (17, 23)])
def test_median_against_scipy(shape: tuple[int, int]) -> None:
    channel = np.random.default_rng(0).random(shape)
    expected = median_filter(channel, 3, mode="nearest")
    median_3x3(channel)
    np.testing.assert_array_equal(channel, expected)


def test_hsv_and_edges_against_scikit_image() -> None:
    rgb = drawn_portrait() / 255.0
    rgb[:5] = rgb[:5, :, :1]  # greys, and pure colours
    rgb[5:8] = np.eye(3)[:, None]
    hsv = np.moveaxis(rgb, -1, 0).copy()
    rgb_to_hsv(hsv)
    np.testing.assert_allclose(np.moveaxis(hsv, 0, -1), rgb2hsv(rgb), atol=1e-12)
    hsv_to_rgb(hsv)
    np.testing.assert_allclose(np.moveaxis(hsv, 0, -1), rgb, atol=1e-12)
    weight = sobel(hsv[2]) + 1e-8
    blocks = (32, 3, 30, 3)
    total = weight.reshape(blocks).sum(axis=(1, 3))
    expected = (weight * hsv[2]).reshape(blocks).sum(axis=(1, 3)) / total
    np.testing.assert_allclose(edge_weighted(hsv[2].copy(), 3), expected, atol=1e-9)


@pytest.mark.parametrize("size", [(96, 90), (33, 47), (9, 2), (1, 1)])
def test_local_contrast_against_scikit_image(size: tuple[int, int]) -> None:
    value = rgb2hsv(drawn_portrait()[: size[0], : size[1]] / 255.0)[..., 2]
    for scale in (1.0, 1.0 / 255.0):
        np.testing.assert_array_equal(equalize(value * scale), equalize_adapthist(value * scale))


@pytest.mark.parametrize("size", [(31, 30), (200, 45), (1, 1), (96, 90)])
@pytest.mark.parametrize("anti_aliasing", [True, False])
def test_resize_against_scikit_image(size: tuple[int, int], anti_aliasing: bool) -> None:
    image = drawn_portrait()
    expected = resize(image, size, order=1, anti_aliasing=anti_aliasing)
    planes = resize_linear(image, *size, anti_aliasing)
    np.testing.assert_allclose(np.moveaxis(planes, 0, -1), expected, atol=1e-12)


@pytest.mark.parametrize(("height", "width", "factor"), [(64, 64, 4), (50, 71, 6), (33, 90, 7), (20, 20, 1)])
@pytest.mark.parametrize(("depth", "sobel"), [(1, 3), (2, 2)])
def test_the_number_of_cells(height: int, width: int, factor: int, depth: int, sobel: int) -> None:
    image = drawn_portrait()[:height, :width]
    image = np.pad(image, ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0)), mode="reflect")
    pyx = Pyx(factor=factor, palette=6, depth=depth, sobel=sobel).fit(image)
    cells = pyx.transform(image)
    assert cells.shape == (height // factor, width // factor, 3)
    assert cells.dtype == np.uint8
    assert {tuple(c) for c in cells.reshape(-1, 3)} <= {tuple(c) for c in pyx.colors}


def test_the_result_is_deterministic() -> None:
    image = drawn_portrait()
    first = Pyx(factor=4, palette=8).fit(image)
    np.testing.assert_array_equal(first.transform(image), fitted("drawn").transform(image))


def test_colours_are_multiples_of_8_or_0_or_255() -> None:
    levels = set(np.unique(fitted("portrait").colors).tolist())
    assert levels <= {0, 255} | set(range(16, 240, 8))
    assert fitted("portrait").colors.shape == (16, 3)


@pytest.mark.parametrize("num_colors", [1, 2, 3])
def test_the_palette_has_no_more_colours_than_the_image(num_colors: int) -> None:
    colors = np.array([[40, 40, 40], [200, 80, 80], [240, 240, 240]], dtype=np.uint8)[:num_colors]
    image = colors[np.arange(24) * num_colors // 24][None].repeat(24, axis=0)
    pyx = Pyx(factor=4, palette=8).fit(image)
    assert len(pyx.colors) == num_colors
    assert pyx.transform(image).shape == (6, 6, 3)


def test_hidden_colours_are_not_in_the_palette() -> None:
    """Half of the image is fully transparent green, which upstream includes in its palette."""
    image = np.dstack([drawn_portrait(), np.full((96, 90), 255, np.uint8)])
    image[:, 60:] = (0, 255, 0, 0)
    pyx = Pyx(factor=6, palette=8).fit(image)
    opaque = Pyx(factor=6, palette=8).fit(np.ascontiguousarray(image[:, :60, :3]))
    np.testing.assert_allclose(pyx.means, opaque.means, atol=1e-9)
    cells = pyx.transform(image)
    assert cells.shape == (16, 15, 4)
    assert (cells[:, :10, 3] == 255).all()
    assert (cells[:, 10:, 3] == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dither": "riemersma"}, "dither=riemersma: accepted none, naive"),
        ({"factor": 0}, "factor"),
        ({"palette": 1}, "palette"),
        ({"palette": 257}, "palette"),
        ({"sobel": 1}, "sobel"),
        ({"depth": 0}, "depth"),
        ({"alpha": 0.0}, "alpha"),
        ({"factor": 2.5}, "factor"),
        ({"factor": 4, "width": 10}, "factor=4: accepted without"),
        ({"height": 0}, "height"),
        ({"width": -1}, "width"),
        ({"upscale": 0}, "upscale"),
        ({"upscale": (1, 2, 3)}, "upscale"),
        ({"fit": "slow"}, "fit=slow: accepted fast, exact"),
        ({"palette": [[0, 0, 0]]}, "palette: accepted 2 to 256"),
        ({"palette": [[0, 0, 0], [0, 0, 256]]}, "palette"),
        ({"palette": [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]}, "palette"),
    ],
)
def test_invalid_parameters_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pyx(**options)  # type: ignore[arg-type]


def test_invalid_images_raise() -> None:
    pyx = Pyx(factor=4, palette=4)
    for image in (np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)):
        with pytest.raises(ValueError, match="image: must be uint8"):
            pyx.fit(image)
    with pytest.raises(ValueError, match="opacity"):
        pyx.fit(np.zeros((8, 8, 4), np.uint8))
    with pytest.raises(ValueError, match="call fit"):
        pyx.transform(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="no cell"):
        fitted("drawn").transform(np.zeros((3, 8, 3), np.uint8))
