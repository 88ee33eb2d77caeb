"""Masks of eyes, mouth and face: what they hold, and that they follow the landmarks."""

import numpy as np
import pytest

from pixelpersona.pixel.face_map import face_map
from pixelpersona.pixel.landmarks import Landmarks

POINTS = np.array(
    [(76.0, 84.0), (116.0, 84.0), (96.0, 108.0), (80.0, 125.0), (112.0, 125.0)]
)  # 40 between the eyes


def test_the_masks_hold_their_features() -> None:
    face = face_map(Landmarks(POINTS), 192, 200)
    assert face.eyes.shape == face.mouth.shape == face.face.shape == (200, 192)
    for mask in (face.eyes, face.mouth, face.face, face.skin):
        assert mask.min() == 0
        assert mask.max() == 1
    for x, y in POINTS[:2].astype(int):
        assert (face.eyes[y - 10 : y + 4, x - 12 : x + 12] == 1).all()  # with the brow
    assert (face.eyes[82:88, 70:122] == 1).all()  # with the bridge of glasses
    assert (face.mouth[122:128, 80:112] == 1).all()
    cheek, forehead, corner = face.skin[105, 70], face.skin[66, 96], face.face[5, 5]
    assert cheek > 0.9
    assert forehead > 0.9
    assert corner == 0
    assert not (face.skin * face.eyes > 0.26).any()  # at most a quarter where soft edges overlap
    assert face.mouth[88].max() == face.eyes[125].max() == 0


def test_the_widths_of_the_masks() -> None:
    face = face_map(Landmarks(POINTS), 192, 192)
    row = np.flatnonzero(face.face[round(POINTS[[0, 3], 1].mean())] == 1)
    assert row[-1] - row[0] == pytest.approx(2 * 0.92 * 40, abs=2)
    lips = np.flatnonzero(face.mouth[125] == 1)
    assert lips[-1] - lips[0] == pytest.approx(2 * 0.56 * 32, abs=2)
    small = POINTS.copy()
    small[3:, 0] = (92, 100)  # a pursed mouth
    lips = np.flatnonzero(face_map(Landmarks(small), 192, 192).mouth[125] == 1)
    assert lips[-1] - lips[0] == pytest.approx(2 * 0.42 * 40, abs=2)


def test_they_turn_with_the_head() -> None:
    turned = np.stack([191 - POINTS[:, 1], POINTS[:, 0]], axis=1)  # by a right angle, clockwise
    straight = face_map(Landmarks(POINTS), 192, 192)
    found = face_map(Landmarks(turned), 191, 192)
    for name in ("eyes", "mouth", "face"):
        expected = np.rot90(getattr(straight, name), -1)[:, 1:]
        np.testing.assert_allclose(getattr(found, name), expected, atol=1e-9)
