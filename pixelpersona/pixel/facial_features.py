"""Eyes and mouth of a portrait, drawn cell by cell as a pixel artist would draw them.

In a portrait of 48 cells an eye is about five cells wide and two high. Averaging mixes lashes, iris and white
into one dark bar, and the grid cuts the two eyes at different places, so that they look different. Therefore
each eye is moved by at most half a cell, and its cells get the colours of lashes, iris and white. The mouth
is drawn in the same way.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from pixelpersona.pixel.face_map import FaceMap
from pixelpersona.pixel.landmarks import Landmarks
from pixelpersona.pixel.palette import oklab_to_srgb, srgb_to_oklab, to_uint8

Floats = NDArray[np.floating[Any]]
_Image = NDArray[np.uint8]

_LEVEL = 0.12  # eyes whose heights differ by fewer eye distances are drawn in the same rows
_EYE_REACH, _MOUTH_REACH = 0.24, 0.30  # eye distances: standard deviation of the displacement
_WIDE_EYES = 7.5  # cells between the eyes from which an eye has a white on both sides
_SMALLEST_EYES = 4.5  # cells between the eyes below which they are not drawn
_LEAST_CONTRAST = 0.10  # OKLab lightness between the darkest and the lightest parts around an eye
_LEAST_OPENING = 0.9  # cells that are dark from lid to lid
_FRAME = 0.1  # from which `_bridge` shows glasses
_IRIS_CHROMA = 1.8  # factor on the colour of an iris
_MOST_CHROMA = 0.07  # of an iris, in OKLab
_WHITE_VISIBLE, _NOT_COVERED = 0.02, -0.03  # lightness of the sides of the iris less that of the iris

_LEAST_MOUTH = 0.5  # width of a mouth in eye distances; less is seen from the side
_SMALLEST_MOUTH = 5  # cells
_LIPS = 0.15  # eye distances above and below the middle of the mouth
_RED_SHARE = 0.3  # of the mouth's pixels, the reddest ones, are lips
_LEAST_RED = 0.006  # chroma that lips have more than skin
_LIP_CHROMA = 0.5  # added to the difference between lips and skin
_TEETH_CONTRAST = 0.03  # lightness of teeth less that of the lips
_TEETH_SHADOW = 0.08  # lightness of teeth may be below that of skin by this much
_PALE = 0.8  # of the skin's chroma: teeth have less
_SMILE = 0.3  # cells by which the line between the lips is below the corners

_Cells = dict[tuple[int, int], Floats]  # (row, column) -> OKLab colour


def snap_to_grid(image: _Image, landmarks: Landmarks, cell: int) -> tuple[_Image, Landmarks]:
    """Shift each eye so that its centre is at a corner of cells, and the mouth to the middle of a row.

    image: uint8 [H, W, C]. cell: pixels. Displacements decrease as Gaussians around eyes and
    mouth. Returns the image, same shape, and the landmarks in it.
    """
    distance = landmarks.eye_distance
    eyes, mouth = landmarks.eyes.copy(), landmarks.mouth.mean(axis=0)
    if abs(eyes[0, 1] - eyes[1, 1]) < _LEVEL * distance:
        eyes[:, 1] = eyes[:, 1].mean()
    to = np.concatenate([np.rint(eyes / cell) * cell, mouth[None]])
    to[2, 1] = (np.floor(mouth[1] / cell) + 0.5) * cell
    shift = to - np.concatenate([landmarks.eyes, mouth[None]])
    height, width = image.shape[:2]
    x, y = np.arange(width) + 0.5, (np.arange(height) + 0.5)[:, None]
    reach = np.array([_EYE_REACH, _EYE_REACH, _MOUTH_REACH]) * distance
    weights = np.stack(
        [np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2.0 * r**2)) for (a, b), r in zip(to, reach, strict=True)]
    )
    weights /= np.maximum(1.0, weights.sum(axis=0))
    from_x = x - 0.5 - np.tensordot(shift[:, 0], weights, 1)
    from_y = y - 0.5 - np.tensordot(shift[:, 1], weights, 1)
    moved = [
        map_coordinates(image[..., c].astype(np.float64), (from_y, from_x), order=1, mode="nearest")
        for c in range(image.shape[2])
    ]
    points = landmarks.points.copy()
    points[:2] = to[:2]
    points[3:, 1] += shift[2, 1]
    return np.rint(np.stack(moved, axis=-1)).astype(np.uint8), Landmarks(points)


def draw_features(
    image: _Image, photo: _Image, landmarks: Landmarks, face: FaceMap, cell: int
) -> tuple[_Image, NDArray[np.bool_]]:
    """Draw eyes and mouth into an image, a whole cell in one colour each.

    image: uint8 [H, W, 3] or [H, W, 4], what is to be downsampled. photo: same shape, before its contrast was
    changed; it decides on shapes and colours. landmarks: from `snap_to_grid`, in pixels. face: its
    masks, of the image's size. cell: pixels, divides the size.
    Eyes that are covered, a mouth that cannot be made out, and faces with fewer than 4.5 cells between the
    eyes are not drawn. Returns the image, a new array, and the cells that were drawn, bool [rows, columns].
    """
    height, width = image.shape[:2]
    drawn = np.zeros((height // cell, width // cell), dtype=np.bool_)
    image = image.copy()
    is_skin = face.is_skin
    if landmarks.eye_distance / cell < _SMALLEST_EYES or not is_skin.any():
        return image, drawn
    lab = srgb_to_oklab(photo[..., :3] / 255.0)
    tone = np.median(lab[is_skin], axis=0)
    for (row, column), color in (_eyes(lab, landmarks, cell) | _mouth(lab, landmarks, tone, cell)).items():
        if 0 <= row < drawn.shape[0] and 0 <= column < drawn.shape[1]:
            block = np.s_[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
            image[block][..., :3] = to_uint8(oklab_to_srgb(color))
            drawn[row, column] = True
    return image, drawn


@dataclass(frozen=True, slots=True)
class _Eye:
    """What the photo shows of an eye, in OKLab.

    contrast: lightness between its darkest and lightest parts. opening: cells that are dark from lid to lid.
    white: lightness of the sides of the iris less that of the iris. is_low: its lower half is the darker one.
    """

    contrast: float
    opening: float
    white: float
    is_low: bool
    darkest: float
    iris: Floats
    below: Floats  # the skin under the eye


def _look(lab: Floats, x: int, y: int, half: int, cell: int) -> _Eye:
    """The eye whose centre is the corner (x, y) of cells, with `half` columns on either side."""

    def part(rows: tuple[float, float], columns: tuple[float, float]) -> Floats:
        """A part of the photo, in cells from the eye's centre: [h, w, 3]."""
        (top, bottom), (left, right) = (
            [max(0, round((middle + end) * cell)) for end in ends]
            for middle, ends in ((y, rows), (x, columns))
        )
        return lab[top:bottom, left:right]

    darkest, lightest = np.percentile(part((-2, 2), (-half, half))[..., 0], [4.0, 96.0])
    below = np.median(part((2, 4), (-half, half)).reshape(-1, 3), axis=0)
    profile = part((-3, 3), (-1, 1))[..., 0].mean(axis=1)
    sides = [part((-0.5, 1), ends)[..., 0].mean() for ends in ((-half, 1 - half), (half - 1, half))]
    middle = len(profile) // 2
    return _Eye(
        contrast=float(lightest - darkest),
        opening=float((profile < (darkest + below[0]) / 2.0).sum()) / cell,
        white=float(min(sides) - part((-0.5, 1), (-1, 1))[..., 0].mean()),
        is_low=bool(profile[middle:].mean() < profile[:middle].mean()),
        darkest=float(darkest),
        iris=np.median(part((-0.5, 1), (-0.75, 0.75)).reshape(-1, 3), axis=0),
        below=below,
    )


def _eyes(lab: Floats, landmarks: Landmarks, cell: int) -> _Cells:
    """Both eyes in the same way: a row of lashes, below it iris and white; or a line if they are closed."""
    rows, columns = lab.shape[0] // cell, lab.shape[1] // cell
    half = 2 if landmarks.eye_distance / cell >= _WIDE_EYES else 1
    places = [
        (x, y)
        for x, y in np.rint(landmarks.eyes / cell).astype(int).tolist()
        if half <= x <= columns - half and 3 <= y <= rows - 4
    ]
    eyes = {place: _look(lab, *place, half, cell) for place in places}
    eyes = {k: eye for k, eye in eyes.items() if eye.contrast >= _LEAST_CONTRAST and eye.white > _NOT_COVERED}
    if not eyes:
        return {}
    seen = list(eyes.values())
    is_open = (
        max(eye.opening for eye in seen) >= _LEAST_OPENING
        and np.mean([eye.white for eye in seen]) > _WHITE_VISIBLE
    )
    below = np.mean([eye.below for eye in seen], axis=0)
    lashes = np.array([min(0.8 * min(eye.darkest for eye in seen), 0.22), *(0.3 * below[1:])])
    iris = np.mean([eye.iris for eye in seen], axis=0)
    chroma = _IRIS_CHROMA * iris[1:]
    chroma *= min(1.0, _MOST_CHROMA / max(1e-6, float(np.linalg.norm(chroma))))
    iris = np.array([np.clip(iris[0], 0.25, 0.48), *chroma])
    white = np.array([min(0.95, max(below[0] + 0.10, 0.72)), *(0.3 * below[1:])])
    has_glasses = _bridge(lab, landmarks) > _FRAME
    cells: _Cells = {}
    for (x, y), eye in eyes.items():
        across = range(x - half, x + half)
        if is_open:
            if not has_glasses:  # the lashes would interrupt the frame
                cells |= {(y - 1, column): lashes for column in across}
            cells |= {(y, column): iris if abs(column + 0.5 - x) < 1.0 else white for column in across}
        elif not has_glasses:
            cells |= {(y if eye.is_low else y - 1, column): lashes for column in across}
    return cells


def _between_lips(profile: Floats) -> float:
    """How much lighter the lightest row in the middle third is than the darkest ones above and below it.

    profile: mean lightness of the rows around a mouth. Large where teeth show between two lips; the middle of
    a closed mouth is dark.
    """
    third = len(profile) // 3
    rows = range(third, len(profile) - third)
    return float(max(min(profile[y] - profile[:y].min(), profile[y] - profile[y:].min()) for y in rows))


def _bridge(lab: Floats, landmarks: Landmarks) -> float:
    """How much darker the bridge of glasses is than the skin above and below, in OKLab lightness.

    Measured on val photos: above 0.1 for 18 of 23 people with glasses, and for 5 of 60 without.
    """
    (x, y), distance = landmarks.eyes.mean(axis=0), landmarks.eye_distance
    rows = slice(max(0, int(y - 0.22 * distance)), int(y + 0.2 * distance))
    columns = slice(max(0, int(x - 0.1 * distance)), int(x + 0.1 * distance) + 1)
    profile = lab[rows, columns, 0].mean(axis=1)
    return float(np.median(profile) - profile.min())


def _mouth(lab: Floats, landmarks: Landmarks, tone: Floats, cell: int) -> _Cells:
    """The line between the lips and the lower lip; or teeth between two lips.

    tone: OKLab colour of the skin.
    """
    corners, distance = landmarks.mouth / cell, landmarks.eye_distance / cell
    first, last = (round(float(x)) for x in corners[:, 0])
    row = int(corners[:, 1].mean())
    if last - first < _LEAST_MOUTH * distance or last - first < _SMALLEST_MOUTH:
        return {}  # in profile, or too small
    reach = max(1, round(_LIPS * distance))
    inner = slice((first + 1) * cell, (last - 1) * cell)
    area = lab[max(0, (row - reach) * cell) : (row + reach + 1) * cell, inner]
    if len(area) < 3:
        return {}  # at the border of the picture
    redness = (area[..., 1] - tone[1]).ravel()
    colors = area.reshape(-1, 3)
    red = colors[redness >= np.percentile(redness, 100.0 * (1.0 - _RED_SHARE))]
    profile = area[..., 0].mean(axis=1)
    if red[:, 1].mean() - tone[1] < _LEAST_RED and np.ptp(profile) < _LEAST_CONTRAST:
        return {}
    lip = np.median(red, axis=0)
    lip[0] = np.clip(lip[0], tone[0] - 0.22, tone[0] - 0.07)
    lip[1:] += _LIP_CHROMA * (lip[1:] - tone[1:])
    line = np.array([lip[0] - 0.14, *(0.8 * lip[1:])])
    chroma = np.linalg.norm(area[..., 1:], axis=2).mean(axis=1)
    is_pale = (chroma < _PALE * np.linalg.norm(tone[1:])) & (profile > tone[0] - _TEETH_SHADOW)
    is_pale[: len(profile) // 3] = False
    if is_pale.any() and _between_lips(profile) > _TEETH_CONTRAST:
        teeth = np.array([min(0.95, max(tone[0] + 0.10, 0.78)), *(0.3 * tone[1:])])
        # Teeth of a smile are below the line between the corners.
        middle = row - reach + int(np.flatnonzero(is_pale).mean() / cell)
        cells = {(middle, column): teeth for column in range(first + 1, last - 1)}
        cells |= {(middle - 1, column): line for column in range(first, last)}
        cells |= {(middle, first): lip, (middle, last - 1): lip}
        return cells | {(middle + 1, column): lip for column in range(first + 1, last - 1)}
    is_smile = int(profile.argmin()) / cell - reach - 0.5 > _SMILE
    ends = {first, last - 1} if is_smile else set()
    cells = {(row - (column in ends), column): line for column in range(first, last)}
    return cells | {(row + 1, column): lip for column in range(first + 2, last - 2)}
