"""Face detection."""

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

from pixelpersona.pixel.crop import TIGHT, crop_around
from pixelpersona.pixel.faces import face_support, find_face, find_others

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


@pytest.mark.parametrize("things", [brick, chelsea, clock, coffee, coins, rocket])
def test_objects_and_cats_have_no_face(things: Callable[[], NDArray[np.uint8]]) -> None:
    assert find_face(Image.fromarray(things()).convert("RGB")) is None


def test_the_larger_of_two_faces_is_taken() -> None:
    group = Image.new("RGB", (800, 512), (120, 130, 140))
    group.paste(ASTRONAUT, (0, 0))
    group.paste(ASTRONAUT.crop((130, 20, 330, 220)).resize((120, 120)), (640, 300))
    face = find_face(group)
    assert face is not None
    assert abs(face.x - 226) < 30


def test_a_large_face_is_taken_though_more_detections_agree_on_a_small_one() -> None:
    """The large one is a pale copy: 10 overlapping detections, 16 of the small one."""
    head = ASTRONAUT.crop((130, 20, 330, 220))
    group = Image.new("RGB", (420, 260), (120, 130, 140))
    pale = Image.blend(head.resize((240, 240)), Image.new("RGB", (240, 240), (150, 140, 135)), 0.8)
    group.paste(pale, (10, 10))
    group.paste(head.resize((130, 130)), (270, 60))
    face = find_face(group)
    assert face is not None
    np.testing.assert_allclose([face.x, face.y], [10 + 96 * 1.2, 10 + 98 * 1.2], atol=20)


@pytest.mark.parametrize("things", [immunohistochemistry, microaneurysms])
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
