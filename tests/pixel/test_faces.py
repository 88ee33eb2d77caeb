"""Face detection and the crop around the face."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from skimage.data import (
    astronaut,
    brick,
    chelsea,
    clock,
    coffee,
    coins,
    immunohistochemistry,
    microaneurysms,
    rocket,
)

from pixelpersona.pixel.faces import (
    TIGHT,
    WIDE,
    Face,
    Framing,
    center_square,
    crop_around,
    face_support,
    find_face,
    find_others,
)

ASTRONAUT = Image.fromarray(astronaut())  # eyes at about (206, 106) and (244, 106), face 80 pixels wide


def test_the_astronauts_face_is_detected() -> None:
    face = find_face(ASTRONAUT)
    assert face is not None
    assert abs(face.x - 226) < 12
    assert abs(face.y - 118) < 15
    assert 75 < face.width < 130
    assert not face.is_doubtful
    assert find_others(ASTRONAUT, face) == []


def test_the_same_photo_gives_the_same_face() -> None:
    assert find_face(ASTRONAUT) == find_face(ASTRONAUT.copy())


@pytest.mark.parametrize("factor", [0.25, 1.7])
def test_detection_is_independent_of_the_photos_size(factor: float) -> None:
    size = round(512 * factor)
    face, expected = find_face(ASTRONAUT.resize((size, size))), find_face(ASTRONAUT)
    assert face is not None
    assert expected is not None
    np.testing.assert_allclose(
        np.array([face.x, face.y, face.width]) / factor, [expected.x, expected.y, expected.width], atol=15
    )


@pytest.mark.parametrize("framing", [TIGHT, WIDE])
def test_the_face_is_at_the_framings_position(framing: Framing) -> None:
    crop = crop_around(ASTRONAUT, 256, framing, find_face(ASTRONAUT))
    assert (crop.size, crop.mode) == ((256, 256), "RGB")
    face = find_face(crop)
    assert face is not None
    np.testing.assert_allclose([face.x / 256, face.y / 256], framing.center, atol=0.08)
    assert framing.scale * face.width / 256 == pytest.approx(1.0, abs=0.3)


@pytest.mark.parametrize("degrees", [-24, -16, 16, 24])
def test_a_tilted_head_is_detected(degrees: int) -> None:
    tilted = ASTRONAUT.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=(190, 180, 170))
    face = find_face(tilted)
    assert face is not None
    angle = np.deg2rad(degrees)
    x, y = 226 - 256, 118 - 256  # rotates with the photo around its centre
    expected = 256 + np.array([np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x])
    np.testing.assert_allclose([face.x, face.y], expected, atol=20)
    assert 70 < face.width < 130
    assert not face.is_doubtful


def test_a_face_behind_thick_dark_frames_is_detected() -> None:
    photo = ASTRONAUT.crop((130, 20, 330, 220))  # eyes about (76, 86) and (114, 86)
    draw = ImageDraw.Draw(photo)
    for x in (76, 114):
        draw.rounded_rectangle((x - 16, 74, x + 16, 98), radius=7, outline=(15, 15, 18), width=5)
    draw.line((92, 86, 98, 86), fill=(15, 15, 18), width=4)
    face = find_face(photo)
    assert face is not None
    np.testing.assert_allclose([face.x, face.y], [96, 98], atol=15)
    assert 60 < face.width < 130


def test_a_malformed_face_has_less_support() -> None:
    face = crop_around(ASTRONAUT, 128, TIGHT, find_face(ASTRONAUT))
    pixels = np.asarray(face)
    upside_down = pixels[::-1]
    without_a_side = np.where(np.arange(128)[:, None] < 64, pixels, pixels[:, 64:65])
    assert face_support(face) > 10
    assert face_support(Image.fromarray(upside_down)) < face_support(face) / 4
    assert face_support(Image.fromarray(without_a_side)) < face_support(face) / 2
    assert face_support(Image.new("RGB", (128, 128), (200, 150, 120))) == 0
    assert face_support(face.resize((23, 23))) == 0


def test_a_small_head_in_a_large_photo_is_detected() -> None:
    scene = Image.fromarray(coffee()).resize((1600, 1200))
    scene.paste(ASTRONAUT.resize((300, 300)), (950, 500))
    face = find_face(scene)
    assert face is not None
    np.testing.assert_allclose([face.x, face.y], [950 + 226 * 0.586, 500 + 118 * 0.586], atol=10)
    assert 40 < face.width < 80
    assert not face.is_doubtful


@pytest.mark.parametrize("things", [brick, clock, coffee, coins, rocket])
def test_objects_have_no_face(things: Callable[[], NDArray[np.uint8]]) -> None:
    assert find_face(Image.fromarray(things()).convert("RGB")) is None


def test_the_larger_of_two_faces_is_taken() -> None:
    group = Image.new("RGB", (800, 512), (120, 130, 140))
    group.paste(ASTRONAUT, (0, 0))
    group.paste(ASTRONAUT.crop((130, 20, 330, 220)).resize((120, 120)), (640, 300))
    face = find_face(group)
    assert face is not None
    assert abs(face.x - 226) < 30


@pytest.mark.parametrize("things", [chelsea, immunohistochemistry, microaneurysms])
def test_what_looks_a_little_like_a_face_is_doubtful(things: Callable[[], NDArray[np.uint8]]) -> None:
    face = find_face(Image.fromarray(things()).convert("RGB"))
    assert face is not None
    assert face.is_doubtful


def test_of_three_people_two_others_are_found() -> None:
    group = Image.new("RGB", (900, 512), (120, 130, 140))
    group.paste(ASTRONAUT, (0, 0))
    head = ASTRONAUT.crop((130, 20, 330, 220))  # eyes about (76, 86) and (114, 86), face 80 pixels wide
    group.paste(head, (560, 40))
    group.paste(head.resize((120, 120)), (700, 300))
    group.paste(head.resize((50, 50)), (560, 400))  # a quarter as wide: a passer-by
    face = find_face(group)
    assert face is not None
    others = find_others(group, face)
    assert len(others) == 2
    places = sorted((round(f.x), round(f.y)) for f in (face, *others))
    np.testing.assert_allclose(places, [(226, 118), (655, 138), (757, 359)], atol=20)


def test_without_a_face_the_centre_is_cropped() -> None:
    picture = Image.fromarray(coffee()[:200, 100:340])
    crop, middle = crop_around(picture, 64, TIGHT, find_face(picture)), center_square(picture, 64)
    np.testing.assert_array_equal(np.asarray(crop), np.asarray(middle))
    flat = Image.new("RGB", (40, 30), (5, 6, 7))
    assert find_face(flat) is None
    assert (np.asarray(crop_around(flat, 16, TIGHT, None)) == (5, 6, 7)).all()


def test_beyond_the_photo_its_edge_is_repeated() -> None:
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[:, 0] = (200, 100, 50)
    crop = np.asarray(crop_around(Image.fromarray(picture), 20, WIDE, Face(0.0, 20.0, 20 / WIDE.scale)))
    assert (crop[:, :11] == (200, 100, 50)).all()
    assert (crop[:, 11:] == 0).all()


def test_a_photo_too_small_for_the_framing_is_not_cropped() -> None:
    gradient = np.tile(np.arange(100, dtype=np.uint8)[:, None], (100, 1, 3)).reshape(100, 100, 3)
    crop = np.asarray(crop_around(Image.fromarray(gradient), 115, WIDE, Face(50.0, 40.0, 90.0)))
    assert crop.min() == gradient.min()
    assert crop.max() == gradient.max()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (23, 30)])
def test_very_small_photos_give_a_square(size: tuple[int, int]) -> None:
    photo = Image.new("RGB", size)
    assert crop_around(photo, 32, TIGHT, find_face(photo)).size == (32, 32)


def test_center_square_keeps_the_centre() -> None:
    picture = np.zeros((10, 30, 3), np.uint8)
    picture[:, 10:20] = 255
    assert (np.asarray(center_square(Image.fromarray(picture), 10)) == 255).all()
    with pytest.raises(ValueError, match="size"):
        center_square(Image.fromarray(picture), 0)
