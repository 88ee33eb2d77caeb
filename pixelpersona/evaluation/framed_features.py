"""The packaged features of faces in pictures of any framing."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelpersona.models.features import PersonaFeatures
from pixelpersona.pixel.framing import face_part


class FramedFeatures(PersonaFeatures):
    """`PersonaFeatures` of the face alone: the network was trained on tight crops.

    framing: of the pictures, one of `framing.FRAMINGS`. Of a head-and-shoulders portrait, the network sees
    `face_part`, so clothes, hair and background count little; otherwise nothing is cropped.
    """

    def __init__(self, framing: str, folder: Path | None = None) -> None:
        super().__init__(folder)
        self.framing = framing
        if framing == "portrait":
            self.sha256 = hashlib.sha256(f"{self.sha256}:portrait".encode()).hexdigest()

    def _faces(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        left, top, right, bottom = face_part(images.shape[2], images.shape[1], self.framing)
        return images[:, top:bottom, left:right]
