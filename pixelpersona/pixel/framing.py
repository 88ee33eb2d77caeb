"""Square crops of a photo by the name of a framing, and the ellipse that holds a tightly framed face."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelpersona.pixel.faces import TIGHT, WIDE, center_square, crop_around, find_face

_AROUND_THE_FACE = {"tight": TIGHT, "wide": WIDE}
FRAMINGS = (*_AROUND_THE_FACE, "center")

_FACE_AXES = (0.42, 0.50)  # half axes of the ellipse, as fractions of the image's width and height
_FACE_EDGE = 0.15  # half width of its soft edge, in squared normalised distance

F = TypeVar("F", np.float32, np.float64)


def crop_square(image: Image.Image, size: int, framing: str) -> Image.Image:
    """RGB square of `size` pixels: "tight" or "wide" around the face, or the "center" of the photo.

    Raises ValueError for another framing.
    """
    return crop_found(image, size, framing)[0]


def crop_found(image: Image.Image, size: int, framing: str) -> tuple[Image.Image, bool]:
    """`crop_square`, and False if the framing needs a face and none was found (then it is the centre)."""
    if framing == "center":
        return center_square(image, size), True
    if framing not in _AROUND_THE_FACE:
        raise ValueError(f"framing={framing}: accepted {', '.join(FRAMINGS)}")
    face = find_face(image)
    return crop_around(image, size, _AROUND_THE_FACE[framing], face), face is not None


def face_weight(width: int, height: int, stretch: NDArray[F]) -> NDArray[F]:
    """A soft mask [..., height, width]: 1 inside the ellipse of a tightly framed, centred face, 0 outside.

    stretch: [..., 2], factors on the ellipse's width and height; its dtype is that of the mask.
    """
    half_width, half_height = (axis * stretch[..., i, None, None] for i, axis in enumerate(_FACE_AXES))
    x = ((np.arange(width, dtype=stretch.dtype) + 0.5) / width - 0.5) / half_width
    y = ((np.arange(height, dtype=stretch.dtype) + 0.5) / height - 0.5)[:, None] / half_height
    weight: NDArray[F] = np.clip((1.0 + _FACE_EDGE - (x**2 + y**2)) / (2 * _FACE_EDGE), 0.0, 1.0)
    return weight
