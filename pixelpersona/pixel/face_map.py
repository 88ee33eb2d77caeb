"""Where the features and the skin of a face are, as soft masks around its landmarks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelpersona.pixel.landmarks import Landmarks

Floats = NDArray[np.float64]

# Half axes of the ellipses, along and across the line of the eyes, in eye distances.
_EYE = (0.42, 0.30)  # eye and brow
_GLASSES = (0.95, 0.18)  # both eyes and the frame between them
_MOUTH_HEIGHT = 0.20
_MOUTH_WIDTH = 0.56  # in widths of the mouth
_LEAST_MOUTH_WIDTH = 0.42  # in eye distances
_FACE = (0.92, 1.15)
_BROWS = 0.1  # the eyes' ellipse is this far above the pupil
_SURELY = 0.7  # weight of skin
_EDGE = 0.35  # width of a mask's soft edge, in half axes


@dataclass(frozen=True, slots=True)
class FaceMap:
    """Soft masks [H, W] from 0 to 1. eyes: with brows and glasses. mouth. face: brows to chin."""

    eyes: Floats
    mouth: Floats
    face: Floats

    @property
    def features(self) -> Floats:
        """Eyes and mouth."""
        return np.maximum(self.eyes, self.mouth)

    @property
    def skin(self) -> Floats:
        """The face without eyes and mouth."""
        return self.face * (1.0 - self.features)

    @property
    def is_skin(self) -> NDArray[np.bool_]:
        """The pixels from which the colour of the skin is taken, bool [H, W]."""
        return self.skin > _SURELY


def face_map(landmarks: Landmarks, width: int, height: int) -> FaceMap:
    """The masks of a picture of width x height pixels."""
    distance, angle = landmarks.eye_distance, landmarks.angle
    up = np.array([np.sin(angle), -np.cos(angle)]) * distance

    def ellipse(center: Floats, axes: tuple[float, float]) -> Floats:
        x = np.arange(width) + 0.5 - center[0]
        y = (np.arange(height) + 0.5 - center[1])[:, None]
        along = (x * np.cos(angle) + y * np.sin(angle)) / (axes[0] * distance)
        across = (y * np.cos(angle) - x * np.sin(angle)) / (axes[1] * distance)
        mask: Floats = ((1.0 + _EDGE - np.hypot(along, across)) / _EDGE).clip(0.0, 1.0)
        return mask

    left, right = landmarks.eyes
    between, mouth = (left + right) / 2.0, landmarks.mouth.mean(axis=0)
    mouth_width = float(np.linalg.norm(landmarks.mouth[1] - landmarks.mouth[0])) / distance
    half_mouth = max(_MOUTH_WIDTH * mouth_width, _LEAST_MOUTH_WIDTH)
    eyes = [ellipse(eye + _BROWS * up, _EYE) for eye in (left, right)]
    return FaceMap(
        eyes=np.maximum(np.maximum(*eyes), ellipse(between, _GLASSES)),
        mouth=ellipse(mouth, (half_mouth, _MOUTH_HEIGHT)),
        face=ellipse((between + mouth) / 2.0, _FACE),
    )
