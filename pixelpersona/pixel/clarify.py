"""Image adjustments before downsampling: tone stretching, denoising, local contrast, saturation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pixelpersona.pixel.palette import oklab_to_srgb, srgb_to_oklab, to_uint8
from pixelpersona.pixel.total_variation import flatten

_DARKEST, _BRIGHTEST = 0.15, 0.93  # OKLab lightness that the tones are stretched to
_OUTLIERS = 2.0  # percent of the pixels at either end that may be clipped
_NEIGHBORHOOD = 2.5  # cells: standard deviation of the Gaussian mean that local contrast is measured against
_SMALL = 3_000_000  # colour values (one megapixel) up to which an image is processed at once, in float64
_BAND = 500_000  # colour values converted at once in a larger image
_LARGEST = {"levels": 1.0, "flatness": 1.0, "local_contrast": 4.0, "saturation": 4.0}


@dataclass(frozen=True, kw_only=True)
class Clarity:
    """Settings of `clarify`; the defaults leave an image unchanged.

    levels: 0 to 1, how far lightness is stretched to the full range of tones (between its 2nd and 98th
    percentile). flatness: 0 to 1, weight of a total-variation filter (`total_variation.flatten`), which
    flattens skin and cloth and keeps outlines; 0.1 is strong. local_contrast: 0 to 4, factor added to the
    difference from the local mean lightness, so that eyes, brows and lips survive averaging over a cell.
    saturation: 0 to 4, factor on OKLab's chroma.
    """

    levels: float = 0.0
    flatness: float = 0.0
    local_contrast: float = 0.0
    saturation: float = 1.0

    def check_clarity(self, group: str) -> None:
        """Raise ValueError "`group`.key=value: accepted ..." for the first value out of range."""
        for key, largest in _LARGEST.items():
            if not 0.0 <= getattr(self, key) <= largest:
                raise ValueError(f"{group}.{key}={getattr(self, key)}: accepted 0 to {largest:g}")

    @property
    def changes_image(self) -> bool:
        """Whether any of the four settings differs from its default."""
        return (self.levels, self.flatness, self.local_contrast, self.saturation) != (0.0, 0.0, 0.0, 1.0)


def clarify(image: NDArray[np.uint8], cell: float, clarity: Clarity) -> NDArray[np.uint8]:
    """Adjust an sRGB image, uint8 [H, W, 3] or [H, W, 4], before it is downsampled; alpha is unchanged.

    cell: pixels per art cell. Hue is kept; colours outside the sRGB gamut are clipped. Returns the same
    shape, and the input array itself when `clarity` changes nothing.
    """
    if not clarity.changes_image:
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
    clear = image.copy()  # keeps alpha
    for rows in _bands(image):
        clear[rows, :, :3] = to_uint8(oklab_to_srgb(np.stack(list(lab[:, rows]), axis=-1)))
    return clear


def _stretch(lightness: NDArray[Any], levels: float) -> None:
    """Stretch towards the full range of tones, in place."""
    if levels == 0.0:
        return
    low, high = np.percentile(lightness, [_OUTLIERS, 100.0 - _OUTLIERS])
    if high > low:
        for row in lightness:  # row by row: each step of the formula allocates an array
            stretched = _DARKEST + (row - low) / (high - low) * (_BRIGHTEST - _DARKEST)
            row += levels * (stretched - row)


def _exaggerate(lightness: NDArray[Any], sigma: float, factor: float) -> None:
    """Add `factor` times the difference from the Gaussian mean (unsharp masking), in place."""
    difference = gaussian_filter(lightness, sigma)
    np.subtract(lightness, difference, out=difference)
    difference *= factor
    lightness += difference


def _to_planes(image: NDArray[np.uint8]) -> NDArray[Any]:
    """OKLab [3, H, W]; float32 for large images, which is far more precise than the 8-bit result."""
    height, width = image.shape[:2]
    lab = np.empty((3, height, width), np.float64 if _is_small(image) else np.float32)
    for rows in _bands(image):
        lab[:, rows] = srgb_to_oklab(image[rows, :, :3] / 255.0).transpose(2, 0, 1)
    return lab


def _is_small(image: NDArray[np.uint8]) -> bool:
    height, width = image.shape[:2]
    return bool(3 * height * width <= _SMALL)


def _bands(image: NDArray[np.uint8]) -> list[slice]:
    """Row ranges whose colours are converted at once; few rows in a large image, to limit peak memory."""
    height, width = image.shape[:2]
    step = height if _is_small(image) else max(1, _BAND // (3 * width))
    return [slice(row, min(row + step, height)) for row in range(0, height, step)]
