"""Eyes and mouth on whole cells: how the picture is moved, and what is drawn for what the photo shows."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pixelpersona.pixel.face_map import FaceMap, face_map
from pixelpersona.pixel.facial_features import draw_features, snap_to_grid
from pixelpersona.pixel.landmarks import Landmarks
from pixelpersona.pixel.palette import srgb_to_oklab
from tests.pixel.test_landmarks import portrait

CELL = 4
POINTS = np.array([(74.5, 85.0), (117.0, 86.5), (96.0, 110.0), (78.0, 130.0), (113.0, 131.0)])
SKIN, LIPS, IRIS = (205, 160, 135), (185, 90, 95), (70, 110, 150)
WHITE, LASH = (225, 220, 215), (60, 40, 35)


def face(opening: int = 8, lips: str = "") -> NDArray[np.uint8]:
    """A face of skin with two eyes, 192 pixels. opening: of the eyes. lips: "", closed, smile or teeth."""
    scale = 8
    picture = Image.new("RGB", (192 * scale, 192 * scale), SKIN)
    draw = ImageDraw.Draw(picture)
    for x, y in POINTS[:2]:
        box = [round(v * scale) for v in (x - 9, y - opening / 2, x + 9, y + opening / 2)]
        if opening > 2:
            draw.ellipse(box, fill=WHITE)
            draw.ellipse([round(v * scale) for v in (x - 4, y - 4, x + 4, y + 4)], fill=IRIS)
            draw.ellipse([round(v * scale) for v in (x - 2, y - 2, x + 2, y + 2)], fill=(20, 20, 25))
            draw.arc(box, 180, 360, fill=LASH, width=2 * scale)
        else:
            draw.line([round(v * scale) for v in (x - 9, y, x + 9, y)], fill=LASH, width=2 * scale)
    (left, y), (right, _) = POINTS[3], POINTS[4]
    middle = (left + right) / 2
    if lips:
        parts = [(left, y), (middle, y - 5), (right, y), (middle, y + (9 if lips == "teeth" else 6))]
        draw.polygon([(round(a * scale), round(b * scale)) for a, b in parts], fill=LIPS)
    if lips == "teeth":
        draw.rectangle([round(v * scale) for v in (left + 6, y - 1, right - 6, y + 3)], fill=(240, 235, 225))
    elif lips:
        dip = 5 if lips == "smile" else 0
        line = [(left, y), (left + 6, y + dip), (right - 6, y + dip), (right, y)]
        draw.line([(round(a * scale), round(b * scale)) for a, b in line], fill=(90, 40, 40), width=2 * scale)
    return np.asarray(picture.resize((192, 192), Image.Resampling.BOX))


def map_of(landmarks: Landmarks) -> FaceMap:
    return face_map(landmarks, 192, 192)


def drawn(
    photo: NDArray[np.uint8], points: NDArray[np.float64] = POINTS
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], Landmarks]:
    """Cells after drawing, which were drawn, and the landmarks."""
    moved, landmarks = snap_to_grid(photo, Landmarks(points), CELL)
    image, cells = draw_features(moved, moved, landmarks, map_of(landmarks), CELL)
    blocks = image.reshape(48, CELL, 48, CELL, -1)
    assert (blocks[cells.nonzero()[0], :, cells.nonzero()[1]].std(axis=(1, 2)) == 0).all()  # whole cells
    np.testing.assert_array_equal(
        image.reshape(48, 4, 48, 4, -1)[~cells.any(axis=1)],
        moved.reshape(48, 4, 48, 4, -1)[~cells.any(axis=1)],
    )
    return blocks[:, 0, :, 0], cells, landmarks


def test_the_eyes_move_to_corners_of_cells_and_the_mouth_to_a_row() -> None:
    dots = np.zeros((192, 192, 3), np.uint8)
    for number, (x, y) in enumerate(np.rint([*POINTS[:2], POINTS[3:].mean(axis=0)]).astype(int)):
        dots[y - 2 : y + 2, x - 2 : x + 2, number] = 255
    moved, landmarks = snap_to_grid(dots, Landmarks(POINTS), CELL)
    assert (landmarks.eyes % CELL == 0).all()
    assert landmarks.eyes[0, 1] == landmarks.eyes[1, 1]  # both eyes in the same rows
    assert np.abs(landmarks.eyes - POINTS[:2]).max() <= CELL / 2 + 0.8
    assert landmarks.mouth[:, 1].mean() % CELL == CELL / 2
    for channel, target in enumerate([*landmarks.eyes, landmarks.mouth.mean(axis=0)]):
        weight = moved[..., channel].astype(float)
        y, x = np.mgrid[:192, :192] + 0.5
        center = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
        assert np.abs(center - target).max() < 0.7
    far = np.s_[170:, 170:]
    noise = np.random.default_rng(0).integers(0, 256, (192, 192, 4), dtype=np.uint8)
    same, _ = snap_to_grid(noise, Landmarks(POINTS), CELL)
    assert same.shape == noise.shape
    assert np.abs(same[far].astype(int) - noise[far]).max() <= 3


def test_a_tilted_head_keeps_its_tilt() -> None:
    points = POINTS + np.array([(0, -8), (0, 8), (0, 0), (0, 0), (0, 0)])
    _, landmarks = snap_to_grid(face(), Landmarks(points), CELL)
    assert landmarks.eyes[1, 1] - landmarks.eyes[0, 1] >= 12


def test_open_eyes_get_lashes_iris_and_white() -> None:
    cells, where, landmarks = drawn(face())
    lightness = srgb_to_oklab(cells / 255.0)
    for x, y in (landmarks.eyes / CELL).astype(int):
        assert where[y - 1 : y + 1, x - 2 : x + 2].all()
        lashes, iris = lightness[y - 1, x - 2 : x + 2, 0], lightness[y, x - 1 : x + 1]
        white = lightness[y, [x - 2, x + 1], 0]
        assert lashes.max() < 0.3
        assert (iris[:, 0] < 0.45).all()
        assert (iris[:, 2] < -0.01).all()  # still blue
        assert white.min() > 0.7
    assert where.sum() == 16


def test_closed_eyes_get_a_line() -> None:
    cells, where, landmarks = drawn(face(opening=2))
    assert where.sum() == 8
    for x, y in (landmarks.eyes / CELL).astype(int):
        rows = np.flatnonzero(where[y - 2 : y + 2, x])
        assert len(rows) == 1
    assert srgb_to_oklab(cells[where] / 255.0)[:, 0].max() < 0.3


def test_sunglasses_and_plain_skin_are_left_as_they_are() -> None:
    glasses = face()
    for x, y in POINTS[:2].astype(int):
        glasses = glasses.copy()
        glasses[y - 14 : y + 14, x - 16 : x + 16] = (25, 25, 30)
    assert not drawn(glasses)[1].any()
    assert not drawn(np.full((192, 192, 3), SKIN, np.uint8))[1].any()


def test_eyes_that_are_too_small_or_at_the_border_are_left() -> None:
    photo = face()
    near = Landmarks(POINTS * (0.15, 0.15))
    assert not draw_features(photo, photo, near, map_of(near), CELL)[1].any()
    border = Landmarks(POINTS - np.array([72, 80]))
    image, cells = draw_features(photo, photo, border, map_of(border), CELL)
    assert image.shape == photo.shape
    assert not cells[:2].any()


def test_alpha_is_kept() -> None:
    photo = np.concatenate([face(), np.full((192, 192, 1), 77, np.uint8)], axis=2)
    landmarks = snap_to_grid(photo, Landmarks(POINTS), CELL)[1]
    image, cells = draw_features(photo, photo, landmarks, map_of(landmarks), CELL)
    assert cells.any()
    assert (image[..., 3] == 77).all()


@pytest.mark.parametrize("cell", [4, 8])
def test_a_real_face_gets_two_eyes(cell: int) -> None:
    photo, eyes = portrait(size=48 * cell)
    points = np.concatenate([eyes, [(0, 0)] * 3]).astype(float)
    points[2:] = eyes.mean(axis=0) + np.array([(0, 10), (-8, 22), (8, 22)]) * cell / 4
    moved, landmarks = snap_to_grid(photo, Landmarks(points), cell)
    face = face_map(landmarks, 48 * cell, 48 * cell)
    _, cells = draw_features(moved, moved, landmarks, face, cell)
    left, right = (landmarks.eyes / cell).astype(int)
    assert cells[:, : (left[0] + right[0]) // 2].sum() >= 4
    assert cells[:, (left[0] + right[0]) // 2 :].sum() >= 4


def lightness_of(cells: NDArray[np.uint8], row: int, columns: slice) -> NDArray[np.float64]:
    values: NDArray[np.float64] = srgb_to_oklab(cells[row, columns] / 255.0)[..., 0]
    return values


@pytest.mark.parametrize("lips", ["closed", "smile"])
def test_closed_lips_are_a_dark_line_above_the_lower_lip(lips: str) -> None:
    cells, where, landmarks = drawn(face(lips=lips))
    row, columns = int(landmarks.mouth[:, 1].mean() / CELL), slice(23, 25)
    skin = srgb_to_oklab(np.array(SKIN) / 255.0)
    assert where[row, columns].all()
    assert (
        lightness_of(cells, row, columns).max() < lightness_of(cells, row + 1, columns).min() < skin[0] - 0.05
    )
    assert srgb_to_oklab(cells[row + 1, 24] / 255.0)[1] > skin[1] + 0.03  # red
    corners = np.rint(landmarks.mouth[:, 0] / CELL).astype(int) - (0, 1)
    assert where[row - 1, corners].all() == where[row - 1].any() == (lips == "smile")


def test_teeth_are_light_between_two_lips() -> None:
    cells, where, landmarks = drawn(face(lips="teeth"))
    row, columns = int(landmarks.mouth[:, 1].mean() / CELL), slice(22, 26)
    assert where[row - 1 : row + 2, columns].all()
    teeth = lightness_of(cells, row, columns)
    assert teeth.min() > 0.78
    assert lightness_of(cells, row - 1, columns).max() < 0.6
    assert lightness_of(cells, row + 1, columns).max() < 0.72


def test_a_mouth_in_profile_or_one_that_does_not_show_is_left() -> None:
    assert not drawn(face())[1][30:].any()
    turned = POINTS.copy()
    turned[3:, 0] = (90, 106)
    assert not drawn(face(lips="closed"), turned)[1][30:].any()


def test_behind_glasses_the_frame_takes_the_place_of_the_lashes() -> None:
    glasses = face().copy()
    glasses[77:80, 58:134] = (35, 30, 30)  # a straight upper rim with its bridge
    _, where, landmarks = drawn(glasses)
    row = int(landmarks.eyes[0, 1] / CELL)
    assert where[row].any()
    assert not where[row - 1].any()


@given(
    side=st.integers(8, 60),
    cell=st.integers(1, 6),
    points=st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)), min_size=5, max_size=5),
)
def test_landmarks_anywhere_in_any_picture_are_drawn_or_left(
    side: int, cell: int, points: list[tuple[float, float]]
) -> None:
    size = side * cell
    photo = np.random.default_rng(side).integers(0, 256, (size, size, 3), dtype=np.uint8)
    landmarks = Landmarks(np.array(points) * size)
    assume(landmarks.eye_distance >= 1.0)
    moved, landmarks = snap_to_grid(photo, landmarks, cell)
    image, cells = draw_features(moved, moved, landmarks, face_map(landmarks, size, size), cell)
    assert image.shape == photo.shape
    assert cells.shape == (side, side)
