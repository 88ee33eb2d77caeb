"""Features of portraits are those of the face in them."""

import numpy as np
import torch

from pixelpersona.evaluation.framed_features import FramedFeatures
from pixelpersona.models.features import PersonaFeatures
from pixelpersona.pixel.framing import face_part


def test_of_a_portrait_the_face_is_measured() -> None:
    """Pixels outside of `face_part` change nothing; a face of 128 pixels is not resized."""
    extractor, framed = PersonaFeatures(), FramedFeatures("portrait")
    rng = np.random.default_rng(0)
    portrait = rng.integers(0, 256, (1, 192, 192, 3), dtype=np.uint8)
    left, top, right, bottom = face_part(192, 192, "portrait")
    face = portrait[:, top:bottom, left:right].copy()
    other = rng.integers(0, 256, portrait.shape, dtype=np.uint8)
    other[:, top:bottom, left:right] = face
    for kind in (0, 1):
        expected = extractor.views(face)[kind]
        torch.testing.assert_close(framed.views(portrait)[kind], expected, rtol=0, atol=0)
        torch.testing.assert_close(framed.views(other)[kind], expected, rtol=0, atol=0)
    assert framed.sha256 != extractor.sha256
    assert FramedFeatures("center").sha256 == extractor.sha256
