"""Exposure correction of dark photos."""

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab
from skimage.data import astronaut

from pixelpersona.assets.locate import path as asset
from pixelpersona.data.sources import FolderSource
from pixelpersona.pixel.exposure import expose
from pixelpersona.pixel.palette import srgb_to_oklab

PHOTO = Image.fromarray(astronaut()).resize((128, 128))


def _brightest(image: Image.Image) -> float:
    return float(np.percentile(srgb_to_oklab(np.asarray(image) / 255.0)[..., 0], 99.5))


@pytest.mark.parametrize("share", [0.2, 0.3])
def test_a_dark_photo_is_brightened_and_keeps_its_hues(share: float) -> None:
    dark = Image.fromarray((np.asarray(PHOTO) * share).round().astype(np.uint8))
    lit = expose(dark)
    assert _brightest(lit) == pytest.approx(0.9, abs=0.01)
    before, after = (rgb2lab(np.asarray(picture)) for picture in (dark, lit))
    colored = np.hypot(*before[..., 1:].transpose(2, 0, 1)) > 5
    hues = [np.arctan2(lab[..., 2], lab[..., 1])[colored] for lab in (before, after)]
    turned = np.abs(np.angle(np.exp(1j * (hues[1] - hues[0]))))
    assert np.median(turned) < 0.1


def test_linear_light_is_multiplied_by_one_factor() -> None:
    dark = Image.fromarray((np.asarray(PHOTO) * 0.3).round().astype(np.uint8))
    lit = np.asarray(expose(dark))

    def light(pixels: np.ndarray) -> np.ndarray:  # IEC 61966-2-1
        srgb = pixels / 255.0
        return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)

    clear = (np.asarray(dark) > 40) & (lit < 250)
    factors = light(lit)[clear] / light(np.asarray(dark))[clear]
    assert factors.max() / factors.min() < 1.05
    assert factors.mean() == pytest.approx((0.9 / _brightest(dark)) ** 3, rel=0.01)


def test_ordinary_photos_and_black_are_unchanged() -> None:
    portraits = FolderSource(asset("portraits"))
    for photo_id in portraits.ids()[::8]:
        photo = portraits.open(photo_id)
        assert expose(photo) is photo
    black = Image.new("RGB", (8, 8))
    assert expose(black) is black
