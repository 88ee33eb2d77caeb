"""Palettes and all colour-space conversions: sRGB, linear light, OKLab.

OKLab: Björn Ottosson, "A perceptual color space for image processing", 2020. Colour distances are taken in
OKLab with two corrections by its author (`perceptual`). Portraits need them: in plain OKLab k-means spends
palette entries on invisible differences between blacks and merges lips and skin.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

MAX_COLORS = 256  # limit of uint8 indices and of indexed PNG
_TOE = (0.206, 0.03)  # constants k1 and k2 of the lightness L_r: Ottosson, "Okhsv and Okhsl", 2021
_CHROMA = 2.0  # factor on a and b: Ottosson's correction of deltaE OK (CSS Color 4, "deltaEOK2")
_CHUNK = 65536  # points whose distances are in memory at once

_LINEAR_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LMS_TO_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_LMS_TO_LINEAR = np.linalg.inv(_LINEAR_TO_LMS)
_OKLAB_TO_LMS = np.linalg.inv(_LMS_TO_OKLAB)


@dataclass(frozen=True, slots=True, eq=False)
class Palette:
    """1 to 256 colours, uint8 [K, 3] sRGB, and a name ("" for a fitted palette).

    Raises ValueError for another shape or dtype.
    """

    rgb: NDArray[np.uint8]
    name: str = ""

    def __post_init__(self) -> None:
        rgb = self.rgb
        good_shape = rgb.ndim == 2 and rgb.shape[1] == 3 and 1 <= len(rgb) <= MAX_COLORS
        if rgb.dtype != np.uint8 or not good_shape:
            raise ValueError(
                f"palette: rgb must be uint8 [K, 3] with K from 1 to {MAX_COLORS}, "
                f"not {rgb.dtype} {rgb.shape}"
            )

    def __len__(self) -> int:
        return len(self.rgb)


def srgb_to_linear(srgb: ArrayLike) -> Floats:
    """sRGB 0-1 -> linear light 0-1, any shape (IEC 61966-2-1)."""
    x = np.asarray(srgb, dtype=np.float64)
    curve = ((np.maximum(x, 0.04045) + 0.055) / 1.055) ** 2.4
    linear: Floats = np.where(x <= 0.04045, x / 12.92, curve)
    return linear


def linear_to_srgb(linear: ArrayLike) -> Floats:
    """Linear light -> sRGB, any shape; clipped to 0-1."""
    x = np.clip(np.asarray(linear, dtype=np.float64), 0.0, 1.0)
    curve = 1.055 * np.maximum(x, 0.0031308) ** (1 / 2.4) - 0.055
    srgb: Floats = np.where(x <= 0.0031308, x * 12.92, curve)
    return srgb


def srgb_to_oklab(srgb: ArrayLike) -> Floats:
    """sRGB 0-1 [..., 3] -> OKLab [..., 3]: L in 0-1, a and b in about -0.4 to 0.4."""
    oklab: Floats = np.cbrt(srgb_to_linear(srgb) @ _LINEAR_TO_LMS.T) @ _LMS_TO_OKLAB.T
    return oklab


def oklab_to_srgb(oklab: ArrayLike) -> Floats:
    """OKLab [..., 3] -> sRGB [..., 3], clipped to 0-1."""
    lms = np.asarray(oklab, dtype=np.float64) @ _OKLAB_TO_LMS.T
    return linear_to_srgb(lms**3 @ _LMS_TO_LINEAR.T)


def perceptual(srgb: ArrayLike) -> Floats:
    """sRGB 0-1 [..., 3] -> the space of all colour distances: OKLab with lightness L_r and doubled a and b.

    Black to white is a distance of 1, as in OKLab; about 0.02 is just visible.
    """
    lab = srgb_to_oklab(srgb)
    k1, k2 = _TOE
    x = (1 + k1) / (1 + k2) * lab[..., :1]
    lightness = 0.5 * (x - k1 + np.sqrt((x - k1) ** 2 + 4 * k2 * x))
    return np.concatenate([lightness, _CHROMA * lab[..., 1:]], axis=-1)


def perceptual_to_srgb(points: ArrayLike) -> Floats:
    """The inverse of `perceptual`: [..., 3] -> sRGB [..., 3], clipped to 0-1."""
    values = np.asarray(points, dtype=np.float64)
    k1, k2 = _TOE
    x = values[..., :1]
    lightness = x * (x + k1) * (1 + k2) / ((1 + k1) * (x + k2))
    return oklab_to_srgb(np.concatenate([lightness, values[..., 1:] / _CHROMA], axis=-1))


def to_uint8(srgb: ArrayLike) -> NDArray[np.uint8]:
    """sRGB 0-1, any shape -> uint8 0-255, rounded and clipped."""
    return np.rint(np.clip(np.asarray(srgb, dtype=np.float64), 0.0, 1.0) * 255.0).astype(np.uint8)


def unique_colors(
    pixels: NDArray[np.uint8],
) -> tuple[NDArray[np.uint8], NDArray[np.intp], NDArray[np.intp]]:
    """uint8 [..., 3] -> distinct colours uint8 [U, 3], sorted; the index of each pixel [...]; counts [U]."""
    rgb = pixels.astype(np.int64)
    keys = (rgb[..., 0] << 16) | (rgb[..., 1] << 8) | rgb[..., 2]
    unique, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    colors = np.stack([unique >> 16, (unique >> 8) & 255, unique & 255], axis=-1).astype(np.uint8)
    return colors, inverse.reshape(keys.shape), counts


def nearest_center(points: Floats, centers: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Nearest of the centers [K, 3] to each point [N, 3]: index [N], the first of a tie, and distance [N]."""
    index = np.empty(len(points), dtype=np.intp)
    distance = np.empty(len(points))
    for start in range(0, len(points), _CHUNK):
        part = slice(start, start + _CHUNK)
        squares = ((points[part, None, :] - centers[None]) ** 2).sum(axis=2)
        index[part] = squares.argmin(axis=1)
        distance[part] = np.sqrt(squares.min(axis=1))
    return index, distance


def nearest(pixels: NDArray[np.uint8], palette: Palette) -> NDArray[np.uint8]:
    """Nearest palette colour in `perceptual`, the first of a tie: uint8 [..., 3] -> index uint8 [...]."""
    colors, inverse, _ = unique_colors(pixels)
    index, _ = nearest_center(perceptual(colors / 255.0), perceptual(palette.rgb / 255.0))
    return index.astype(np.uint8)[inverse]
