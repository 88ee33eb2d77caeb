"""Image adjustments: each setting, measured in another colour space than the one it is computed in."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.color import lab2lch, rgb2lab
from skimage.data import astronaut
from skimage.restoration import denoise_tv_chambolle

from pixelpersona.pixel import clarify as module
from pixelpersona.pixel.clarify import Clarity, clarify
from pixelpersona.pixel.palette import oklab_to_srgb, srgb_to_oklab, to_uint8
from tests.pixel.snapping import FACE

DRAWN = Clarity(levels=0.6, flatness=0.07, local_contrast=0.7, saturation=1.25)
MUTED = (0.3 * FACE + 0.7 * np.array([130, 120, 110])).astype(np.uint8)


def test_the_defaults_return_the_same_array() -> None:
    assert clarify(FACE, 4, Clarity()) is FACE


def test_saturation_raises_chroma_and_keeps_hue() -> None:
    before, after = (lab2lch(rgb2lab(image)) for image in (MUTED, clarify(MUTED, 4, Clarity(saturation=1.5))))
    assert after[..., 1].mean() == pytest.approx(1.5 * before[..., 1].mean(), rel=0.1)
    coloured = before[..., 1] > 10
    turn = np.angle(np.exp(1j * (after[..., 2] - before[..., 2])))[coloured]
    assert np.abs(np.degrees(turn)).mean() < 4


def test_levels_stretch_fully_or_partly_to_the_full_range() -> None:
    def spread(image: np.ndarray) -> np.ndarray:
        return np.percentile(srgb_to_oklab(image / 255.0)[..., 0], [2, 98])

    np.testing.assert_allclose(spread(clarify(MUTED, 4, Clarity(levels=1.0))), [0.15, 0.93], atol=0.01)
    middle = (spread(MUTED) + np.array([0.15, 0.93])) / 2
    np.testing.assert_allclose(spread(clarify(MUTED, 4, Clarity(levels=0.5))), middle, atol=0.01)


def test_levels_leave_a_constant_image_unchanged() -> None:
    grey = np.full((8, 8, 3), 77, np.uint8)
    np.testing.assert_array_equal(clarify(grey, 4, Clarity(levels=1.0)), grey)


def test_flatness_removes_noise_and_keeps_an_edge() -> None:
    noise = np.random.default_rng(0).normal(0, 12, (64, 64, 3))
    sides = np.where(np.arange(64) < 32, 60, 190)[None, :, None]
    noisy = (sides + noise).clip(0, 255).astype(np.uint8)
    flat = clarify(noisy, 4, Clarity(flatness=0.1)).astype(int)
    assert flat[:, 4:28].std() < 0.4 * noisy[:, 4:28].std()
    step = flat[:, 33:36].mean() - flat[:, 28:31].mean()
    assert step > 0.85 * 130


def test_local_contrast_darkens_a_small_dark_feature_and_leaves_flat_areas() -> None:
    face = np.full((96, 96, 3), 170, np.uint8)
    face[46:50, 46:50] = 120
    clear = clarify(face, 4, Clarity(local_contrast=0.8)).astype(int)
    assert clear[48, 48, 0] < 100
    assert np.abs(clear[:8] - 170).max() <= 1


def test_alpha_is_unchanged() -> None:
    alpha = np.random.default_rng(1).integers(0, 256, (128, 128, 1), dtype=np.uint8)
    clear = clarify(np.concatenate([FACE, alpha], axis=2), 4, Clarity(levels=1.0))
    np.testing.assert_array_equal(clear[..., 3:], alpha)
    np.testing.assert_array_equal(clear[..., :3], clarify(FACE, 4, Clarity(levels=1.0)))


@pytest.mark.parametrize("key", ["levels", "flatness", "local_contrast", "saturation"])
@pytest.mark.parametrize("value", [-0.1, 4.5, float("nan")])
def test_values_out_of_range_are_named(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"pixelate\.{key}={value}: accepted 0 to"):
        Clarity(**{key: value}).check_clarity("pixelate")


def by_definition(image: np.ndarray, cell: float, clarity: Clarity) -> np.ndarray:
    """The definition with scikit-image and scipy, in float64."""
    lab = srgb_to_oklab(image / 255.0)
    low, high = np.percentile(lab[..., 0], [2.0, 98.0])
    lab[..., 0] += clarity.levels * (0.15 + (lab[..., 0] - low) / (high - low) * (0.93 - 0.15) - lab[..., 0])
    if clarity.flatness:
        lab = denoise_tv_chambolle(lab, weight=clarity.flatness, channel_axis=-1)
    lab[..., 0] += clarity.local_contrast * (lab[..., 0] - gaussian_filter(lab[..., 0], 2.5 * cell))
    lab[..., 0] = lab[..., 0].clip(0.0, 1.0)
    lab[..., 1:] *= clarity.saturation
    return to_uint8(oklab_to_srgb(lab))


@pytest.mark.parametrize(
    "clarity", [DRAWN, Clarity(levels=1.0), Clarity(flatness=0.3), Clarity(saturation=0.5)]
)
def test_a_small_image_equals_the_definition(clarity: Clarity) -> None:
    for image, cell in ((FACE, 4), (MUTED, 2.5), (astronaut(), 8)):
        np.testing.assert_array_equal(clarify(image, cell, clarity), by_definition(image, cell, clarity))


def test_a_large_image_differs_by_at_most_one_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is processed in float32, with colours converted a few rows at a time."""
    image = np.ascontiguousarray(astronaut()[:300])
    expected = by_definition(image, 8, DRAWN).astype(int)
    alpha = np.random.default_rng(1).integers(0, 256, (300, 512, 1), dtype=np.uint8)
    monkeypatch.setattr(module, "_SMALL", 0)
    monkeypatch.setattr(module, "_BAND", 7 * 512 * 3)
    clear = clarify(np.concatenate([image, alpha], axis=2), 8, DRAWN)
    np.testing.assert_array_equal(clear[..., 3:], alpha)
    off = np.abs(clear[..., :3] - expected)
    assert off.max() <= 1
    assert (off > 0).mean() < 0.001
    borders = off[6:-7:7] + off[7:-6:7]  # rows on either side of a band boundary
    assert (borders > 0).mean() < 0.002
