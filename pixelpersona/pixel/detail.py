"""Detail transfer from a photo to a drawing of it: eyes and glasses are too small for the model to redraw.

An image is split into a local mean (base) and the difference from it (detail), as in Durand & Dorsey 2002,
"Fast bilateral filtering for the display of high-dynamic-range images". Where the photo's detail is strong it
replaces the drawing's (Petschnigg et al. 2004, "Digital photography with flash and no-flash image pairs");
lighting, colours and surfaces remain those of the drawing.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pixelpersona.pixel.framing import face_weight
from pixelpersona.pixel.palette import oklab_to_srgb, srgb_to_oklab, to_uint8

Floats = NDArray[np.floating[Any]]

_NEIGHBORHOOD = 3.5  # cells: standard deviation of the Gaussian mean
_FAINT, _STRONG = 0.02, 0.06  # OKLab distance from the mean: skin texture below, facial features above
_USUAL = 0.10  # root mean square of the detail inside the face of a photo with clear features
_LARGEST_BOOST = 2.0


def transfer_detail(
    cells: NDArray[np.uint8], photo_cells: NDArray[np.uint8], gain: float
) -> tuple[NDArray[np.uint8], Floats]:
    """Replace the drawing's detail by the photo's where the photo's is strong.

    cells (drawing), photo_cells: uint8 [rows, columns, 3] sRGB, one colour per cell of the same grid. gain:
    factor on the photo's detail. If the detail inside the face ellipse at the centre is weak (a dark, hazy or
    flatly lit photo), it is first amplified to a typical level, at most by a factor of 2.
    Returns uint8 [rows, columns, 3] and the blending weight, float [rows, columns] from 0 (the drawing's
    detail) to 1 (the photo's). Raises ValueError when the shapes differ or gain is not above 0.
    """
    if cells.shape != photo_cells.shape:
        raise ValueError(f"photo_cells: {photo_cells.shape} does not match cells {cells.shape}")
    if not gain > 0.0:
        raise ValueError(f"gain={gain}: accepted above 0")
    drawn, wanted = (srgb_to_oklab(picture / 255.0) for picture in (cells, photo_cells))
    detail = wanted - _mean(wanted)
    detail *= _boost(detail)
    strength = ((np.linalg.norm(detail, axis=2) - _FAINT) / (_STRONG - _FAINT)).clip(0.0, 1.0)
    strength = strength**2 * (3.0 - 2.0 * strength)  # smoothstep: no visible border around a feature
    mixed = drawn + strength[..., None] * (gain * detail - (drawn - _mean(drawn)))
    mixed[..., 0] = mixed[..., 0].clip(0.0, 1.0)
    return to_uint8(oklab_to_srgb(mixed)), strength


def _boost(detail: Floats) -> float:
    """Amplification of the photo's detail, 1 for clear features up to 2 for weak ones."""
    face = face_weight(detail.shape[1], detail.shape[0], np.ones(2))
    power = float((face * (detail**2).sum(axis=2)).sum() / face.sum())
    return float(np.clip(_USUAL / max(power**0.5, 1e-6), 1.0, _LARGEST_BOOST))


def _mean(values: Floats) -> Floats:
    """Gaussian mean per channel of [rows, columns, channels]."""
    smooth: Floats = gaussian_filter(values, (_NEIGHBORHOOD, _NEIGHBORHOOD, 0.0))
    return smooth
