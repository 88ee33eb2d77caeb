"""The photo's features in a drawing of it: eyes and glasses are smaller than what a model redraws well.

A picture is split into its neighbourhood's mean and the detail on it (base and detail, as in Durand & Dorsey
2002, "Fast bilateral filtering for the display of high-dynamic-range images"), and where the photo's detail
is strong it takes the place of the drawing's (detail transfer: Petschnigg et al. 2004, "Digital photography
with flash and no-flash image pairs"). Light, colour and surfaces stay the drawing's.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pixelpersona.pixel.framing import face_weight
from pixelpersona.pixel.palette import oklab_to_srgb, srgb_to_oklab, to_uint8

Floats = NDArray[np.floating[Any]]

_NEIGHBORHOOD = 3.5  # cells, the Gaussian's deviation: what differs from its mean is detail
_FAINT, _STRONG = 0.02, 0.06  # OKLab distance from the mean: texture of skin below, features from there on
_USUAL = 0.10  # what the detail inside the face amounts to (root mean square) in a photo with clear features
_LARGEST_BOOST = 2.0


def transfer_detail(
    cells: NDArray[np.uint8], photo_cells: NDArray[np.uint8], gain: float
) -> tuple[NDArray[np.uint8], Floats]:
    """The drawing with the photo's features, and where they are.

    cells, photo_cells: uint8 [rows, columns, 3] sRGB, one colour per cell of the same grid. gain: factor on
    the photo's detail where it is strong; 1 as in the photo, above 1 clearer than there. Where the middle of
    the photo, the face of a portrait, is faint (dark, hazy, lit flat), its detail is first raised to what is
    usual, at most to twice of what it is.
    Returns uint8 [rows, columns, 3] and the features' strength, float [rows, columns] from 0 (the drawing
    alone) to 1 (the photo's detail alone). Raises ValueError when the shapes differ or gain is not above 0.
    """
    if cells.shape != photo_cells.shape:
        raise ValueError(f"photo_cells: {photo_cells.shape} do not match cells {cells.shape}")
    if not gain > 0.0:
        raise ValueError(f"gain: {gain} is not above 0")
    drawn, wanted = (srgb_to_oklab(picture / 255.0) for picture in (cells, photo_cells))
    detail = wanted - _mean(wanted)
    detail *= _boost(detail)
    strength = ((np.linalg.norm(detail, axis=2) - _FAINT) / (_STRONG - _FAINT)).clip(0.0, 1.0)
    strength = strength**2 * (3.0 - 2.0 * strength)  # no edge where a feature begins
    mixed = drawn + strength[..., None] * (gain * detail - (drawn - _mean(drawn)))
    mixed[..., 0] = mixed[..., 0].clip(0.0, 1.0)
    return to_uint8(oklab_to_srgb(mixed)), strength


def _boost(detail: Floats) -> float:
    """1 for a photo with clear features, more for a faint one."""
    face = face_weight(detail.shape[1], detail.shape[0], np.ones(2))
    power = float((face * (detail**2).sum(axis=2)).sum() / face.sum())
    return float(np.clip(_USUAL / max(power**0.5, 1e-6), 1.0, _LARGEST_BOOST))


def _mean(values: Floats) -> Floats:
    """[rows, columns, channels] → the same shape, each the mean of its neighbourhood."""
    smooth: Floats = gaussian_filter(values, (_NEIGHBORHOOD, _NEIGHBORHOOD, 0.0))
    return smooth
