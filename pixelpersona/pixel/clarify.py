"""Image adjustments before downsampling: tone stretching, denoising, local contrast, saturation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter

from pixelpersona.pixel.face_map import FaceMap
from pixelpersona.pixel.framing import Focus, head_weight
from pixelpersona.pixel.palette import oklab_to_srgb, srgb_to_oklab, to_uint8
from pixelpersona.pixel.total_variation import flatten

_DARKEST, _BRIGHTEST = 0.15, 0.93  # OKLab lightness that the tones are stretched to
_OUTLIERS = 2.0  # percent of the pixels at either end that may be clipped
_MIDDLE = (_DARKEST + _BRIGHTEST) / 2.0
_NEIGHBORHOOD = 2.5  # cells: standard deviation of the Gaussian mean that local contrast is measured against
_FEATURE_RADIUS = 2.0  # cells: half side of the windows of the guided filter
_FEATURE_VARIANCE = 0.006  # of lightness: windows that vary more contain an edge, which the filter keeps
_SHADING_RADIUS, _SHADING_VARIANCE = 6.0, 0.02  # the same for light and shadow
_SKIN_TONES = 0.25  # difference in lightness from the middle of the face beyond which it is hair, not shading
_FACE = 0.6  # size of the middle of the face, see `framing.head_weight`
_DARKENING = 0.75  # share of the contrast that darkens eyes and mouth
_MOUTH_CONTRAST = 0.5  # share of both contrasts that the mouth gets
_SHARP, _SOFT = 0.3, 1.0  # cells: standard deviations of the Gaussians of `sharpness`
_SMALL = 3_000_000  # colour values (one megapixel) up to which an image is processed at once, in float64
_BAND = 500_000  # colour values converted at once in a larger image
_RANGES = {
    "levels": (0.0, 1.0),
    "max_gain": (1.0, 100.0),
    "midtone_shift": (0.0, 1.0),
    "flatness": (0.0, 1.0),
    "local_contrast": (0.0, 4.0),
    "feature_contrast": (0.0, 8.0),
    "evenness": (0.0, 1.0),
    "sharpness": (0.0, 4.0),
    "skin_contrast": (0.0, 1.0),
    "skin_flatness": (1.0, 8.0),
    "feature_color": (0.0, 4.0),
    "saturation": (0.0, 4.0),
}


@dataclass(frozen=True, kw_only=True)
class Clarity(Focus):
    """Settings of `clarify`; the defaults leave an image unchanged.

    levels: 0 to 1, how far lightness is stretched to the full range of tones (between its 2nd and 98th
    percentile). max_gain: 1 to 100, largest factor by which this spreads the tones; it keeps a flatly lit
    photo soft. midtone_shift: 0 to 1, how far this moves the middle of the tones to that of the full range;
    below 1, dark photos stay darker than bright ones.
    flatness: 0 to 1, weight of a total-variation filter (`total_variation.flatten`), which flattens skin and
    cloth and keeps outlines; 0.1 is strong.
    local_contrast: 0 to 4, factor added to the difference from the local mean lightness, so that eyes, brows
    and lips survive averaging over a cell. feature_contrast: 0 to 8, the same for the difference from an
    edge-preserving mean (a guided filter, He et al. 2013): it amplifies features that are small and leaves no
    pale ring around a head or dark hair.
    evenness: 0 to 1, how far light and shadow on the skin are evened out; sharpness: 0 to 4, factor added to
    differences of the size of a cell, such as the white of an eye. Both are for head-and-shoulders portraits
    and change the head only.
    Only where the landmarks of a face are known: skin_contrast: 0 to 1, share of feature_contrast and
    sharpness that skin gets, away from eyes and mouth; skin_flatness: 1 to 8, factor on flatness there;
    feature_color: 0 to 4, factor on the colour difference between eyes or mouth and the skin. Both
    contrasts darken eyes and mouth less than they lighten them, by a quarter, and change the mouth only half
    as much: lashes and corners of a mouth would become black blocks.
    saturation: 0 to 4, factor on OKLab's chroma.
    """

    levels: float = 0.0
    max_gain: float = 100.0
    midtone_shift: float = 1.0
    flatness: float = 0.0
    local_contrast: float = 0.0
    feature_contrast: float = 0.0
    evenness: float = 0.0
    sharpness: float = 0.0
    skin_contrast: float = 1.0
    skin_flatness: float = 1.0
    feature_color: float = 1.0
    saturation: float = 1.0

    def check_clarity(self, group: str) -> None:
        """Raise ValueError "`group`.key=value: accepted ..." for the first value out of range."""
        self.check_focus(group)
        for key, (least, most) in _RANGES.items():
            if not least <= getattr(self, key) <= most:
                raise ValueError(f"{group}.{key}={getattr(self, key)}: accepted {least:g} to {most:g}")

    @property
    def changes_image(self) -> bool:
        """Whether the settings change anything."""
        amounts = (self.levels, self.flatness, self.local_contrast, self.feature_contrast, self.evenness)
        return any((*amounts, self.sharpness)) or self.saturation != 1.0 or self.feature_color != 1.0


def clarify(
    image: NDArray[np.uint8], cell: float, clarity: Clarity, face: FaceMap | None = None
) -> NDArray[np.uint8]:
    """Adjust an sRGB image, uint8 [H, W, 3] or [H, W, 4], before it is downsampled; alpha is unchanged.

    cell: pixels per art cell. face: masks of the image's size, if its landmarks are known. Hue is kept;
    colours outside the sRGB gamut are clipped. Returns the same shape, and the input array itself when
    `clarity` changes nothing.
    """
    if not clarity.changes_image:
        return image
    lab = _to_planes(image)
    skin = None if face is None else face.skin.astype(lab.dtype)
    kept, darkening = _contrast_shares(face, clarity, lab.dtype)
    _stretch(lab[0], clarity)
    if clarity.evenness > 0.0:
        _even(lab[0], cell, clarity.evenness, face)
    if clarity.feature_contrast > 0.0:
        factor = clarity.feature_contrast * kept / _outside(lab[0], clarity)
        _exaggerate(lab[0], _edge_preserving_mean(lab[0], cell), factor, darkening)
    if clarity.sharpness > 0.0:
        _sharpen(lab[0], cell, clarity.sharpness * kept, darkening)
    if face is not None:
        _color_features(lab[1:], face, clarity.feature_color)
    if clarity.flatness > 0.0:
        _flatten(lab, clarity, skin)
    if clarity.local_contrast > 0.0:
        mean = gaussian_filter(lab[0], _NEIGHBORHOOD * cell)
        _exaggerate(lab[0], mean, clarity.local_contrast / _outside(lab[0], clarity))
    np.clip(lab[0], 0.0, 1.0, out=lab[0])
    lab[1:] *= clarity.saturation
    clear = image.copy()  # keeps alpha
    for rows in _bands(image):
        clear[rows, :, :3] = to_uint8(oklab_to_srgb(np.stack(list(lab[:, rows]), axis=-1)))
    return clear


def _contrast_shares(
    face: FaceMap | None, clarity: Clarity, dtype: np.dtype[Any]
) -> tuple[NDArray[Any] | float, NDArray[Any] | float]:
    """Shares of the contrasts that each pixel gets, and of what darkens it; 1 without a face."""
    if face is None:
        return 1.0, 1.0
    kept = 1.0 - (1.0 - clarity.skin_contrast) * face.skin - (1.0 - _MOUTH_CONTRAST) * face.mouth
    darkening = 1.0 - (1.0 - _DARKENING) * face.features
    return kept.astype(dtype), darkening.astype(dtype)


def _outside(plane: NDArray[Any], focus: Focus) -> NDArray[Any] | float:
    """`Focus.outside` of the plane's size, in its dtype; 1 where the whole image is treated alike."""
    if focus.focus == 1.0:
        return 1.0
    height, width = plane.shape
    return focus.outside(width, height).astype(plane.dtype)


def _stretch(lightness: NDArray[Any], clarity: Clarity) -> None:
    """Stretch towards the full range of tones, in place."""
    if clarity.levels == 0.0:
        return
    low, high = np.percentile(lightness, [_OUTLIERS, 100.0 - _OUTLIERS])
    if high > low:
        gain = min((_BRIGHTEST - _DARKEST) / (high - low), clarity.max_gain)
        middle = (low + high) / 2.0
        target = middle + clarity.midtone_shift * (_MIDDLE - middle)
        for row in lightness:  # row by row: each step of the formula allocates an array
            row += clarity.levels * (target + gain * (row - middle) - row)


def _flatten(lab: NDArray[Any], clarity: Clarity, skin: NDArray[Any] | None) -> None:
    """Flatten every plane in place; more strongly outside of the head and on skin.

    The filter has one weight for all pixels, so its results with several weights are blended.
    """
    weight = None if clarity.focus == 1.0 else _outside(lab[0], clarity)
    for plane in lab:
        plane[:] = _flattened(plane, clarity, weight, skin)  # frees its arrays before the next plane


def _flattened(
    plane: NDArray[Any], clarity: Clarity, weight: NDArray[Any] | float | None, skin: NDArray[Any] | None
) -> NDArray[Any]:
    flat = flatten(plane, clarity.flatness)
    if weight is not None:
        share = (weight - 1.0) / (clarity.focus - 1.0)
        flat += share * (flatten(plane, clarity.flatness * clarity.focus) - flat)
    if skin is not None and clarity.skin_flatness > 1.0:
        flat += skin * (flatten(plane, clarity.flatness * clarity.skin_flatness) - flat)
    return flat


def _color_features(chroma: NDArray[Any], face: FaceMap, factor: float) -> None:
    """Multiply the difference in chroma [2, H, W] of eyes and mouth from the skin, in place."""
    is_skin = face.is_skin
    if factor == 1.0 or not is_skin.any():
        return
    amount = (factor - 1.0) * face.features.astype(chroma.dtype)
    for plane in chroma:
        plane += amount * (plane - np.median(plane[is_skin]))


def _exaggerate(
    lightness: NDArray[Any],
    mean: NDArray[Any],
    factor: NDArray[Any] | float,
    darkening: NDArray[Any] | float = 1.0,
) -> None:
    """Add `factor` times the difference from a mean, which is overwritten, in place.

    darkening: factor on the negative differences.
    """
    np.subtract(lightness, mean, out=mean)
    mean *= factor
    np.multiply(mean, darkening, out=mean, where=mean < 0.0)
    lightness += mean


def _even(lightness: NDArray[Any], cell: float, share: float, known: FaceMap | None) -> None:
    """Move the shading of the head towards the mean lightness of the face, in place.

    As the base layer of Durand & Dorsey 2002, "Fast bilateral filtering for the display of high-dynamic-range
    images"; but what differs from the face as much as hair does stays as it is.
    """
    height, width = lightness.shape
    head, face = head_weight(width, height), head_weight(width, height, _FACE)
    if known is not None:
        head, face = np.maximum(head, known.face), known.face * (1.0 - known.eyes)
    if not face.any():
        return
    shading = _edge_preserving_mean(lightness, cell, _SHADING_RADIUS, _SHADING_VARIANCE)
    shading -= np.average(shading, weights=face)
    amount = np.exp(-((shading / _SKIN_TONES) ** 2))
    amount *= share * head.astype(lightness.dtype)
    shading *= amount
    lightness -= shading


def _sharpen(
    lightness: NDArray[Any], cell: float, factor: NDArray[Any] | float, darkening: NDArray[Any] | float
) -> None:
    """Amplify differences of the size of a cell inside the head, in place; see `_exaggerate`."""
    height, width = lightness.shape
    detail = gaussian_filter(lightness, _SHARP * cell)
    detail -= gaussian_filter(lightness, _SOFT * cell)
    detail *= factor * head_weight(width, height).astype(lightness.dtype)
    np.multiply(detail, darkening, out=detail, where=detail < 0.0)
    lightness += detail


def _edge_preserving_mean(
    lightness: NDArray[Any], cell: float, radius: float = _FEATURE_RADIUS, variance: float = _FEATURE_VARIANCE
) -> NDArray[Any]:
    """Guided filter with the image as its own guide (He, Sun & Tang 2013, "Guided image filtering"), [H, W].

    A local mean where the image is smooth, the image itself where it has an edge. radius: cells, half side of
    the windows. variance: of lightness; windows that vary more count as edges.
    """
    side = 2 * max(1, round(radius * cell)) + 1
    mean = uniform_filter(lightness, side, mode="nearest")
    slope = uniform_filter(lightness**2, side, mode="nearest")
    slope -= mean**2
    np.clip(slope, 0.0, None, out=slope)
    slope /= slope + variance
    mean *= 1.0 - slope
    smooth: NDArray[Any] = uniform_filter(slope, side, mode="nearest")
    smooth *= lightness
    smooth += uniform_filter(mean, side, mode="nearest")
    return smooth


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
