"""What an artist does before drawing small: full tones, flat surfaces, clear features, clear colours."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pixelpersona.pixel.palette import oklab_to_srgb, srgb_to_oklab, to_uint8
from pixelpersona.pixel.total_variation import flatten

_DARKEST, _BRIGHTEST = 0.15, 0.93  # OKLab lightness that the tones are stretched to
_OUTLIERS = 2.0  # percent of the pixels at either end that may be clipped
_NEIGHBORHOOD = 2.5  # cells; a feature is darker or brighter than what lies so far around it
_SMALL = 3_000_000  # colour values, a megapixel, that are worked on at once and in float64
_BAND = 500_000  # of a larger picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Clarity:
    """How much of each is done; the defaults leave a picture as it is.

    levels: 0 to 1, how far lightness is stretched to the full range of tones (between its 2nd and 98th
    percentile). flatness: weight of a total-variation filter (`total_variation.flatten`), which levels skin
    and cloth and keeps outlines; 0 none, 0.1 strong. local_contrast: how much a difference from the
    neighbourhood's mean lightness is exaggerated: eyes, brows and lips are small, and a cell's mean washes
    them out. saturation: factor on OKLab's chroma, 0 to 4.
    """

    levels: float = 0.0
    flatness: float = 0.0
    local_contrast: float = 0.0
    saturation: float = 1.0

    def check(self, group: str) -> None:
        """Raises ValueError naming `group` and the key of the first value that is not accepted."""
        for key, largest in (
            ("levels", 1.0),
            ("flatness", 1.0),
            ("local_contrast", 4.0),
            ("saturation", 4.0),
        ):
            if not 0.0 <= getattr(self, key) <= largest:
                raise ValueError(f"{group}.{key}={getattr(self, key)}: accepted 0 to {largest:g}")


def clarify(image: NDArray[np.uint8], cell: float, clarity: Clarity) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] or [H, W, 4] sRGB → the same shape, clearer; alpha is left as it is.

    cell: pixels per art cell of what will be drawn of it. With a default `clarity` the very picture is
    returned. Hue is kept; what no screen can show is clipped.
    """
    if clarity == Clarity():
        return image
    lab = _to_planes(image)
    _stretch(lab[0], clarity.levels)
    if clarity.flatness > 0.0:
        for plane in lab:
            plane[:] = flatten(plane, clarity.flatness)
    if clarity.local_contrast > 0.0:
        _exaggerate(lab[0], _NEIGHBORHOOD * cell, clarity.local_contrast)
    np.clip(lab[0], 0.0, 1.0, out=lab[0])
    lab[1:] *= clarity.saturation
    clear = image.copy()  # with its alpha
    for rows in _bands(image):
        clear[rows, :, :3] = to_uint8(oklab_to_srgb(np.stack(list(lab[:, rows]), axis=-1)))
    return clear


def _stretch(lightness: NDArray[Any], levels: float) -> None:
    """In place, towards the full range of tones."""
    if levels == 0.0:
        return
    low, high = np.percentile(lightness, [_OUTLIERS, 100.0 - _OUTLIERS])
    if high > low:
        for row in lightness:  # by the row, as each step of the formula takes an array
            stretched = _DARKEST + (row - low) / (high - low) * (_BRIGHTEST - _DARKEST)
            row += levels * (stretched - row)


def _exaggerate(lightness: NDArray[Any], sigma: float, factor: float) -> None:
    """In place, the difference from the mean of what lies around."""
    difference = gaussian_filter(lightness, sigma)
    np.subtract(lightness, difference, out=difference)
    difference *= factor
    lightness += difference


def _to_planes(image: NDArray[np.uint8]) -> NDArray[Any]:
    """OKLab [3, H, W]: of a large picture in float32, which is far finer than the 8 bits it ends in."""
    height, width = image.shape[:2]
    lab = np.empty((3, height, width), np.float64 if _is_small(image) else np.float32)
    for rows in _bands(image):
        lab[:, rows] = srgb_to_oklab(image[rows, :, :3] / 255.0).transpose(2, 0, 1)
    return lab


def _is_small(image: NDArray[np.uint8]) -> bool:
    height, width = image.shape[:2]
    return bool(3 * height * width <= _SMALL)


def _bands(image: NDArray[np.uint8]) -> list[slice]:
    """Rows whose colours are converted at once: all, or few, as that takes many times their memory."""
    height, width = image.shape[:2]
    step = height if _is_small(image) else max(1, _BAND // (3 * width))
    return [slice(row, min(row + step, height)) for row in range(0, height, step)]
