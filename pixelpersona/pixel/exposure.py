"""Exposure correction of underexposed photos."""

import numpy as np
from PIL import Image

from pixelpersona.pixel.palette import linear_to_srgb, srgb_to_linear, srgb_to_oklab, to_uint8

_BRIGHTEST = 99.5  # percentile of OKLab lightness that counts as the brightest part
_TOO_DARK = 0.6  # the brightest part of ordinary portraits is above, whatever the person's skin colour
_WANTED = 0.9  # the brightest part of most portraits


def expose(image: Image.Image) -> Image.Image:
    """Brighten an RGB image whose brightest part is dark; return any other image unchanged.

    Simulates a longer exposure: linear light times one factor, which keeps hues and the order of tones. The
    decision depends on the brightest part of the whole image, not on the face: dark skin is not a dark photo.
    """
    pixels = np.asarray(image, dtype=np.float64) / 255.0
    brightest = float(np.percentile(srgb_to_oklab(pixels)[..., 0], _BRIGHTEST))
    if not 0.0 < brightest < _TOO_DARK:
        return image
    # OKLab's lightness is the cube root of linear light.
    lit = srgb_to_linear(pixels) * (_WANTED / brightest) ** 3
    return Image.fromarray(to_uint8(linear_to_srgb(lit.clip(0.0, 1.0))))
