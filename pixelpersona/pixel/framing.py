"""Square crops of a photo by the name of a framing, and the ellipse that holds a tightly framed face."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelpersona.pixel.crop import PORTRAIT, TIGHT, Face, center_square, crop_around
from pixelpersona.pixel.faces import find_face

_AROUND_THE_FACE = {"tight": TIGHT, "portrait": PORTRAIT}
FRAMINGS = (*_AROUND_THE_FACE, "center")

_FACE_AXES = (0.42, 0.50)  # half axes of the ellipse, as fractions of the image's width and height
_FACE_EDGE = 0.15  # half width of its soft edge, in squared normalised distance

F = TypeVar("F", np.float32, np.float64)


def crop_square(image: Image.Image, size: int, framing: str) -> Image.Image:
    """RGB square of `size` pixels: "tight" or "portrait" around the face, or the "center" of the photo.

    The centre is also used when no face is found. Raises ValueError for another framing.
    """
    return crop_framed(image, size, framing, find_face(image) if needs_face(framing) else None)


def needs_face(framing: str) -> bool:
    """Whether a framing is a crop around the face. Raises ValueError for an unknown one."""
    if framing not in FRAMINGS:
        raise ValueError(f"framing={framing}: accepted {', '.join(FRAMINGS)}")
    return framing in _AROUND_THE_FACE


def crop_framed(image: Image.Image, size: int, framing: str, face: Face | None) -> Image.Image:
    """`crop_square` around a face that was found before; the centre when `face` is None.

    framing: one that `needs_face`, if there is a face.
    """
    if face is None:
        return center_square(image, size)
    return crop_around(image, size, _AROUND_THE_FACE[framing], face)


def face_weight(width: int, height: int, stretch: NDArray[F]) -> NDArray[F]:
    """A soft mask [..., height, width]: 1 inside the ellipse of a tightly framed, centred face, 0 outside.

    stretch: [..., 2], factors on the ellipse's width and height; its dtype is that of the mask.
    """
    half_width, half_height = (axis * stretch[..., i, None, None] for i, axis in enumerate(_FACE_AXES))
    x = ((np.arange(width, dtype=stretch.dtype) + 0.5) / width - 0.5) / half_width
    y = ((np.arange(height, dtype=stretch.dtype) + 0.5) / height - 0.5)[:, None] / half_height
    weight: NDArray[F] = np.clip((1.0 + _FACE_EDGE - (x**2 + y**2)) / (2 * _FACE_EDGE), 0.0, 1.0)
    return weight
