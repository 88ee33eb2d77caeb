"""Image adjustments: each setting, measured in another colour space than the one it is computed in."""

from dataclasses import fields

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import gaussian_filter
from skimage.color import lab2lch, rgb2lab
from skimage.data import astronaut
from skimage.restoration import denoise_tv_chambolle

from pixelpersona.pixel import clarify as module
from pixelpersona.pixel.clarify import Clarity, clarify
from pixelpersona.pixel.face_map import FaceMap, face_map
from pixelpersona.pixel.landmarks import Landmarks
from pixelpersona.pixel.palette import oklab_to_srgb, srgb_to_oklab, to_uint8
from tests.pixel.snapping import FACE

PORTRAIT = Clarity(
    levels=0.8,
    max_gain=1.5,
    midtone_shift=0.35,
    flatness=0.04,
    feature_contrast=2.0,
    evenness=0.65,
    sharpness=0.6,
    skin_contrast=0.3,
    skin_flatness=2.5,
    feature_color=1.4,
    saturation=1.15,
    focus=3.0,
)
DRAWN = Clarity(levels=0.6, flatness=0.07, local_contrast=0.7, saturation=1.25)
LANDMARKS = Landmarks(np.array([(46.0, 52.0), (82.0, 53.0), (64.0, 74.0), (50.0, 92.0), (80.0, 93.0)]))
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


RANGES = {
    "levels": (0, 1),
    "max_gain": (1, 100),
    "midtone_shift": (0, 1),
    "flatness": (0, 1),
    "local_contrast": (0, 4),
    "feature_contrast": (0, 8),
    "evenness": (0, 1),
    "sharpness": (0, 4),
    "skin_contrast": (0, 1),
    "skin_flatness": (1, 8),
    "feature_color": (0, 4),
    "saturation": (0, 4),
    "focus": (1, 8),
}


def test_every_setting_has_a_range() -> None:
    assert set(RANGES) == {field.name for field in fields(Clarity)}


@pytest.mark.parametrize("key", RANGES)
@pytest.mark.parametrize("value", [-0.1, 100.5, float("nan")])
def test_values_out_of_range_are_named(key: str, value: float) -> None:
    least, most = RANGES[key]
    with pytest.raises(ValueError, match=rf"pixelate\.{key}={value}: accepted {least} to {most}$"):
        Clarity(**{key: value}).check_clarity("pixelate")
    for accepted in RANGES[key]:
        Clarity(**{key: float(accepted)}).check_clarity("pixelate")


def window_means(values: np.ndarray, radius: int) -> np.ndarray:
    """Means over windows of 2 radius + 1 pixels, with the border repeated."""
    windows = sliding_window_view(np.pad(values, radius, mode="edge"), (2 * radius + 1,) * 2)
    return windows.mean(axis=(2, 3))


def guided(lightness: np.ndarray, radius: int, variance: float) -> np.ndarray:
    """He, Sun & Tang 2013, equations 5, 6 and 8 with the image as its own guide: a regression per window."""
    mean = window_means(lightness, radius)
    spread = window_means(lightness**2, radius) - mean**2
    a = spread / (spread + variance)
    b = mean - a * mean
    return window_means(a, radius) * lightness + window_means(b, radius)


def ellipse(shape: tuple[int, int], size: float) -> np.ndarray:
    y, x = ((np.arange(n) + 0.5) / n for n in shape)
    distance = np.hypot((x - 0.5) / (0.27 * size), (y[:, None] - 0.47) / (0.36 * size))
    return np.interp(distance, [1.0, 1.3], [1.0, 0.0])


def by_definition(
    image: np.ndarray, cell: float, clarity: Clarity, face: FaceMap | None = None
) -> np.ndarray:
    """The definition with scikit-image, scipy and numpy, in float64."""
    lab = srgb_to_oklab(image / 255.0)
    head = ellipse(image.shape[:2], 1.0)
    outside = clarity.focus ** (1.0 - head)
    features = 0.0 * head if face is None else np.maximum(face.eyes, face.mouth)
    skin = 0.0 * head if face is None else face.face * (1.0 - features)
    kept = 1.0 - skin + clarity.skin_contrast * skin - (0.0 if face is None else 0.5 * face.mouth)
    low, high = np.percentile(lab[..., 0], [2.0, 98.0])
    middle, gain = (low + high) / 2, min((0.93 - 0.15) / (high - low), clarity.max_gain)
    stretched = middle + clarity.midtone_shift * (0.54 - middle) + gain * (lab[..., 0] - middle)
    lab[..., 0] += clarity.levels * (stretched - lab[..., 0])
    if clarity.evenness:
        shading = guided(lab[..., 0], round(6 * cell), 0.02)
        middle_of_face = ellipse(image.shape[:2], 0.6) if face is None else face.face * (1.0 - face.eyes)
        shading -= np.average(shading, weights=middle_of_face)
        evened = head if face is None else np.maximum(head, face.face)
        lab[..., 0] -= clarity.evenness * evened * shading * np.exp(-((shading / 0.25) ** 2))
    if clarity.feature_contrast:
        mean = guided(lab[..., 0], round(2 * cell), 0.006)
        difference = lab[..., 0] - mean
        difference = np.maximum(difference, 0.0) + (1.0 - 0.25 * features) * np.minimum(difference, 0.0)
        lab[..., 0] += clarity.feature_contrast * kept / outside * difference
    if clarity.sharpness:
        bands = [gaussian_filter(lab[..., 0], sigma * cell) for sigma in (0.3, 1.0)]
        difference = bands[0] - bands[1]
        difference = np.maximum(difference, 0.0) + (1.0 - 0.25 * features) * np.minimum(difference, 0.0)
        lab[..., 0] += clarity.sharpness * kept * head * difference
    if face is not None:
        for channel in (1, 2):
            off = lab[..., channel] - np.median(lab[..., channel][skin > 0.7])
            lab[..., channel] += (clarity.feature_color - 1.0) * features * off
    if clarity.flatness:
        weak, strong, stronger = (
            denoise_tv_chambolle(lab, weight=clarity.flatness * factor, channel_axis=-1)
            for factor in (1.0, clarity.focus, clarity.skin_flatness)
        )
        share = (outside - 1.0) / (clarity.focus - 1.0) if clarity.focus > 1.0 else 0.0 * outside
        lab = weak + share[..., None] * (strong - weak)
        lab += skin[..., None] * (stronger - lab)
    mean = gaussian_filter(lab[..., 0], 2.5 * cell)
    lab[..., 0] += clarity.local_contrast / outside * (lab[..., 0] - mean)
    lab[..., 0] = lab[..., 0].clip(0.0, 1.0)
    lab[..., 1:] *= clarity.saturation
    return to_uint8(oklab_to_srgb(lab))


@pytest.mark.parametrize(
    "clarity",
    [
        DRAWN,
        PORTRAIT,
        Clarity(levels=1.0),
        Clarity(levels=1.0, max_gain=1.2, midtone_shift=0.0),
        Clarity(flatness=0.3),
        Clarity(flatness=0.1, focus=4.0),
        Clarity(local_contrast=1.0, focus=2.0),
        Clarity(feature_contrast=3.0),
        Clarity(evenness=1.0),
        Clarity(sharpness=2.0),
        Clarity(saturation=0.5),
    ],
)
def test_a_small_image_equals_the_definition(clarity: Clarity) -> None:
    for image, cell in ((FACE, 4), (MUTED, 2.5), (astronaut()[::2, ::2], 6)):
        expected = by_definition(image, cell, clarity).astype(int)
        off = np.abs(clarify(image, cell, clarity) - expected)
        assert off.max() <= 1  # sums in another order may round to the next level
        assert (off > 0).mean() < 1e-3


@pytest.mark.parametrize(
    "clarity",
    [
        PORTRAIT,
        Clarity(evenness=1.0),
        Clarity(feature_contrast=2.0, sharpness=1.0, skin_contrast=0.0),
        Clarity(flatness=0.05, skin_flatness=4.0),
        Clarity(feature_color=3.0),
    ],
)
def test_with_landmarks_the_face_equals_the_definition(clarity: Clarity) -> None:
    face = face_map(LANDMARKS, 128, 128)
    expected = by_definition(FACE, 4, clarity, face).astype(int)
    off = np.abs(clarify(FACE, 4, clarity, face) - expected)
    assert off.max() <= 1
    assert (off > 0).mean() < 1e-3
    assert (clarify(FACE, 4, clarity, face) != clarify(FACE, 4, clarity)).mean() > 0.02


def test_the_examples_of_the_definition_change_every_setting() -> None:
    defaults = Clarity()
    assert {f.name for f in fields(Clarity) if getattr(PORTRAIT, f.name) != getattr(defaults, f.name)} == {
        *RANGES
    } - {"local_contrast"}


def test_feature_contrast_leaves_no_ring_around_dark_hair() -> None:
    """Beside an edge between hair and a wall, local contrast brightens the wall, feature contrast hardly."""
    photo = np.full((96, 96, 3), 150, np.uint8)
    photo[:, :48] = 40
    rings = {}
    for key in ("local_contrast", "feature_contrast"):
        clear = clarify(photo, 4, Clarity(**{key: 2.0})).astype(int)
        rings[key] = int((clear[:, 48:] - 150).max())
    assert rings["local_contrast"] > 60
    assert rings["feature_contrast"] < 0.4 * rings["local_contrast"]
    # A feature that is smaller than the windows is darkened as much by either.
    photo = np.full((96, 96, 3), 170, np.uint8)
    photo[44:52, 44:52] = 140
    for key in ("local_contrast", "feature_contrast"):
        assert clarify(photo, 4, Clarity(**{key: 2.0}))[48, 48, 0] < 110


def test_evenness_lightens_shadow_on_the_face_but_not_hair() -> None:
    photo = np.linspace(120, 210, 96)[None, :, None].repeat(96, 0).repeat(3, 2).astype(np.uint8)
    photo[:20] = 20  # hair
    even = clarify(photo, 2, Clarity(evenness=0.8)).astype(int)
    assert even[48, 60, 0] - even[48, 36, 0] < 0.4 * (int(photo[48, 60, 0]) - photo[48, 36, 0])
    assert even[16, 48, 0] < 35
    np.testing.assert_array_equal(even[90:, :10], photo[90:, :10])  # outside of the head


def test_max_gain_keeps_a_flatly_lit_photo_soft() -> None:
    def spread(image: np.ndarray) -> float:
        low, high = np.percentile(srgb_to_oklab(image / 255.0)[..., 0], [2, 98])
        return float(high - low)

    for gain in (1.0, 1.5):
        soft = clarify(MUTED, 4, Clarity(levels=1.0, max_gain=gain, midtone_shift=0.0))
        assert spread(soft) == pytest.approx(gain * spread(MUTED), rel=0.03)


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
