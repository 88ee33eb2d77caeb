"""Palettes, and the only place with colour-space mathematics: sRGB <-> linear light <-> OKLab.

OKLab: Bjoern Ottosson, "A perceptual color space for image processing", 2020. Distances between colours are
taken in OKLab with two corrections by its author, which portraits need (`perceptual`): without them k-means
spends palette entries on invisible steps between blacks and gives lips and skin one brown.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

MAX_COLORS = 256  # indices are uint8, and an indexed PNG holds no more
_TOE = (0.206, 0.03)  # of the lightness L_r: Ottosson, "Okhsv and Okhsl", 2021
_CHROMA = 2.0  # weight of a and b in distances: Ottosson's correction of deltaE OK (CSS Color 4, "deltaEOK2")
_NUM_STARTS = 4  # of k-means on few colours, such as cells: a single start may leave skin a grey patch ...
_FEW_COLORS = 4096  # ... while on more colours the starts hardly differ and cost more
_CHUNK = 65536  # pixels whose distances to a palette are held at once

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
    """1 to 256 colours: uint8 [K, 3] sRGB, and a name ("" for a fitted palette).

    Raises ValueError for another shape, another dtype or too many colours.
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
    """Linear light -> sRGB 0-1, any shape; what no screen can show is clipped."""
    x = np.clip(np.asarray(linear, dtype=np.float64), 0.0, 1.0)
    curve = 1.055 * np.maximum(x, 0.0031308) ** (1 / 2.4) - 0.055
    srgb: Floats = np.where(x <= 0.0031308, x * 12.92, curve)
    return srgb


def srgb_to_oklab(srgb: ArrayLike) -> Floats:
    """sRGB 0-1 [..., 3] -> OKLab [..., 3]: L 0-1, a and b about -0.4 to 0.4."""
    oklab: Floats = np.cbrt(srgb_to_linear(srgb) @ _LINEAR_TO_LMS.T) @ _LMS_TO_OKLAB.T
    return oklab


def oklab_to_srgb(oklab: ArrayLike) -> Floats:
    """OKLab [..., 3] -> sRGB 0-1 [..., 3], clipped to what a screen can show."""
    lms = np.asarray(oklab, dtype=np.float64) @ _OKLAB_TO_LMS.T
    return linear_to_srgb(lms**3 @ _LMS_TO_LINEAR.T)


def perceptual(srgb: ArrayLike) -> Floats:
    """sRGB 0-1 [..., 3] -> the space of colour distances: OKLab's L with a toe for the dark, a and b doubled.

    Black to white is a distance of 1, as in OKLab.
    """
    lab = srgb_to_oklab(srgb)
    k1, k2 = _TOE
    x = (1 + k1) / (1 + k2) * lab[..., :1]
    lightness = 0.5 * (x - k1 + np.sqrt((x - k1) ** 2 + 4 * k2 * x))
    return np.concatenate([lightness, _CHROMA * lab[..., 1:]], axis=-1)


def perceptual_to_srgb(points: ArrayLike) -> Floats:
    """The inverse of `perceptual`, clipped to what a screen can show."""
    values = np.asarray(points, dtype=np.float64)
    k1, k2 = _TOE
    x = values[..., :1]
    lightness = x * (x + k1) * (1 + k2) / ((1 + k1) * (x + k2))
    return oklab_to_srgb(np.concatenate([lightness, values[..., 1:] / _CHROMA], axis=-1))


def to_uint8(srgb: ArrayLike) -> NDArray[np.uint8]:
    """sRGB 0-1 -> uint8 0-255, rounded; the same shape."""
    return np.rint(np.clip(np.asarray(srgb, dtype=np.float64), 0.0, 1.0) * 255.0).astype(np.uint8)


def unique_colors(
    pixels: NDArray[np.uint8],
) -> tuple[NDArray[np.uint8], NDArray[np.intp], NDArray[np.intp]]:
    """uint8 [..., 3] -> (colours [U, 3], the colour's index of every pixel [...], counts [U])."""
    rgb = pixels.astype(np.int64)
    keys = (rgb[..., 0] << 16) | (rgb[..., 1] << 8) | rgb[..., 2]
    unique, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    colors = np.stack([unique >> 16, (unique >> 8) & 255, unique & 255], axis=-1).astype(np.uint8)
    return colors, inverse.reshape(keys.shape), counts


def fit_palette(
    pixels: NDArray[np.uint8], num_colors: int, seed: int = 0, weights: NDArray[Any] | None = None
) -> Palette:
    """The best palette of at most `num_colors` colours, from dark to light: k-means in `perceptual` OKLab.

    pixels: uint8 [..., 3] sRGB. weights: [...] above 0, how much each pixel counts; None: all the same.
    With no more different colours than `num_colors`, exactly those colours.
    Raises ValueError when there are no pixels, num_colors is not 1 to 256, or the weights do not fit.
    """
    if not 1 <= num_colors <= MAX_COLORS:
        raise ValueError(f"num_colors: {num_colors} is not from 1 to {MAX_COLORS}")
    if pixels.size == 0 or pixels.shape[-1] != 3:
        raise ValueError(f"pixels: need at least one colour [..., 3], not shape {pixels.shape}")
    if weights is not None and (weights.shape != pixels.shape[:-1] or not (weights > 0).all()):
        raise ValueError(f"weights: need {pixels.shape[:-1]} numbers above 0, not shape {weights.shape}")
    colors, index, counts = unique_colors(pixels)
    if len(colors) > num_colors:
        if weights is not None:
            counts = np.bincount(index.ravel(), weights.ravel())
        colors = kmeans_colors(colors, counts, num_colors, seed)
    order = np.argsort(srgb_to_oklab(colors / 255.0)[:, 0], kind="stable")
    return Palette(colors[order])


def kmeans_colors(
    colors: NDArray[np.uint8], weights: NDArray[Any], num_colors: int, seed: int
) -> NDArray[np.uint8]:
    """Centres of weighted colours, uint8 [U, 3] and [U] -> uint8 [at most num_colors, 3], each once."""
    from sklearn.cluster import KMeans  # a second to import, and not every palette is fitted

    num_starts = _NUM_STARTS if len(colors) <= _FEW_COLORS else 1
    model = KMeans(num_colors, n_init=num_starts, random_state=seed)
    centers = model.fit(perceptual(colors / 255.0), sample_weight=weights).cluster_centers_
    # Rounding may make two centres the same colour: a palette names each once.
    return np.unique(to_uint8(perceptual_to_srgb(centers)), axis=0)


def nearest(pixels: NDArray[np.uint8], palette: Palette) -> NDArray[np.uint8]:
    """Index of the palette colour nearest to each pixel, in `perceptual` OKLab; the first one of equals.

    pixels: uint8 [..., 3] sRGB -> uint8 [...].
    """
    colors, inverse, _ = unique_colors(pixels)
    points = perceptual(colors / 255.0)
    centers = perceptual(palette.rgb / 255.0)
    index = np.empty(len(points), dtype=np.uint8)
    for start in range(0, len(points), _CHUNK):
        part = points[start : start + _CHUNK]
        distance = ((part[:, None, :] - centers[None]) ** 2).sum(axis=2)
        index[start : start + _CHUNK] = distance.argmin(axis=1)
    return index[inverse]
