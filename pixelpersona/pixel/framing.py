"""The three ways to cut a square out of a photo, by the names that settings use, and where its face is."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelpersona.pixel.portrait import TIGHT, WIDE, center_square, crop_around, find_face

_AROUND_THE_FACE = {"tight": TIGHT, "wide": WIDE}
FRAMINGS = (*_AROUND_THE_FACE, "center")

# Half axes, in sides of the picture, of the ellipse around the centre that holds a tightly framed face.
_FACE_AXES = (0.42, 0.50)
_FACE_EDGE = 0.15

F = TypeVar("F", np.float32, np.float64)


def crop_square(image: Image.Image, size: int, framing: str) -> Image.Image:
    """RGB square of `size` pixels: "tight" or "wide" around the face, or the "center" of the photo.

    Raises ValueError for another name.
    """
    return crop_found(image, size, framing)[0]


def crop_found(image: Image.Image, size: int, framing: str) -> tuple[Image.Image, bool]:
    """`crop_square`, and whether it shows what it was to be cut around: False when no face was found."""
    if framing == "center":
        return center_square(image, size), True
    if framing not in _AROUND_THE_FACE:
        raise ValueError(f"framing={framing}: accepted {', '.join(FRAMINGS)}")
    face = find_face(image)
    return crop_around(image, size, _AROUND_THE_FACE[framing], face), face is not None


def face_weight(width: int, height: int, stretch: NDArray[F]) -> NDArray[F]:
    """1 inside the ellipse of a centred, tightly framed face, 0 outside, [..., height, width].

    stretch: [..., 2], factors on the ellipse's width and height; the weights are computed in its dtype.
    """
    half_width, half_height = (axis * stretch[..., i, None, None] for i, axis in enumerate(_FACE_AXES))
    x = ((np.arange(width, dtype=stretch.dtype) + 0.5) / width - 0.5) / half_width
    y = ((np.arange(height, dtype=stretch.dtype) + 0.5) / height - 0.5)[:, None] / half_height
    weight: NDArray[F] = np.clip((1.0 + _FACE_EDGE - (x**2 + y**2)) / (2 * _FACE_EDGE), 0.0, 1.0)
    return weight
