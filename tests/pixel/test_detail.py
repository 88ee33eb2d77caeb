"""Detail transfer: strong features come from the photo, lighting and surfaces from the drawing."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from pixelpersona.pixel.detail import transfer_detail
from pixelpersona.pixel.palette import oklab_to_srgb, srgb_to_oklab, to_uint8
from pixelpersona.pixel.palette_fit import fit_palette

FLAT = np.full((24, 24, 3), (190, 140, 110), dtype=np.uint8)


def _with_eyes(background: tuple[int, int, int]) -> np.ndarray:
    photo = np.full((24, 24, 3), background, dtype=np.uint8)
    photo[8, 6:9] = photo[8, 15:18] = (40, 30, 30)
    return photo


def test_a_feature_is_transferred_and_the_surface_is_unchanged() -> None:
    made, strength = transfer_detail(FLAT, _with_eyes((200, 150, 120)), 1.0)
    assert (strength[8, 7], strength[8, 16]) == (1.0, 1.0)
    lightness = srgb_to_oklab(made / 255.0)[..., 0]
    assert lightness[8, 7] < srgb_to_oklab(FLAT[8, 7] / 255.0)[0] - 0.2
    away = strength == 0.0
    assert away.mean() > 0.7
    assert np.abs(made[away].astype(int) - FLAT[away]).max() <= 1


def test_the_photos_exposure_has_little_effect() -> None:
    """Another exposure of the photo changes the result by less than it changes the photo."""
    dark, bright = (transfer_detail(FLAT, _with_eyes((level,) * 3), 1.0)[0] for level in (120, 220))
    assert np.abs(dark.astype(int) - bright).mean() < 0.1 * 100
    assert np.array_equal(dark[16:], FLAT[16:])


def test_strong_detail_against_the_formula() -> None:
    """drawing's mean + gain * (photo - photo's mean), in OKLab, computed independently."""
    rng = np.random.default_rng(0)
    drawn, photo = (rng.integers(96, 160, (12, 12, 3), dtype=np.uint8) for _ in range(2))
    photo[::2, ::3] = 20
    made, strength = transfer_detail(drawn, photo, 0.5)
    lab, wanted = srgb_to_oklab(drawn / 255.0), srgb_to_oklab(photo / 255.0)
    mean, photo_mean = (
        np.stack([gaussian_filter(x[..., c], 3.5) for c in range(3)], axis=-1) for x in (lab, wanted)
    )
    expected = (mean + 0.5 * (wanted - photo_mean))[strength == 1.0]
    assert len(expected) > 20
    np.testing.assert_allclose(srgb_to_oklab(made / 255.0)[strength == 1.0], expected, atol=0.02)


def test_weak_detail_is_amplified_by_at_most_2() -> None:
    """A hazy photo of half the contrast gives the same features as a clear one, a hazier one does not."""

    def drop(contrast: float) -> float:
        dark = np.array([0.7, 0.02, 0.03]) - np.array([contrast, 0.0, 0.0])
        lab = np.full((24, 24, 3), (0.7, 0.02, 0.03))
        lab[6:18:4, 4:20:4] = dark
        photo = to_uint8(oklab_to_srgb(lab))
        made = srgb_to_oklab(transfer_detail(FLAT, photo, 1.0)[0] / 255.0)[..., 0]
        return float(made.max() - made.min())

    clear, hazy, thick = drop(0.5), drop(0.25), drop(0.1)
    assert hazy == pytest.approx(clear, rel=0.15)
    assert thick == pytest.approx(2 * 0.1, rel=0.25)


def test_invalid_arguments_raise() -> None:
    with pytest.raises(ValueError, match=r"photo_cells: \(12, 24, 3\) does not match cells \(24, 24, 3\)"):
        transfer_detail(FLAT, FLAT[:12], 1.0)
    with pytest.raises(ValueError, match=r"gain=0\.0: accepted above 0"):
        transfer_detail(FLAT, FLAT, 0.0)


def test_weights_give_small_features_their_own_palette_colours() -> None:
    cells = np.concatenate([np.arange(100, 200, 2)] * 3)[:, None].repeat(3, axis=1).astype(np.uint8)[None]
    cells[0, :2] = (120, 90, 110)
    even = fit_palette(cells, 4)
    weights = np.ones(cells.shape[:2])
    weights[0, :2] = 1000.0
    accents = fit_palette(cells, 4, weights=weights)
    wanted = np.array([120, 90, 110])
    assert np.abs(accents.rgb.astype(int) - wanted).sum(axis=1).min() <= 3
    assert np.abs(even.rgb.astype(int) - wanted).sum(axis=1).min() > 10
    with pytest.raises(ValueError, match="weights"):
        fit_palette(cells, 4, weights=weights[:, :-1])
