"""What an artist does before drawing small: full tones, flat surfaces, clear features, clear colours."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.restoration import denoise_tv_chambolle

from pixelpersona.pixel.palette import oklab_to_srgb, srgb_to_oklab, to_uint8

_DARKEST, _BRIGHTEST = 0.15, 0.93  # OKLab lightness that the tones are stretched to
_OUTLIERS = 2.0  # percent of the pixels at either end that may be clipped
_NEIGHBORHOOD = 2.5  # cells; a feature is darker or brighter than what lies so far around it


@dataclass(frozen=True, slots=True, kw_only=True)
class Clarity:
    """How much of each is done; the defaults leave a picture as it is.

    levels: 0 to 1, how far lightness is stretched to the full range of tones (between its 2nd and 98th
    percentile). flatness: weight of a total-variation filter (Chambolle 2004, "An algorithm for total
    variation minimization and applications"), which levels skin and cloth and keeps outlines; 0 none, 0.1
    strong. local_contrast: how much a difference from the neighbourhood's mean lightness is exaggerated:
    eyes, brows and lips are small, and a cell's mean washes them out. saturation: factor on OKLab's chroma,
    0 to 4.
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
    lab = srgb_to_oklab(image[..., :3] / 255.0)
    if clarity.levels > 0.0:
        low, high = np.percentile(lab[..., 0], [_OUTLIERS, 100.0 - _OUTLIERS])
        if high > low:
            stretched = _DARKEST + (lab[..., 0] - low) / (high - low) * (_BRIGHTEST - _DARKEST)
            lab[..., 0] += clarity.levels * (stretched - lab[..., 0])
    if clarity.flatness > 0.0:
        lab = denoise_tv_chambolle(lab, weight=clarity.flatness, channel_axis=-1)
    if clarity.local_contrast > 0.0:
        around = gaussian_filter(lab[..., 0], _NEIGHBORHOOD * cell)
        lab[..., 0] += clarity.local_contrast * (lab[..., 0] - around)
    lab[..., 0] = lab[..., 0].clip(0.0, 1.0)
    lab[..., 1:] *= clarity.saturation
    clear = to_uint8(oklab_to_srgb(lab))
    return clear if image.shape[2] == 3 else np.concatenate([clear, image[..., 3:]], axis=2)
