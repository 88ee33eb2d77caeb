"""Clearer pictures: each setting does its own, measured in another colour space than the one it works in."""

import numpy as np
import pytest
from skimage.color import lab2lch, rgb2lab
from skimage.data import astronaut

from pixelpersona.pixel.clarify import Clarity, clarify
from pixelpersona.pixel.palette import srgb_to_oklab

FACE = np.ascontiguousarray(astronaut()[:256:2, 96:352:2])
MUTED = (0.3 * FACE + 0.7 * np.array([130, 120, 110])).astype(np.uint8)


def test_by_default_the_very_picture_is_returned() -> None:
    assert clarify(FACE, 4, Clarity()) is FACE


def test_saturation_raises_chroma_and_keeps_hue() -> None:
    before, after = (lab2lch(rgb2lab(image)) for image in (MUTED, clarify(MUTED, 4, Clarity(saturation=1.5))))
    assert after[..., 1].mean() == pytest.approx(1.5 * before[..., 1].mean(), rel=0.1)
    coloured = before[..., 1] > 10
    turn = np.angle(np.exp(1j * (after[..., 2] - before[..., 2])))[coloured]
    assert np.abs(np.degrees(turn)).mean() < 4


def test_levels_stretch_to_the_full_range_and_halfway() -> None:
    def spread(image: np.ndarray) -> np.ndarray:
        return np.percentile(srgb_to_oklab(image / 255.0)[..., 0], [2, 98])

    np.testing.assert_allclose(spread(clarify(MUTED, 4, Clarity(levels=1.0))), [0.15, 0.93], atol=0.01)
    middle = (spread(MUTED) + np.array([0.15, 0.93])) / 2
    np.testing.assert_allclose(spread(clarify(MUTED, 4, Clarity(levels=0.5))), middle, atol=0.01)


def test_levels_leave_a_picture_of_one_colour() -> None:
    grey = np.full((8, 8, 3), 77, np.uint8)
    np.testing.assert_array_equal(clarify(grey, 4, Clarity(levels=1.0)), grey)


def test_flatness_levels_noise_and_keeps_an_outline() -> None:
    noise = np.random.default_rng(0).normal(0, 12, (64, 64, 3))
    sides = np.where(np.arange(64) < 32, 60, 190)[None, :, None]
    noisy = (sides + noise).clip(0, 255).astype(np.uint8)
    flat = clarify(noisy, 4, Clarity(flatness=0.1)).astype(int)
    assert flat[:, 4:28].std() < 0.4 * noisy[:, 4:28].std()
    step = flat[:, 33:36].mean() - flat[:, 28:31].mean()
    assert step > 0.85 * 130


def test_local_contrast_darkens_a_small_dark_feature_and_leaves_plain_surfaces() -> None:
    face = np.full((96, 96, 3), 170, np.uint8)
    face[46:50, 46:50] = 120
    clear = clarify(face, 4, Clarity(local_contrast=0.8)).astype(int)
    assert clear[48, 48, 0] < 100
    assert np.abs(clear[:8] - 170).max() <= 1


def test_alpha_is_left_alone() -> None:
    alpha = np.random.default_rng(1).integers(0, 256, (128, 128, 1), dtype=np.uint8)
    clear = clarify(np.concatenate([FACE, alpha], axis=2), 4, Clarity(levels=1.0))
    np.testing.assert_array_equal(clear[..., 3:], alpha)
    np.testing.assert_array_equal(clear[..., :3], clarify(FACE, 4, Clarity(levels=1.0)))


@pytest.mark.parametrize("key", ["levels", "flatness", "local_contrast", "saturation"])
@pytest.mark.parametrize("value", [-0.1, 4.5, float("nan")])
def test_values_out_of_range_are_named(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"pixelate\.{key}={value}: accepted 0 to"):
        Clarity(**{key: value}).check("pixelate")
