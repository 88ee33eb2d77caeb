"""Head-and-shoulders crop: where the face is, and the square around it."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from skimage.data import lbp_frontal_face_cascade_filename
from skimage.feature import Cascade


@dataclass(frozen=True, slots=True)
class Framing:
    """A square of `scale` face widths, with the middle of the face at `center` (x, y) of it, both 0-1.

    A face's width is that of the box `find_face` gives: about twice the distance between the eyes.
    """

    scale: float
    center: tuple[float, float]


TIGHT = Framing(1.15, (0.50, 0.40))  # UTKFace's own, measured on its photos: the tiny base is trained on it
WIDE = Framing(1.8, (0.5, 0.5))  # head and shoulders, for Stable Diffusion 1.5


@dataclass(frozen=True, slots=True)
class Face:
    """A square box in the photo's own pixels: its middle and its width."""

    x: float
    y: float
    width: float


@dataclass(frozen=True, slots=True)
class _Search:
    """The cascade's view: the photo with this long side, this margin around it, faces from this width.

    tilts: degrees the photo is turned by first. fewest: windows that must agree on a face; without one in it,
    photos of things have fewer. closing: an odd number of pixels; dark lines narrower than it are wiped out
    (morphological closing), 0 leaves them.
    """

    long_side: int
    margin: int
    smallest: int
    step: float  # from one window width to the next
    fewest: int
    tilts: tuple[float, ...] = (0.0,)
    closing: int = 0


_TILTED = (-20.0, 20.0)  # the cascade knows upright faces, give or take 10 degrees
# Close-ups first: the margin lets the cascade's window leave the photo, which faces that fill it need; once
# more without thin dark lines, for thick frames of glasses hide a face from the cascade. Then, on larger
# copies, the small faces of group photos and full figures. What is more often wrong comes later.
_SEARCHES = (
    _Search(200, 50, 32, 1.1, fewest=4),
    _Search(200, 50, 32, 1.1, fewest=4, tilts=_TILTED),
    _Search(200, 50, 32, 1.1, fewest=4, closing=7),
    _Search(400, 0, 24, 1.2, fewest=4),
    _Search(400, 0, 24, 1.2, fewest=6, tilts=_TILTED),
    _Search(800, 0, 24, 1.2, fewest=10),
)
_SMALLEST_PHOTO = 24  # pixels on a side: the width of the window the cascade was trained on
_LARGEST_SQUARE = 1.15  # shorter sides of the photo
_MIN_OVERLAP = 0.5  # windows that share this much of their union show the same face
_MIN_SUPPORT = 0.5  # share of the windows of the most certain face that another one must have


@cache
def _cascade() -> Cascade:
    return Cascade(lbp_frontal_face_cascade_filename())


def find_face(image: Image.Image) -> Face | None:
    """The most certain, large face not far from the middle, or None.

    By scikit-image's cascade of local binary patterns (Liao et al. 2007). The same photo, the same answer.
    """
    if min(image.size) < _SMALLEST_PHOTO:
        return None
    grey = image.convert("L")
    for search in _SEARCHES:
        found = [best for tilt in search.tilts if (best := _search(grey, search, tilt)) is not None]
        if found:
            return max(found, key=lambda best: best[0])[1]
    return None


def face_support(image: Image.Image) -> int:
    """How many of the cascade's windows agree on the upright face that most of them see; 0 where none does.

    How clearly a face can be seen: a dozen and more in most photos cut to one face, few in a malformed one.
    """
    if min(image.size) < _SMALLEST_PHOTO:
        return 0
    search = _SEARCHES[0]
    grey = image.convert("L")
    windows = _windows(grey, _scaled(grey, search), search)
    return int(_agreement(windows).sum(axis=1).max(initial=0))


def _scaled(grey: Image.Image, search: _Search) -> tuple[int, int]:
    factor = search.long_side / max(grey.size)
    return max(1, round(grey.width * factor)), max(1, round(grey.height * factor))


def _search(grey: Image.Image, search: _Search, tilt: float) -> tuple[float, Face] | None:
    """Score of the best face of a photo turned by `tilt` degrees, and its place in the photo as it was."""
    turned = grey.rotate(tilt, Image.Resampling.BICUBIC, expand=True, fillcolor=128) if tilt else grey
    factor, size = search.long_side / max(turned.size), _scaled(turned, search)
    if min(size) < search.smallest:
        return None
    best = _best_window(_windows(turned, size, search), size, search.fewest)
    if best is None:
        return None
    score, (x, y, width) = best
    cos, sin = np.cos(np.deg2rad(tilt)), np.sin(np.deg2rad(tilt))
    x, y = x / factor - turned.width / 2, y / factor - turned.height / 2
    x, y = cos * x - sin * y + grey.width / 2, sin * x + cos * y + grey.height / 2
    return score, Face(float(x), float(y), float(width / factor))


def _windows(image: Image.Image, size: tuple[int, int], search: _Search) -> NDArray[np.float64]:
    """Every window in which the cascade sees a face: middle x, y and width in a copy of `size`, [N, 3]."""
    small = image.resize(size, Image.Resampling.BICUBIC)
    if search.closing:
        small = small.filter(ImageFilter.MaxFilter(search.closing))
        small = small.filter(ImageFilter.MinFilter(search.closing))
    grey = np.pad(np.asarray(small, dtype=np.float32) / 255.0, search.margin, mode="edge")
    boxes = _cascade().detect_multi_scale(
        grey,
        scale_factor=search.step,
        step_ratio=1,
        min_size=(search.smallest, search.smallest),
        max_size=(search.long_side, search.long_side),
        min_neighbor_number=1,
        intersection_score_threshold=1.1,  # never reached: its merging prefers whatever came first
    )
    found = [(b["c"] + b["width"] / 2, b["r"] + b["height"] / 2, b["width"]) for b in boxes]
    return np.array(sorted(found), dtype=np.float64).reshape(-1, 3) - (search.margin, search.margin, 0)


def _agreement(windows: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which windows [N, 3] show the same face, [N, N]."""
    middle, width = windows[:, :2], windows[:, 2]
    low = np.maximum(middle[:, None] - width[:, None, None] / 2, middle[None] - width[None, :, None] / 2)
    high = np.minimum(middle[:, None] + width[:, None, None] / 2, middle[None] + width[None, :, None] / 2)
    shared = np.clip(high - low, 0.0, None).prod(axis=2)
    found: NDArray[np.bool_] = shared / (width[:, None] ** 2 + width[None] ** 2 - shared) >= _MIN_OVERLAP
    return found


def _best_window(
    windows: NDArray[np.float64], size: tuple[int, int], fewest: int
) -> tuple[float, NDArray[np.float64]] | None:
    """Score and median [3] of the windows that agree on the best face, or None when too few agree on any."""
    if len(windows) == 0:
        return None
    middle, width, same = windows[:, :2], windows[:, 2], _agreement(windows)
    support = same.sum(axis=1)
    if support.max() < fewest:
        return None
    # At a corner of the photo a face counts half of what it counts in the middle.
    off_center = np.hypot(*(middle / size - 0.5).T) / np.hypot(0.5, 0.5)
    score = support * np.sqrt(width) * (1.0 - 0.5 * np.minimum(1.0, off_center))
    score[support < max(fewest, _MIN_SUPPORT * support.max())] = -1.0
    best = int(score.argmax())
    return float(score[best]), np.median(windows[same[best]], axis=0)


def crop_portrait(image: Image.Image, size: int, framing: Framing = TIGHT) -> Image.Image:
    """The square around the face that `find_face` finds, as `crop_around` cuts it."""
    return crop_around(image, size, framing, find_face(image))


def crop_around(image: Image.Image, size: int, framing: Framing, face: Face | None) -> Image.Image:
    """The square around a face, size x size pixels, mode RGB; the middle square for None.

    Where the square leaves the photo, the photo's edge is repeated; a photo too tight for the framing is kept
    whole with a narrow border, not drawn out into streaks. Raises ValueError when size < 1.
    """
    image = image.convert("RGB")
    if face is None:
        return center_square(image, size)
    largest = round(_LARGEST_SQUARE * min(image.size))
    side = max(1, min(largest, round(face.width * framing.scale)))
    left = round(face.x - framing.center[0] * side)
    top = round(face.y - framing.center[1] * side)
    if side == largest:
        left, top = _toward(image.width, side, left), _toward(image.height, side, top)
    return _resize(_square(image, left, top, side), size)


def center_square(image: Image.Image, size: int) -> Image.Image:
    """The largest square in the middle, size x size pixels, mode RGB. Raises ValueError when size < 1."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return _resize(_square(image.convert("RGB"), left, top, side), size)


def _toward(length: int, side: int, start: int) -> int:
    """Move a span of `side` pixels so that it leaves a photo of `length` pixels as little as it can."""
    return int(np.clip(start, min(0, length - side), max(0, length - side)))


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
