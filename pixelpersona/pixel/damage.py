"""Photos that are hard to draw: dark, overexposed, blurred, small, partly hidden, noisy, strongly compressed.

For measuring what a method does with them, beside the same photos without damage.
"""

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from pixelpersona.pixel.palette import linear_to_srgb, srgb_to_linear, to_uint8

_Rng = np.random.Generator

_DARK, _BRIGHT = 1 / 8, 3.0  # factors on the light
_READ_NOISE, _SENSOR_NOISE = 0.01, 0.12  # standard deviations: in linear light, in sRGB
_BLUR = 1 / 48  # standard deviation in sides: one art cell of a portrait of 48
_SMALL_SIDE = 80  # pixels: in a portrait crop, a face box of 48 pixels
_JPEG_QUALITY = 10
# Fractions of the side: size of what hides a part of the face, and the range of its centre.
_HIDING = (0.30, 0.20)
_HIDDEN_X, _HIDDEN_Y = (0.40, 0.60), (0.40, 0.62)
_HAND = (188, 140, 116)


def damage(photo: Image.Image, kind: str, seed: int) -> Image.Image:
    """A damaged copy of an RGB photo, same size.

    dark: an eighth of the light, with sensor noise. overexposed: three times the light, clipped. blurred: out
    of focus by one cell of 48. small: enlarged from 80 pixels. hidden: a patch in the colour of a hand covers
    an eye or the mouth of a portrait. noisy: Gaussian noise. compressed: JPEG of quality 10.
    seed: of noise and position. Raises ValueError for another kind.
    """
    if kind not in _KINDS:
        raise ValueError(f"damage={kind}: accepted {', '.join(_KINDS)}")
    return _KINDS[kind](photo.convert("RGB"), np.random.default_rng(seed))


def _dark(photo: Image.Image, rng: _Rng) -> Image.Image:
    light = srgb_to_linear(np.asarray(photo) / 255.0) * _DARK
    return _of_light(light + rng.normal(0.0, _READ_NOISE, light.shape))


def _overexposed(photo: Image.Image, rng: _Rng) -> Image.Image:
    del rng
    return _of_light(srgb_to_linear(np.asarray(photo) / 255.0) * _BRIGHT)


def _of_light(light: NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(to_uint8(linear_to_srgb(light.clip(0.0, 1.0))))


def _blurred(photo: Image.Image, rng: _Rng) -> Image.Image:
    del rng
    return photo.filter(ImageFilter.GaussianBlur(_BLUR * min(photo.size)))


def _small(photo: Image.Image, rng: _Rng) -> Image.Image:
    del rng
    factor = min(1.0, _SMALL_SIDE / min(photo.size))
    width, height = (max(1, round(factor * length)) for length in photo.size)
    return photo.resize((width, height), Image.Resampling.BOX).resize(photo.size, Image.Resampling.BICUBIC)


def _hidden(photo: Image.Image, rng: _Rng) -> Image.Image:
    x, y = (
        rng.uniform(*ends) * length for ends, length in zip((_HIDDEN_X, _HIDDEN_Y), photo.size, strict=True)
    )
    half = [size * length / 2.0 for size, length in zip(_HIDING, photo.size, strict=True)]
    photo = photo.copy()
    ImageDraw.Draw(photo).ellipse((x - half[0], y - half[1], x + half[0], y + half[1]), fill=_HAND)
    return photo


def _noisy(photo: Image.Image, rng: _Rng) -> Image.Image:
    pixels = np.asarray(photo) / 255.0
    return Image.fromarray(to_uint8(pixels + rng.normal(0.0, _SENSOR_NOISE, pixels.shape)))


def _compressed(photo: Image.Image, rng: _Rng) -> Image.Image:
    del rng
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return Image.open(buffer).convert("RGB")


_KINDS: dict[str, Callable[[Image.Image, _Rng], Image.Image]] = {
    "dark": _dark,
    "overexposed": _overexposed,
    "blurred": _blurred,
    "small": _small,
    "hidden": _hidden,
    "noisy": _noisy,
    "compressed": _compressed,
}
KINDS = tuple(_KINDS)
