"""A photo taken in the dark, developed brighter."""

import numpy as np
from PIL import Image

from pixelpersona.pixel.palette import linear_to_srgb, srgb_to_linear, srgb_to_oklab, to_uint8

_BRIGHTEST = 99.5  # percentile: what counts as the brightest part, a few stray pixels aside
_TOO_DARK = 0.6  # OKLab lightness of that part; of ordinary portraits, whoever is in them, it is above
_WANTED = 0.9  # what it is in most portraits


def expose(image: Image.Image) -> Image.Image:
    """RGB → RGB: the picture as it is, or, when nothing in it is bright, with more light.

    A longer exposure: all linear values times one factor, so that hues and the order of tones stay. Chosen by
    the brightest part of the whole picture, never by the face: dark skin is not a dark photo.
    """
    pixels = np.asarray(image, dtype=np.float64) / 255.0
    brightest = float(np.percentile(srgb_to_oklab(pixels)[..., 0], _BRIGHTEST))
    if not 0.0 < brightest < _TOO_DARK:
        return image
    # OKLab's lightness is the cube root of light.
    lit = srgb_to_linear(pixels) * (_WANTED / brightest) ** 3
    return Image.fromarray(to_uint8(linear_to_srgb(lit.clip(0.0, 1.0))))
