"""Facial landmarks in a head-and-shoulders picture, by a small network that runs in numpy.

Its weights are made by `pretrain stage=landmarks`. A U-Net of nine 3x3 convolutions gives one heat map per
landmark; a landmark is the mean position under its map's softmax (Nibali et al. 2018, arXiv:1801.07372).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from pixelpersona.assets import locate

Floats = NDArray[np.float64]
_Maps = NDArray[np.float32]

_SIDE = 64  # pixels of the network's input
_STEPS = (
    3200  # coordinates are rounded to this fraction of the side: sums may differ by machine in the last bit
)
_LEAST_PEAK = 0.14  # mean over the landmarks of the largest weight in a heat map; less is not a face
_EYES_TO_MOUTH = (0.75, 1.45)  # distance in eye distances
_LARGEST_SLANT = 0.25  # cosine between the line of the eyes and the line from the eyes to the mouth
_EYE_DISTANCES = (0.08, 0.5)  # fractions of the picture's side

_PUPIL_SIDE = 256  # pixels
_PUPIL_SIZE, _PUPIL_REACH = 0.09, 0.14  # eye distances: deviation of the blur, largest displacement
_PUPIL_PRICE = 0.5  # of the largest displacement, in the range of brightness near the eye


@dataclass(frozen=True, slots=True)
class Landmarks:
    """points: [5, 2] x and y in pixels: left eye, right eye, nose, left and right corner of the mouth.

    confidence: mean over the points of the largest weight in their heat maps, 0 to 1; 0.2 for a clear face.
    """

    points: Floats
    confidence: float = 1.0

    @property
    def eyes(self) -> Floats:
        """The two eyes, [2, 2]."""
        return self.points[:2]

    @property
    def nose(self) -> Floats:
        """The tip of the nose, [2]."""
        nose: Floats = self.points[2]
        return nose

    @property
    def mouth(self) -> Floats:
        """The corners of the mouth, [2, 2]."""
        return self.points[3:]

    @property
    def eye_distance(self) -> float:
        """Distance between the eyes, pixels."""
        return float(np.linalg.norm(self.points[1] - self.points[0]))

    @property
    def angle(self) -> float:
        """Rotation of the line between the eyes, radians; clockwise is positive."""
        across = self.points[1] - self.points[0]
        return float(np.arctan2(across[1], across[0]))


def find_landmarks(image: NDArray[np.uint8]) -> Landmarks | None:
    """Landmarks of the face in the central square of a picture, uint8 [H, W, 3] sRGB; None without a face.

    The face should be framed as by `crop.PORTRAIT` or `crop.TIGHT`: an eye distance of 0.15 to 0.4 of the
    side. Deterministic. Measured errors: MODEL_CARD.md.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    if side < 2:
        return None
    left, top = (width - side) // 2, (height - side) // 2
    square = Image.fromarray(np.ascontiguousarray(image[top : top + side, left : left + side]))
    pixels = np.asarray(square.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS), dtype=np.float32) / 255.0
    maps = _softmax(heat_maps(pixels))
    confidence = float(maps.max(axis=(1, 2)).mean())
    if confidence < _LEAST_PEAK:
        return None
    middles = (np.arange(maps.shape[1]) + 0.5) / maps.shape[1]
    fractions = np.stack([maps.sum(axis=1) @ middles, maps.sum(axis=2) @ middles], axis=1)
    fractions = np.rint(fractions * _STEPS) / _STEPS
    if not _is_a_face(fractions):
        return None
    fractions[:2] = _on_pupils(square, fractions[:2])
    return Landmarks(fractions * side + np.array([left, top]), confidence)


def heat_maps(pixels: _Maps) -> _Maps:
    """The network: float32 [64, 64, 3] in [0, 1] -> logits of the five heat maps, float32 [5, 32, 32]."""
    x = pixels.transpose(2, 0, 1)
    x = (x - x.mean()) / (x.std() + np.float32(0.05))
    x = _conv(x, "stem")
    fine = _conv(_conv(x, "down1", stride=2), "mid1")
    x = _conv(_conv(fine, "down2", stride=2), "mid2")
    x = _conv(_conv(x, "wide2", dilation=2), "wide4", dilation=4)
    x = _conv(np.concatenate([fine, x.repeat(2, axis=1).repeat(2, axis=2)]), "merge")
    return _conv(x, "heads", is_last=True)


@cache
def _weights() -> dict[str, _Maps]:
    with np.load(locate.path("landmarks") / "landmarks.npz", allow_pickle=False) as file:
        return {name: file[name].astype(np.float32) for name in file.files}


def _conv(x: _Maps, name: str, stride: int = 1, dilation: int = 1, is_last: bool = False) -> _Maps:
    """3x3 convolution with zero padding, and a ReLU: [C, H, W] -> [D, H / stride, W / stride]."""
    weight, bias = _weights()[f"{name}.weight"], _weights()[f"{name}.bias"]
    height, width = x.shape[1:]
    padded = np.pad(x, ((0, 0), (dilation, dilation), (dilation, dilation)))
    shifted = np.stack(
        [
            padded[
                :,
                dy * dilation : dy * dilation + height : stride,
                dx * dilation : dx * dilation + width : stride,
            ]
            for dy in range(3)
            for dx in range(3)
        ],
        axis=1,
    )
    columns = shifted.reshape(9 * x.shape[0], -1)
    out: _Maps = (weight.reshape(len(weight), -1) @ columns + bias[:, None]).reshape(-1, *shifted.shape[2:])
    return out if is_last else np.maximum(out, 0.0)


def _softmax(logits: _Maps) -> Floats:
    """Softmax over each map, float64 [K, H, W]."""
    shares = np.exp(logits.astype(np.float64) - logits.max(axis=(1, 2), keepdims=True))
    result: Floats = shares / shares.sum(axis=(1, 2), keepdims=True)
    return result


def _on_pupils(square: Image.Image, eyes: Floats) -> Floats:
    """Move each eye, fractions of the side [2, 2], to the darkest place near it, which is the pupil.

    The aligned photos that the network learns from have the same eye distance in every pose, so it places the
    eyes of a frontal face too close together.
    """
    small = square.convert("L").resize((_PUPIL_SIDE, _PUPIL_SIDE), Image.Resampling.LANCZOS)
    distance = float(np.linalg.norm(eyes[1] - eyes[0])) * _PUPIL_SIDE
    brightness = gaussian_filter(np.asarray(small, dtype=np.float64), _PUPIL_SIZE * distance)
    middles = np.arange(_PUPIL_SIDE) + 0.5
    found = []
    for x, y in eyes * _PUPIL_SIDE:
        away = np.hypot(middles - x, (middles - y)[:, None]) / (_PUPIL_REACH * distance)
        near = away <= 1.0
        price = brightness + _PUPIL_PRICE * np.ptp(brightness[near]) * away**2
        row, column = np.unravel_index(np.where(near, price, np.inf).argmin(), price.shape)
        found.append((middles[column], middles[row]))
    return np.array(found) / _PUPIL_SIDE


def _is_a_face(points: Floats) -> bool:
    """Whether five points, [5, 2] in fractions of the side, are placed as in a nearly upright face."""
    across = points[1] - points[0]
    down = points[3:].mean(axis=0) - points[:2].mean(axis=0)
    distance, length = float(np.linalg.norm(across)), float(np.linalg.norm(down))
    if not _EYE_DISTANCES[0] <= distance <= _EYE_DISTANCES[1] or length == 0.0:
        return False
    slant = abs(float(across @ down)) / (distance * length)
    is_ordered = across[0] > 0.0 and down[1] > 0.0
    return (
        is_ordered and slant <= _LARGEST_SLANT and _EYES_TO_MOUTH[0] <= length / distance <= _EYES_TO_MOUTH[1]
    )
