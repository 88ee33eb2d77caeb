"""Face detection."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, product
from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.data import lbp_frontal_face_cascade_filename
from skimage.feature import Cascade

from pixelpersona.pixel.crop import PORTRAIT, Face, cut_square
from pixelpersona.pixel.landmarks import find_landmarks


@dataclass(frozen=True, slots=True)
class _Search:
    """One pass of the cascade detector.

    long_side: the photo is resized to it. margin: padding around it. smallest: smallest face width. All in
    pixels. step: factor from one window width to the next. fewest: number of overlapping detections required
    for a face. tilts: rotations of the photo in degrees.
    """

    long_side: int
    margin: int
    smallest: int
    step: float
    fewest: int
    tilts: tuple[float, ...] = (0.0,)


# Close-ups; then small faces in group photos and full figures, on larger copies. The margin lets detection
# windows extend beyond the photo.
_CLOSE_UPS = _Search(200, 50, 32, 1.1, fewest=4)
_SMALLER = (
    _Search(400, 0, 24, 1.2, fewest=4),
    _Search(400, 0, 24, 1.2, fewest=6, tilts=(-20.0, 20.0)),
    _Search(800, 0, 24, 1.2, fewest=10),
)
_COUNTED = (_CLOSE_UPS, *_SMALLER[:2])  # the searches of `find_others`
_CLEAR = 6  # number of overlapping detections of a face that is as clear as any
_MIN_SUPPORT = 0.5  # fraction of the best-supported face's windows that a candidate needs if it is not clear
_SMALLEST_PHOTO = 24  # pixels on a side: the width of the window the cascade was trained on
_MIN_OVERLAP = 0.5  # intersection over union from which two windows show the same face
# The landmark network looks at squares of these sides, in shorter sides of the photo, a quarter of their side
# apart.
_SCANNED = (1.0, 0.75, 0.55)
_SCAN_STEP = 0.25
# Confidence of landmarks that no other detection supports: of a face as large as the photo, and of any other,
# as the many smaller squares make chance finds likely. A face below the second is doubtful.
_LIKELY, _SURE = 0.15, 0.185
_SHORT_SIDE, _INPUT_SIDE = 512, 64  # pixels: of the smaller copy, and of what the network sees
_FACE_WIDTH = 2.7  # of the box, in eye distances
_BELOW_THE_EYES = 0.31  # of the box's centre, in eye distances
_TURNED = 0.97  # eye distance of a frontal face, in distances from the eyes to the mouth
_NEAR, _SIMILAR = 0.5, 1.8  # box widths, factor: between a detection and the landmarks that confirm it


@cache
def _cascade() -> Cascade:
    return Cascade(lbp_frontal_face_cascade_filename())


def find_face(image: Image.Image) -> Face | None:
    """The largest and most central face, or None. Deterministic.

    Faces are proposed by scikit-image's cascade of local binary patterns (Liao et al. 2007), which takes some
    cats and patterns for faces and misses some that are tilted or behind glasses. The landmark network
    (`landmarks.find_landmarks`) confirms them and places the box; if it confirms none, it scans the photo
    itself. A face that it does not confirm, of less than 24 pixels, or of which it is not sure is doubtful.
    Measured on photos of many kinds: experiments/detection.
    """
    if min(image.size) < _SMALLEST_PHOTO:
        return None
    photo, grey = _Photo(image), image.convert("L")
    unconfirmed = None
    for search in (_CLOSE_UPS, *_SMALLER, None):
        proposed = _scan(photo) if search is None else _proposed(grey, search)
        confirmed = [face for one in proposed if (face := _confirmed(photo, one)) is not None]
        if confirmed:
            return max(confirmed, key=lambda face: _prominence(face, photo.size))
        if unconfirmed is None and proposed:
            unconfirmed = replace(proposed[0], is_doubtful=True)
    return unconfirmed


def find_others(image: Image.Image, face: Face) -> list[Face]:
    """The other faces of a photo in which `find_face` has found `face`.

    Doubtful ones are left out, and those less than a third as wide as `face`, such as passers-by.
    """
    photo, grey = _Photo(image), image.convert("L")
    faces = [face]
    for search in _COUNTED:
        for one in _proposed(grey, search):
            other = None if any(_overlap(one, known) for known in faces) else _confirmed(photo, one)
            if other is None or other.is_doubtful or other.width * 3 < face.width:
                continue
            if not any(_overlap(other, known) for known in faces):
                faces.append(other)
    return faces[1:]


def _proposed(grey: Image.Image, search: _Search) -> list[Face]:
    """What the cascade takes for faces, at each tilt the best first."""
    return list(chain.from_iterable(_search(grey, search, tilt) for tilt in search.tilts))


class _Photo:
    """A photo and a smaller copy of it, in which the landmark network looks at large squares."""

    def __init__(self, image: Image.Image) -> None:
        self.size = image.size
        self._image = image.convert("RGB")
        self._scale = min(1.0, _SHORT_SIDE / min(image.size))
        width, height = (max(1, round(self._scale * length)) for length in image.size)
        self._small = self._image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)

    def face(self, left: int, top: int, side: int) -> tuple[Face, float] | None:
        """The face in the square at (left, top), by its landmarks, and their confidence; None without one."""
        image, scale = self._image, 1.0
        if side * self._scale >= _INPUT_SIDE:
            image, scale = self._small, self._scale
        corner = round(left * scale), round(top * scale)
        found = find_landmarks(np.asarray(cut_square(image, *corner, max(1, round(side * scale)))))
        if found is None:
            return None
        eyes, down = found.eyes.mean(axis=0), found.mouth.mean(axis=0) - found.eyes.mean(axis=0)
        length = float(np.linalg.norm(down))
        size = max(found.eye_distance, _TURNED * length)
        x, y = (corner + eyes + _BELOW_THE_EYES * size / length * down) / scale
        width = _FACE_WIDTH * size / scale
        return Face(float(x), float(y), width, is_doubtful=width < _SMALLEST_PHOTO), found.confidence


def _scan(photo: _Photo) -> list[Face]:
    """The face of which the landmark network is most certain, among squares all over the photo; or none."""
    best: list[Face] = []
    most = 0.0
    for share in _SCANNED:
        side = round(share * min(photo.size))
        lefts, tops = (_starts(length, side) for length in photo.size)
        for left, top in product(lefts, tops):
            found = photo.face(left, top, side)
            if found is not None and found[1] > max(most, _LIKELY if share == 1.0 else _SURE):
                best, most = [replace(found[0], is_doubtful=found[1] < _SURE)], found[1]
    return best


def _starts(length: int, side: int) -> list[int]:
    """Where spans of `side` pixels start: evenly spaced over a length, at most a quarter of a side apart."""
    count = 1 + ceil((length - side) / (_SCAN_STEP * side))
    return sorted({round(start) for start in np.linspace(0, length - side, count)})


def _confirmed(photo: _Photo, proposed: Face) -> Face | None:
    """The face at a proposed place, by its landmarks; None when the network finds none there."""
    side = max(1, round(PORTRAIT.scale * proposed.width))
    left, top = round(proposed.x - PORTRAIT.center[0] * side), round(proposed.y - PORTRAIT.center[1] * side)
    found = photo.face(left, top, side)
    if found is None:
        return None
    face = replace(found[0], is_doubtful=found[0].is_doubtful or proposed.is_doubtful)
    is_near = np.hypot(face.x - proposed.x, face.y - proposed.y) <= _NEAR * proposed.width
    is_similar = proposed.width / _SIMILAR <= face.width <= proposed.width * _SIMILAR
    return face if is_near and is_similar else None


def _prominence(face: Face, photo_size: tuple[int, int]) -> float:
    """Width of a face; at a corner of the photo it counts half as much as at the centre."""
    away = np.hypot(face.x / photo_size[0] - 0.5, face.y / photo_size[1] - 0.5) / np.hypot(0.5, 0.5)
    return face.width * (1.0 - 0.5 * min(1.0, float(away)))


def _overlap(a: Face, b: Face) -> bool:
    """Whether two boxes overlap by more than those of two heads side by side."""
    return max(abs(a.x - b.x), abs(a.y - b.y)) <= 0.4 * (a.width + b.width)


def face_support(image: Image.Image) -> int:
    """Number of overlapping detections of the best-supported upright face, 0 if there is none.

    Measures how clearly a face is visible: a dozen or more in most face crops, few for a malformed face.
    """
    if min(image.size) < _SMALLEST_PHOTO:
        return 0
    return _support(image.convert("L"))


def _support(grey: Image.Image) -> int:
    """Number of overlapping detections of the best-supported upright face, 0 if there is none."""
    search = _CLOSE_UPS
    windows = _windows(grey, _scaled(grey, search), search)
    return int(_agreement(windows).sum(axis=1).max(initial=0))


def _scaled(grey: Image.Image, search: _Search) -> tuple[int, int]:
    factor = search.long_side / max(grey.size)
    return max(1, round(grey.width * factor)), max(1, round(grey.height * factor))


def _search(grey: Image.Image, search: _Search, tilt: float) -> Iterator[Face]:
    """The faces in the photo rotated by `tilt` degrees, best first; boxes are in the original photo."""
    turned = grey.rotate(tilt, Image.Resampling.BICUBIC, expand=True, fillcolor=128) if tilt else grey
    factor, size = search.long_side / max(turned.size), _scaled(turned, search)
    if min(size) < search.smallest:
        return
    cos, sin = np.cos(np.deg2rad(tilt)), np.sin(np.deg2rad(tilt))
    for x, y, width in _best_windows(_windows(turned, size, search), size, search.fewest):
        x, y = x / factor - turned.width / 2, y / factor - turned.height / 2
        x, y = cos * x - sin * y + grey.width / 2, sin * x + cos * y + grey.height / 2
        yield Face(float(x), float(y), float(width / factor))


def _windows(image: Image.Image, size: tuple[int, int], search: _Search) -> NDArray[np.float64]:
    """All detections in a copy of `size`: centre x, centre y and width, float64 [N, 3], sorted."""
    small = image.resize(size, Image.Resampling.BICUBIC)
    grey = np.pad(np.asarray(small, dtype=np.float32) / 255.0, search.margin, mode="edge")
    boxes = _cascade().detect_multi_scale(
        grey,
        scale_factor=search.step,
        step_ratio=1,
        min_size=(search.smallest, search.smallest),
        max_size=(search.long_side, search.long_side),
        min_neighbor_number=1,
        intersection_score_threshold=1.1,  # disables its merging, which depends on the order of detections
    )
    found = [(b["c"] + b["width"] / 2, b["r"] + b["height"] / 2, b["width"]) for b in boxes]
    return np.array(sorted(found), dtype=np.float64).reshape(-1, 3) - (search.margin, search.margin, 0)


def _agreement(windows: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which pairs of windows [N, 3] show the same face, bool [N, N]."""
    middle, width = windows[:, :2], windows[:, 2]
    low = np.maximum(middle[:, None] - width[:, None, None] / 2, middle[None] - width[None, :, None] / 2)
    high = np.minimum(middle[:, None] + width[:, None, None] / 2, middle[None] + width[None, :, None] / 2)
    shared = np.clip(high - low, 0.0, None).prod(axis=2)
    found: NDArray[np.bool_] = shared / (width[:, None] ** 2 + width[None] ** 2 - shared) >= _MIN_OVERLAP
    return found


def _best_windows(
    windows: NDArray[np.float64], size: tuple[int, int], fewest: int
) -> Iterator[NDArray[np.float64]]:
    """Median window [3] of every face with enough overlapping detections, best first."""
    while len(windows):
        middle, width, same = windows[:, :2], windows[:, 2], _agreement(windows)
        support = same.sum(axis=1)
        if support.max() < fewest:
            return
        # A face at a corner of the photo counts half as much as one at the centre.
        off_center = np.hypot(*(middle / size - 0.5).T) / np.hypot(0.5, 0.5)
        central = 1.0 - 0.5 * np.minimum(1.0, off_center)
        # Among faces that are clear, or nearly as clear as the clearest, size counts more than support.
        score = support**0.25 * width * central
        score[support < max(fewest, min(_CLEAR, _MIN_SUPPORT * support.max()))] = -1.0
        face = int(score.argmax())
        best = int(np.where(same[face], support * np.sqrt(width) * central, -1.0).argmax())
        yield np.median(windows[same[best]], axis=0)
        windows = windows[~same[best] & (np.abs(middle - middle[best]).max(axis=1) > width[best] / 2)]
