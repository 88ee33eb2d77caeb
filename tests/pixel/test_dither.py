"""Dithers: the spectrum of the blue-noise map, and the mean colour after dithering."""

import numpy as np
import pytest

from pixelpersona.pixel.blue_noise import SIDE, blue_noise_map
from pixelpersona.pixel.dither import DITHERS, choose
from pixelpersona.pixel.mixture import Mixture


def model(means: np.ndarray, spread: float = 0.15) -> Mixture:
    """Components of equal weight with covariance spread**2."""
    precision = 1.0 / spread**2
    offset = -0.5 * precision * (means**2).sum(axis=1)
    return Mixture(means, np.ascontiguousarray(precision * means.T), offset, np.zeros(3))


def ramp() -> np.ndarray:
    """Grey from left to right: float64 [32, 64, 3]."""
    return np.linspace(0.1, 0.9, 64)[None, :, None] * np.ones((32, 64, 3))


GREYS = np.array([0.1, 0.5, 0.9])[:, None] * np.ones(3)


def test_every_threshold_occurs_once() -> None:
    ranks = np.sort(blue_noise_map().ravel() * SIDE**2 - 0.5)
    np.testing.assert_allclose(ranks, np.arange(SIDE**2), atol=1e-9)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_the_maps_low_frequencies_are_weak(share: float) -> None:
    """At low frequencies, which the eye sees best, a thresholded map has far less power than white noise."""
    pattern = (blue_noise_map() < share) - share
    power = np.abs(np.fft.fft2(pattern)) ** 2 / (share * (1 - share) * SIDE**2)  # 1 for white noise
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)[None])
    low = (frequency > 0) & (frequency < 0.4 * np.sqrt(share))
    assert power[low].mean() < 0.15


def test_without_a_dither_the_most_probable_component_is_chosen() -> None:
    index = choose(ramp(), model(GREYS), "none")
    np.testing.assert_array_equal(index[0], np.abs(ramp()[0, :, :1] - GREYS[None, :, 0]).argmin(axis=1))


@pytest.mark.parametrize("dither", ["atkinson", "blue_noise"])
def test_dithering_reduces_the_error_of_the_mean_colour(dither: str) -> None:
    plain = GREYS[choose(ramp(), model(GREYS), "none")].mean(axis=0)
    dithered = GREYS[choose(ramp(), model(GREYS), dither)].mean(axis=0)
    target = ramp().mean(axis=0)
    assert np.abs(dithered - target).mean() < 0.5 * np.abs(plain - target).mean()


@pytest.mark.parametrize("dither", sorted(DITHERS))
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (2, 2), (70, 3)])
def test_any_shape(dither: str, shape: tuple[int, int]) -> None:
    cells = np.random.default_rng(0).random((*shape, 3))
    index = choose(cells, model(GREYS), dither)
    assert index.shape == shape
    assert index.min() >= 0
    assert index.max() < len(GREYS)


@pytest.mark.parametrize("dither", sorted(DITHERS))
def test_the_cells_are_not_modified(dither: str) -> None:
    cells = ramp()
    choose(cells, model(GREYS), dither)
    np.testing.assert_array_equal(cells, ramp())


def test_an_unknown_dither_raises() -> None:
    with pytest.raises(ValueError, match="dither=riemersma: accepted none"):
        choose(ramp(), model(GREYS), "riemersma")
