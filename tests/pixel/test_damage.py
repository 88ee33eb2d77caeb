"""Damaged photos: each kind measured, and the same for the same seed."""

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab
from skimage.data import astronaut
from skimage.metrics import peak_signal_noise_ratio

from pixelpersona.pixel.damage import KINDS, damage

PHOTO = Image.fromarray(np.ascontiguousarray(astronaut()[:192, 130:322]))


def lightness(photo: Image.Image) -> np.ndarray:
    values: np.ndarray = rgb2lab(np.asarray(photo))[..., 0]
    return values


def sharpness(photo: Image.Image) -> float:
    return float(np.abs(np.diff(lightness(photo), axis=1)).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_changes_the_photo_and_repeats(kind: str) -> None:
    first, again = damage(PHOTO, kind, 5), damage(PHOTO, kind, 5)
    assert (first.size, first.mode) == (PHOTO.size, "RGB")
    np.testing.assert_array_equal(np.asarray(first), np.asarray(again))
    assert peak_signal_noise_ratio(np.asarray(PHOTO), np.asarray(first)) < 35
    assert np.asarray(PHOTO).tobytes() == np.ascontiguousarray(astronaut()[:192, 130:322]).tobytes()


def test_light_is_an_eighth_or_three_times() -> None:
    grey = Image.new("RGB", (64, 64), (100, 100, 100))
    light = (100 / 255 + 0.055) / 1.055
    for kind, factor in (("dark", 1 / 8), ("overexposed", 3.0)):
        shown = (np.asarray(damage(grey, kind, 0)) / 255 + 0.055) / 1.055
        assert (shown**2.4).mean() == pytest.approx(factor * light**2.4, rel=0.05)
    assert lightness(damage(PHOTO, "overexposed", 0)).max() == pytest.approx(100, abs=0.1)


def test_blurred_and_small_photos_have_lost_detail() -> None:
    for kind in ("blurred", "small"):
        assert sharpness(damage(PHOTO, kind, 0)) < 0.7 * sharpness(PHOTO)
    tiny = PHOTO.resize((60, 60))
    np.testing.assert_array_equal(np.asarray(damage(tiny, "small", 0)), np.asarray(tiny))


def test_noise_has_the_given_deviation() -> None:
    grey = Image.new("RGB", (128, 128), (128, 128, 128))
    assert np.asarray(damage(grey, "noisy", 0)).std() / 255 == pytest.approx(0.12, rel=0.03)


def test_a_hidden_part_is_where_the_face_is_and_moves_with_the_seed() -> None:
    covered = []
    for seed in range(12):
        changed = (np.asarray(damage(PHOTO, "hidden", seed)) != np.asarray(PHOTO)).any(axis=2)
        assert changed.mean() == pytest.approx(np.pi / 4 * 0.30 * 0.20, rel=0.1)
        y, x = np.argwhere(changed).mean(axis=0) / 192
        assert 0.38 < x < 0.62
        assert 0.38 < y < 0.64
        covered.append((x, y))
    assert np.std(covered, axis=0).min() > 0.03


def test_compression_leaves_blocks() -> None:
    pixels = lightness(damage(PHOTO, "compressed", 0))
    steps = np.abs(np.diff(pixels, axis=1)).mean(axis=0)
    assert steps[7::8].mean() > 1.3 * np.delete(steps, np.s_[7::8]).mean()


def test_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="damage=torn: accepted dark, overexposed"):
        damage(PHOTO, "torn", 0)
