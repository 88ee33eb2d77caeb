"""Square crops of a photo: around a face, or of its centre."""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter


@dataclass(frozen=True, slots=True)
class Face:
    """A square face box: its centre and width in pixels of the photo.

    is_doubtful: few detections agree on it, so it may be something else. See `faces.find_face`.
    """

    x: float
    y: float
    width: float
    is_doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Framing:
    """A square crop of `scale` face widths with the face's centre at `center` (x, y, fractions of the crop).

    The face width is that of `faces.find_face`'s box: about twice the distance between the eyes.
    stays_inside: where the photo ends, move the crop and make it smaller; False: fill what lies beyond.
    """

    scale: float
    center: tuple[float, float]
    stays_inside: bool = False


TIGHT = Framing(1.15, (0.50, 0.40))  # measured on UTKFace, which the tiny base is trained on
# Head and shoulders. The box is 1.3 times as wide as the face itself, so this is 2.2 widths of the face.
PORTRAIT = Framing(1.65, (0.50, 0.47), stays_inside=True)

_LARGEST_SQUARE = 1.15  # times the photo's shorter side
_SMALLEST_SHARE = 0.7  # of the framing's scale, for a crop that stays inside the photo
_NUM_SIDES = 16  # sides that are tried
_SIDE_PRICE = 0.25  # of the squared relative change of the side, against the squared shift in sides
_ROOM = 0.08  # face widths kept free on each side of the box
_FILL_BLURS = (0.01, 0.03, 0.09)  # standard deviations, fractions of the crop
_FILL_FADE = 1.5  # standard deviations of distance from the photo over which a blur sets in


def crop_around(image: Image.Image, size: int, framing: Framing, face: Face | None) -> Image.Image:
    """The square around a face, size x size pixels, mode RGB; the centre square if `face` is None.

    What lies beyond the photo is filled with its border colours, blurred more with the distance. A framing
    that stays inside is moved, and made smaller by up to 30 %, so that this happens only to a face at the
    photo's border. Otherwise the square is at most 1.15 times the photo's shorter side, so that a photo too
    small for the framing gets a narrow border. Raises ValueError when size < 1.
    """
    if face is None:
        return center_square(image, size)
    place = _inside if framing.stays_inside else _around
    left, top, side = place(image.size, framing, face)
    return _filled(image.convert("RGB"), left, top, side, size)


def center_square(image: Image.Image, size: int) -> Image.Image:
    """The largest centred square, size x size pixels, mode RGB. Raises ValueError when size < 1."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return _filled(image.convert("RGB"), left, top, side, size)


def _around(photo_size: tuple[int, int], framing: Framing, face: Face) -> tuple[int, int, int]:
    """Left, top and side of the framing's square; one of the largest side is moved towards the photo."""
    largest = round(_LARGEST_SQUARE * min(photo_size))
    side = max(1, min(largest, round(face.width * framing.scale)))
    left, top = round(face.x - framing.center[0] * side), round(face.y - framing.center[1] * side)
    if side == largest:
        width, height = photo_size
        left, top = _toward(left, side, width), _toward(top, side, height)
    return left, top, side


def _inside(photo_size: tuple[int, int], framing: Framing, face: Face) -> tuple[int, int, int]:
    """Left, top and side of the square inside the photo that differs least from the framing's.

    The face box with `_ROOM` beside it always lies within the square, so a face at the border may move the
    square beyond the photo.
    """
    half = (0.5 + _ROOM) * face.width
    wanted = max(framing.scale * face.width, 2 * half)
    smallest = max(_SMALLEST_SHARE * wanted, 2 * half)
    sides = np.minimum(np.linspace(wanted, smallest, _NUM_SIDES), max(2 * half, min(photo_size)))
    cost = _SIDE_PRICE * (sides / wanted - 1.0) ** 2
    starts = []
    for middle, length, share in zip((face.x, face.y), photo_size, framing.center, strict=True):
        ideal = middle - share * sides
        start = np.clip(ideal, np.minimum(0.0, length - sides), np.maximum(0.0, length - sides))
        start = np.clip(start, middle + half - sides, middle - half)
        cost += ((start - ideal) / sides) ** 2
        starts.append(start)
    best = int(cost.argmin())
    return round(float(starts[0][best])), round(float(starts[1][best])), max(1, round(float(sides[best])))


def _toward(start: int, side: int, length: int) -> int:
    """Shift a span of `side` pixels to minimise how far it extends beyond a photo of `length` pixels."""
    return int(np.clip(start, min(0, length - side), max(0, length - side)))


def cut_square(image: Image.Image, left: int, top: int, side: int) -> Image.Image:
    """The square at (left, top), side x side pixels; beyond the image its nearest pixel is repeated.

    It must overlap the image.
    """
    right, bottom = left + side, top + side
    inside = (max(left, 0), max(top, 0), min(right, image.width), min(bottom, image.height))
    part = np.asarray(image.crop(inside))
    padding = (inside[1] - top, bottom - inside[3]), (inside[0] - left, right - inside[2])
    return Image.fromarray(np.pad(part, (*padding, *[(0, 0)] * (part.ndim - 2)), mode="edge"))


def _filled(image: Image.Image, left: int, top: int, side: int, size: int) -> Image.Image:
    """The square at (left, top), resized to size x size pixels; it may extend beyond the image."""
    if size < 1:
        raise ValueError(f"size={size}: accepted 1 or more")
    square = cut_square(image, left, top, side).resize((size, size), Image.Resampling.LANCZOS)
    # Where the photo begins and ends in the square, in its pixels.
    columns, rows = (
        ((max(start, 0) - start) * size / side, (min(start + side, length) - start) * size / side)
        for start, length in zip((left, top), image.size, strict=True)
    )
    if columns == rows == (0.0, float(size)):
        return square
    return _blur_beyond(square, columns, rows)


def _blur_beyond(square: Image.Image, columns: tuple[float, float], rows: tuple[float, float]) -> Image.Image:
    """Blur what lies beyond the photo, more with the distance: repeated edge pixels would show as streaks.

    columns, rows: where the photo begins and ends, in pixels of the square.
    """
    size = square.width
    middle = np.arange(size) + 0.5
    x, y = (np.maximum(start - middle, middle - end).clip(0.0) for start, end in (columns, rows))
    distance = np.hypot(x, y[:, None])[..., None]
    pixels = np.asarray(square, dtype=np.float64)
    for blur in _FILL_BLURS:
        sigma = blur * size
        share = (distance / (_FILL_FADE * sigma)).clip(0.0, 1.0)
        pixels = pixels + share * (gaussian_filter(pixels, (sigma, sigma, 0.0), mode="nearest") - pixels)
    return Image.fromarray(np.rint(pixels).astype(np.uint8))
