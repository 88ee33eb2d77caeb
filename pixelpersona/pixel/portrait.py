"""Head-and-shoulders crop: where the face is, and the square around it."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image
from skimage.data import lbp_frontal_face_cascade_filename
from skimage.feature import Cascade

_SEARCH_SIDE = 400  # the cascade sees a copy with this long side: speed and window sizes are tuned to it
_SMALLEST_FACES = (48, 24)  # looking for large faces takes a fifth of the time, and most portraits have one
_LARGEST_FACE = 380


@dataclass(frozen=True, slots=True)
class Framing:
    """A square of `scale` face widths, with the middle of the face at `center` (x, y) of it, both 0-1."""

    scale: float
    center: tuple[float, float]


TIGHT = Framing(1.45, (0.48, 0.41))  # UTKFace's own framing, which the tiny base is trained on
WIDE = Framing(1.9, (0.5, 0.5))  # head and shoulders, for Stable Diffusion 1.5
FRAMINGS = ("tight", "wide", "center")


@dataclass(frozen=True, slots=True)
class _Face:
    """A box in the photo's own pixels: its centre and its width."""

    x: float
    y: float
    width: float


@cache
def _cascade() -> Cascade:
    return Cascade(lbp_frontal_face_cascade_filename())


def _find_face(image: Image.Image) -> _Face | None:
    """The largest face that is not far from the middle, or None."""
    factor = _SEARCH_SIDE / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    if min(size) < _SMALLEST_FACES[-1]:
        return None
    grey = np.asarray(image.convert("L").resize(size, Image.Resampling.BILINEAR), dtype=np.float32) / 255.0
    for smallest in _SMALLEST_FACES:
        boxes = _cascade().detect_multi_scale(
            grey,
            scale_factor=1.2,
            step_ratio=1,
            min_size=(smallest, smallest),
            max_size=(_LARGEST_FACE, _LARGEST_FACE),
        )
        if boxes:
            break
    else:
        return None

    def rank(box: dict[str, int]) -> tuple[float, int, int]:
        x = (box["c"] + box["width"] / 2) / size[0] - 0.5
        y = (box["r"] + box["height"] / 2) / size[1] - 0.5
        # At a corner a face counts half of its width in the middle; corners break ties the same way always.
        return box["width"] * (1.0 - 0.5 * min(1.0, float(np.hypot(x, y)) / 0.7)), -box["r"], -box["c"]

    best = max(boxes, key=rank)
    center = (best["c"] + best["width"] / 2, best["r"] + best["height"] / 2)
    return _Face(center[0] / factor, center[1] / factor, best["width"] / factor)


def crop_portrait(image: Image.Image, size: int, framing: Framing = TIGHT) -> Image.Image:
    """The square around the face, size x size pixels, mode RGB; the middle square when no face is found.

    Where the square leaves the photo, the photo's edge is repeated. The face is found by scikit-image's LBP
    cascade (Liao et al. 2007) on a copy of 400 pixels; the same photo always gives the same crop.
    Raises ValueError when size < 1.
    """
    image = image.convert("RGB")
    face = _find_face(image)
    if face is None:
        return center_square(image, size)
    side = max(1, round(face.width * framing.scale))
    left = round(face.x - framing.center[0] * side)
    top = round(face.y - framing.center[1] * side)
    return _resize(_square(image, left, top, side), size)


def center_square(image: Image.Image, size: int) -> Image.Image:
    """The largest square in the middle, size x size pixels, mode RGB. Raises ValueError when size < 1."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return _resize(_square(image.convert("RGB"), left, top, side), size)


def _square(image: Image.Image, left: int, top: int, side: int) -> Image.Image:
    """Cut a square that may leave the picture; outside, the nearest edge pixel is repeated."""
    right, bottom = left + side, top + side
    inside = (max(left, 0), max(top, 0), min(right, image.width), min(bottom, image.height))
    part = np.asarray(image.crop(inside))
    padding = (inside[1] - top, bottom - inside[3]), (inside[0] - left, right - inside[2]), (0, 0)
    return Image.fromarray(np.pad(part, padding, mode="edge"))


def _resize(image: Image.Image, size: int) -> Image.Image:
    if size < 1:
        raise ValueError(f"size: {size} is below 1")
    return image.resize((size, size), Image.Resampling.LANCZOS)


def crop_square(image: Image.Image, size: int, framing: str) -> Image.Image:
    """The square of `size` pixels that a framing's name asks for: "tight" or "wide" around the face, "center".

    Raises ValueError for another name.
    """
    match framing:
        case "tight":
            return crop_portrait(image, size, TIGHT)
        case "wide":
            return crop_portrait(image, size, WIDE)
        case "center":
            return center_square(image, size)
    raise ValueError(f"framing={framing}: accepted {', '.join(FRAMINGS)}")
