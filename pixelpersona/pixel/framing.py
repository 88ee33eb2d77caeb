"""Square crops of a photo by the name of a framing, and where the face or the head is in them."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelpersona.pixel.crop import PORTRAIT, TIGHT, Face, center_square, crop_around
from pixelpersona.pixel.faces import find_face

_AROUND_THE_FACE = {"tight": TIGHT, "portrait": PORTRAIT}
FRAMINGS = (*_AROUND_THE_FACE, "center")

# Left, top, right and bottom of `face_part` in a head-and-shoulders portrait: 32 of 48 cells, so that a base
# of 48 cells needs no resizing. A tight crop of the same photo would be 5 % larger.
_FACE_PART = (8 / 48, 10 / 48, 40 / 48, 42 / 48)

_FACE_AXES = (0.42, 0.50)  # half axes of the ellipse, as fractions of the image's width and height
_FACE_EDGE = 0.15  # half width of its soft edge, in squared normalised distance

_HEAD_CENTER = (0.50, 0.47)  # of a head-and-shoulders portrait (`crop.PORTRAIT`), as fractions of the image
_HEAD_AXES = (0.27, 0.36)  # half axes of the ellipse around face and hair
_HEAD_EDGE = 0.3  # width of its soft edge, in half axes
_LARGEST_FOCUS = 8.0

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


def face_part(width: int, height: int, framing: str) -> tuple[int, int, int, int]:
    """The box of the face in a picture of this framing: left, top, right and bottom in pixels.

    Of "portrait" it shows about what a "tight" crop does; otherwise it is the whole picture.
    """
    if framing != "portrait":
        return 0, 0, width, height
    left, top, right, bottom = _FACE_PART
    return round(left * width), round(top * height), round(right * width), round(bottom * height)


def framed_face_weight(width: int, height: int, framing: str) -> NDArray[np.float64]:
    """`face_weight` inside of `face_part`, 0 around it, float64 [height, width]."""
    left, top, right, bottom = face_part(width, height, framing)
    weight = np.zeros((height, width))
    weight[top:bottom, left:right] = face_weight(right - left, bottom - top, np.ones(2))
    return weight


def face_weight(width: int, height: int, stretch: NDArray[F]) -> NDArray[F]:
    """A soft mask [..., height, width]: 1 inside the ellipse of a tightly framed, centred face, 0 outside.

    stretch: [..., 2], factors on the ellipse's width and height; its dtype is that of the mask.
    """
    half_width, half_height = (axis * stretch[..., i, None, None] for i, axis in enumerate(_FACE_AXES))
    x = ((np.arange(width, dtype=stretch.dtype) + 0.5) / width - 0.5) / half_width
    y = ((np.arange(height, dtype=stretch.dtype) + 0.5) / height - 0.5)[:, None] / half_height
    weight: NDArray[F] = np.clip((1.0 + _FACE_EDGE - (x**2 + y**2)) / (2 * _FACE_EDGE), 0.0, 1.0)
    return weight


def head_weight(width: int, height: int, size: float = 1.0) -> NDArray[np.float64]:
    """A soft mask [height, width]: 1 inside the ellipse of the head in a head-and-shoulders portrait.

    It decreases to 0 at 1.3 times the ellipse's half axes. size: factor on them.
    """
    x = ((np.arange(width) + 0.5) / width - _HEAD_CENTER[0]) / (size * _HEAD_AXES[0])
    y = ((np.arange(height) + 0.5) / height - _HEAD_CENTER[1])[:, None] / (size * _HEAD_AXES[1])
    weight: NDArray[np.float64] = ((1.0 + _HEAD_EDGE - np.hypot(x, y)) / _HEAD_EDGE).clip(0.0, 1.0)
    return weight


@dataclass(frozen=True, kw_only=True)
class Focus:
    """How much more the head counts than the rest of a head-and-shoulders portrait.

    focus: 1 to 8. The head gets that many times the weight in the palette; outside of it, surfaces are
    flattened and smoothed that many times as strongly, and contrast is amplified that much less. 1 treats the
    whole image alike.
    """

    focus: float = 1.0

    def check_focus(self, group: str) -> None:
        """Raise ValueError "`group`.focus=value: accepted ..." when it is out of range."""
        if not 1.0 <= self.focus <= _LARGEST_FOCUS:
            raise ValueError(f"{group}.focus={self.focus}: accepted 1 to {_LARGEST_FOCUS:g}")

    def outside(self, width: int, height: int) -> NDArray[np.float64]:
        """Factor on smoothing: 1 in the head to `focus` outside of it, float64 [height, width]."""
        return self.focus ** (1.0 - head_weight(width, height))

    def inside(self, width: int, height: int) -> NDArray[np.float64]:
        """Weight of cells: `focus` in the head to 1 outside of it, float64 [height, width]."""
        return 1.0 + (self.focus - 1.0) * head_weight(width, height)
