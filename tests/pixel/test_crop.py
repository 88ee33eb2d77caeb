"""The square crop around a face: its place, what happens at the photo's border, and the centre square."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import sobel
from skimage.data import astronaut, coffee

from pixelpersona.pixel.crop import PORTRAIT, TIGHT, Face, Framing, center_square, crop_around
from pixelpersona.pixel.faces import find_face

ASTRONAUT = Image.fromarray(astronaut())  # eyes at about (206, 106) and (244, 106), face 80 pixels wide


def place(photo_size: tuple[int, int], face: Face, framing: Framing = PORTRAIT) -> tuple[float, float, float]:
    """Left, top and side of the crop, read off a picture whose red is x and green is y."""
    width, height = photo_size
    y, x = np.mgrid[:height, :width] / 255.0
    coded = np.stack([x, y, 0 * x], axis=-1)
    assert coded.max() <= 1.0
    crop = np.asarray(crop_around(Image.fromarray(np.rint(coded * 255).astype(np.uint8)), 64, framing, face))
    middle = crop[16:48, 16:48].astype(float)
    steps = np.arange(16, 48)
    (side_x, left), (side_y, top) = (
        np.polyfit((steps + 0.5) / 64, middle.mean(axis=axis)[:, c] + 0.5, 1) for axis, c in ((0, 0), (1, 1))
    )
    assert side_x == pytest.approx(side_y, rel=0.04)
    return left, top, side_x


@pytest.mark.parametrize("framing", [TIGHT, PORTRAIT])
def test_the_face_is_at_the_framings_position(framing: Framing) -> None:
    crop = crop_around(ASTRONAUT, 256, framing, find_face(ASTRONAUT))
    assert (crop.size, crop.mode) == ((256, 256), "RGB")
    face = find_face(crop)
    assert face is not None
    np.testing.assert_allclose([face.x / 256, face.y / 256], framing.center, atol=0.08)
    assert framing.scale * face.width / 256 == pytest.approx(1.0, abs=0.3)


def test_a_portrait_with_space_around_is_neither_moved_nor_made_smaller() -> None:
    left, top, side = place((250, 250), Face(120.0, 130.0, 80.0))
    np.testing.assert_allclose([left, top, side], [120 - 66, 130 - 0.47 * 132, 132], atol=2.5)


def test_a_portrait_near_the_border_is_moved_and_made_smaller_but_stays_inside() -> None:
    left, top, side = place((250, 250), Face(45.0, 50.0, 80.0))  # half a framing is 66 pixels
    assert left == pytest.approx(0, abs=2.5)
    assert top == pytest.approx(0, abs=2.5)
    assert 0.7 * 132 - 2.5 < side < 132


def test_a_portrait_larger_than_the_photo_is_all_of_its_shorter_side() -> None:
    left, top, side = place((120, 200), Face(62.0, 90.0, 90.0))
    np.testing.assert_allclose([left, top, side], [0, 90 - 0.47 * 120, 120], atol=2.5)


@given(
    size=st.tuples(st.integers(60, 250), st.integers(60, 250)),
    x=st.floats(0.0, 1.0),
    y=st.floats(0.0, 1.0),
    share=st.floats(0.1, 0.8),
)
def test_a_portrait_stays_inside_wherever_the_face_has_space(
    size: tuple[int, int], x: float, y: float, share: float
) -> None:
    """Nothing is filled: a filled border is smooth, noise that is resized is not."""
    width = share * min(size) / 1.16
    half = 0.58 * width
    face = Face(half + x * (size[0] - 2 * half), half + y * (size[1] - 2 * half), width)
    noise = np.random.default_rng(0).integers(0, 2, (size[1], size[0], 1), dtype=np.uint8) * 255
    crop = np.asarray(crop_around(Image.fromarray(noise.repeat(3, axis=2)), 24, PORTRAIT, face), float)
    for edge in (crop[0], crop[-1], crop[:, 0], crop[:, -1]):
        assert np.abs(np.diff(edge[:, 0])).mean() > 4


def test_a_face_at_the_border_keeps_space_beside_it() -> None:
    photo = np.full((200, 200, 3), 90, np.uint8)
    photo[:, :20] = (220, 170, 140)
    crop = np.asarray(crop_around(Image.fromarray(photo), 100, PORTRAIT, Face(10.0, 100.0, 80.0)))
    inside = np.flatnonzero((crop[50] == 90).all(axis=1))
    assert len(inside) > 30
    assert inside[0] > 40  # the face's centre at 10 pixels is well inside the crop


@pytest.mark.parametrize("framing", [TIGHT, PORTRAIT])
def test_what_lies_beyond_the_photo_has_no_streaks(framing: Framing) -> None:
    stripes = np.where(np.arange(200)[:, None, None] // 4 % 2, 230, 30).astype(np.uint8)
    photo = Image.fromarray(np.broadcast_to(stripes, (200, 200, 3)).copy())
    crop = np.asarray(crop_around(photo, 128, framing, Face(20.0, 100.0, 90.0)).convert("L"), float)
    slope = np.abs(sobel(crop, axis=0)).mean(axis=0)
    assert slope[-10:].min() > 100  # stripes inside the photo
    assert slope[0] < 10
    assert crop[:, :3].mean() == pytest.approx(130, abs=12)
    # A smooth transition: no column differs from the next by a visible step.
    assert np.abs(np.diff(slope[:60])).max() < 0.6 * slope[-10:].mean()


def test_beyond_the_photo_a_plain_border_continues_in_its_colour() -> None:
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[:, :6] = (200, 100, 50)
    crop = np.asarray(crop_around(Image.fromarray(picture), 20, TIGHT, Face(0.0, 20.0, 20 / TIGHT.scale)))
    np.testing.assert_allclose(crop[:, :8], np.broadcast_to((200, 100, 50), (20, 8, 3)), atol=12)
    assert (crop[:, 18:] == 0).all()


def test_a_photo_too_small_for_a_tight_crop_is_not_cropped() -> None:
    gradient = np.tile(np.arange(100, dtype=np.uint8)[:, None], (100, 1, 3)).reshape(100, 100, 3)
    crop = np.asarray(crop_around(Image.fromarray(gradient), 115, TIGHT, Face(50.0, 40.0, 120.0)))
    assert crop.min() <= gradient.min() + 2
    assert crop.max() >= gradient.max() - 2


def test_without_a_face_the_centre_is_cropped() -> None:
    picture = Image.fromarray(coffee()[:200, 100:340])
    crop, middle = crop_around(picture, 64, TIGHT, find_face(picture)), center_square(picture, 64)
    np.testing.assert_array_equal(np.asarray(crop), np.asarray(middle))
    flat = Image.new("RGB", (40, 30), (5, 6, 7))
    assert find_face(flat) is None
    assert (np.asarray(crop_around(flat, 16, TIGHT, None)) == (5, 6, 7)).all()


@pytest.mark.parametrize("framing", [TIGHT, PORTRAIT])
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (23, 30)])
def test_very_small_photos_give_a_square(size: tuple[int, int], framing: Framing) -> None:
    photo = Image.new("RGB", size)
    assert crop_around(photo, 32, framing, find_face(photo)).size == (32, 32)
    assert crop_around(photo, 32, framing, Face(0.5, 0.5, 1.0)).size == (32, 32)


def test_center_square_keeps_the_centre() -> None:
    picture = np.zeros((10, 30, 3), np.uint8)
    picture[:, 10:20] = 255
    assert (np.asarray(center_square(Image.fromarray(picture), 10)) == 255).all()
    with pytest.raises(ValueError, match="size"):
        center_square(Image.fromarray(picture), 0)
