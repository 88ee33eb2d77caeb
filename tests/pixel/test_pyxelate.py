"""Pyxelate against upstream's own output, its mixture against scikit-learn, its kernels against plain numpy.

The goldens hold what sedthh/pyxelate 2.2.0 made with scikit-learn 1.9.1 of the two pictures below with
`Pyx(factor=4, palette=K)`: its means and colours, and its cells for each of the SETTINGS.
"""

import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import median_filter
from skimage.data import astronaut
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture

from pixelpersona.pixel.mixture import Moments, fit_mixture
from pixelpersona.pixel.pyxelate import Pyx
from pixelpersona.pixel.pyxelate_kernels import expectation_sums, median_3x3

GOLDENS = Path(__file__).parent / "goldens"
PALETTE = {"drawn": 8, "portrait": 16}
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
def test_the_palette_is_upstreams(name: str) -> None:
    means, expected = fitted(name).means, golden(name)["means"]
    assert np.abs(means - expected).mean() * 255 <= 0.6
    assert quantisation_error(source(name), means) <= 1.01 * quantisation_error(source(name), expected)
    # After rounding to multiples of 8 a colour is the same or one step off.
    assert np.abs(fitted(name).colors.astype(int) - golden(name)["colors"]).mean() < 2


@pytest.mark.parametrize("name", PALETTE)
@pytest.mark.parametrize("setting", SETTINGS)
def test_the_cells_are_upstreams(name: str, setting: str) -> None:
    cells = with_settings(fitted(name), **SETTINGS[setting]).transform(source(name))
    expected = golden(name)[setting]
    assert cells.shape == expected.shape
    difference = np.abs(cells.astype(int) - expected)
    assert difference.mean() < 1.5
    assert (difference.max(axis=2) <= 8).mean() > 0.95  # one step of the palette's rounding


def test_the_mixture_against_scikit_learn() -> None:
    """The same start and the same number of steps on the same points, one pixel each."""
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
        max_iter=40,
        tol=0.0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(points)
    moments = Moments(len(points), points.mean(axis=0), np.cov(points.T, bias=True))
    ours = fit_mixture(points, np.ones(len(points)), labels, moments, num_iterations=40)
    np.testing.assert_allclose(ours.means, theirs.means_, atol=1e-4)
    assert (ours.most_probable(points) == theirs.predict(points)).mean() > 0.99


def test_a_weighted_point_is_as_good_as_repeated_ones() -> None:
    rng = np.random.default_rng(1)
    points, counts = rng.random((60, 3)), rng.integers(1, 9, 60)
    labels = rng.integers(0, 4, 60)
    repeated = points.repeat(counts, axis=0)
    moments = Moments(len(repeated), repeated.mean(axis=0), np.cov(repeated.T, bias=True))
    short = fit_mixture(points, counts.astype(float), labels, moments)
    long = fit_mixture(repeated, np.ones(len(repeated)), labels.repeat(counts), moments)
    np.testing.assert_allclose(short.means, long.means, atol=1e-3)


@pytest.mark.parametrize("num_points", [1, 127, 128, 300])
def test_expectation_sums_against_numpy(num_points: int) -> None:
    rng = np.random.default_rng(num_points)
    points = rng.normal(0, 0.3, (3, num_points)).astype(np.float32)
    counts = rng.integers(1, 50, num_points).astype(np.float32)
    linear = rng.normal(0, 40, (3, 11)).astype(np.float32)
    offset = rng.normal(0, 5, 11).astype(np.float32)
    scores = points.T.astype(float) @ linear + offset
    responsibility = np.exp2(scores - scores.max(axis=1, keepdims=True))
    responsibility *= (counts / responsibility.sum(axis=1))[:, None]
    expected = np.column_stack([responsibility.sum(axis=0), responsibility.T @ points.T])
    np.testing.assert_allclose(
        expectation_sums(points, counts, linear, offset), expected, rtol=1e-4, atol=1e-4 * counts.sum()
    )


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 3), (17, 23)])
def test_median_against_scipy(shape: tuple[int, int]) -> None:
    channel = np.random.default_rng(0).random(shape)
    np.testing.assert_array_equal(median_3x3(channel), median_filter(channel, 3, mode="nearest"))


@pytest.mark.parametrize(("height", "width", "factor"), [(64, 64, 4), (50, 71, 6), (33, 90, 7), (20, 20, 1)])
@pytest.mark.parametrize(("depth", "sobel"), [(1, 3), (2, 2)])
def test_the_output_has_exactly_its_cells(
    height: int, width: int, factor: int, depth: int, sobel: int
) -> None:
    image = drawn_portrait()[:height, :width]
    image = np.pad(image, ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0)), mode="reflect")
    pyx = Pyx(factor=factor, palette=6, depth=depth, sobel=sobel).fit(image)
    cells = pyx.transform(image)
    assert cells.shape == (height // factor, width // factor, 3)
    assert cells.dtype == np.uint8
    assert {tuple(c) for c in cells.reshape(-1, 3)} <= {tuple(c) for c in pyx.colors}


def test_the_same_picture_gives_the_same_cells() -> None:
    image = drawn_portrait()
    first = Pyx(factor=4, palette=8).fit(image)
    np.testing.assert_array_equal(first.transform(image), fitted("drawn").transform(image))


def test_colours_are_multiples_of_8_or_the_ends() -> None:
    levels = set(np.unique(fitted("portrait").colors).tolist())
    assert levels <= {0, 255} | set(range(16, 240, 8))
    assert fitted("portrait").colors.shape == (16, 3)


@pytest.mark.parametrize("num_colors", [1, 2, 3])
def test_a_picture_of_few_colours_has_no_more(num_colors: int) -> None:
    colors = np.array([[40, 40, 40], [200, 80, 80], [240, 240, 240]], dtype=np.uint8)[:num_colors]
    image = colors[np.arange(24) * num_colors // 24][None].repeat(24, axis=0)
    pyx = Pyx(factor=4, palette=8).fit(image)
    assert len(pyx.colors) == num_colors
    assert pyx.transform(image).shape == (6, 6, 3)


def test_hidden_colours_do_not_reach_the_palette() -> None:
    """Half of the picture is a loud green under alpha 0; upstream lets it in."""
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
        ({"dither": "bayer"}, "dither: 'bayer' is not one of none"),
        ({"factor": 0}, "factor"),
        ({"palette": 1}, "palette"),
        ({"palette": 257}, "palette"),
        ({"sobel": 1}, "sobel"),
        ({"depth": 0}, "depth"),
        ({"alpha": 0.0}, "alpha"),
    ],
)
def test_wrong_parameters_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pyx(**options)  # type: ignore[arg-type]


def test_wrong_images_are_named() -> None:
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
