"""The masks of face and head, measured on their outlines."""

import numpy as np
import pytest

from pixelpersona.pixel.crop import PORTRAIT, TIGHT
from pixelpersona.pixel.framing import Focus, face_part, face_weight, framed_face_weight, head_weight


@pytest.mark.parametrize("stretch", [(1.0, 1.0), (0.9, 1.1)])
def test_the_mask_is_1_inside_and_0_outside_the_ellipse(stretch: tuple[float, float]) -> None:
    width, height = 200, 320
    weight = face_weight(width, height, np.array(stretch))
    assert weight.shape == (height, width)
    middle_row, middle_column = weight[height // 2], weight[:, width // 2]
    # The weight is 0.5 at the half axes: 0.42 of the width and 0.50 of the height from the centre.
    across = np.flatnonzero(middle_row >= 0.5)
    assert (across[-1] - across[0] + 1) / width == pytest.approx(min(1.0, 2 * 0.42 * stretch[0]), abs=0.01)
    down = np.flatnonzero(middle_column >= 0.5)
    assert (down[-1] - down[0] + 1) / height == pytest.approx(min(1.0, 2 * 0.50 * stretch[1]), abs=0.01)
    assert (weight[120:200, 70:130] == 1).all()
    assert weight[0, 0] == weight[-1, -1] == 0
    np.testing.assert_allclose(weight, weight[::-1, ::-1], atol=1e-9)


def test_a_batch_equals_single_masks_and_keeps_the_dtype() -> None:
    stretch = np.random.default_rng(0).uniform(0.9, 1.1, (3, 2))
    many = face_weight(31, 17, stretch.astype(np.float32))
    assert many.dtype == np.float32
    for one, factors in zip(many, stretch, strict=True):
        np.testing.assert_array_equal(one, face_weight(31, 17, factors.astype(np.float32)))
        np.testing.assert_allclose(one, face_weight(31, 17, factors), atol=1e-5)


@pytest.mark.parametrize("size", [1.0, 0.6])
def test_the_head_is_an_ellipse_around_face_and_hair(size: float) -> None:
    width, height = 200, 320
    weight = head_weight(width, height, size)
    assert weight.shape == (height, width)
    # The weight is 0.5 at 1.15 half axes: 0.27 of the width and 0.36 of the height.
    row = np.flatnonzero(weight[round(0.47 * height)] >= 0.5)
    column = np.flatnonzero(weight[:, width // 2] >= 0.5)
    assert (row[-1] - row[0] + 1) / width == pytest.approx(2 * 1.15 * 0.27 * size, abs=0.01)
    assert (column[-1] - column[0] + 1) / height == pytest.approx(2 * 1.15 * 0.36 * size, abs=0.01)
    assert (row[0] + row[-1] + 1) / 2 / width == pytest.approx(0.50, abs=0.005)
    assert (column[0] + column[-1] + 1) / 2 / height == pytest.approx(0.47, abs=0.005)
    assert weight.max() == 1
    assert weight[0, 0] == weight[-1, -1] == 0


def test_focus_weighs_the_head_and_the_rest() -> None:
    inside, outside = Focus(focus=3.0).inside(48, 48), Focus(focus=3.0).outside(48, 48)
    assert (inside[22, 24], outside[22, 24]) == (3, 1)
    assert (inside[0, 0], outside[0, 0]) == (1, 3)
    assert (Focus().inside(48, 48) == 1).all()
    assert (Focus().outside(48, 48) == 1).all()


def test_the_face_of_a_portrait_is_about_a_tight_crop() -> None:
    left, top, right, bottom = face_part(192, 192, "portrait")
    assert (right - left, bottom - top) == (128, 128)
    assert left % 4 == top % 4 == 0  # whole cells
    side = TIGHT.scale / PORTRAIT.scale * 192
    assert right - left == pytest.approx(side, rel=0.06)
    center = (np.array(PORTRAIT.center) * 192 - (left, top)) / 128  # of the face in the part
    np.testing.assert_allclose(center, TIGHT.center, atol=0.02)
    for framing in ("tight", "center"):
        assert face_part(60, 40, framing) == (0, 0, 60, 40)


def test_the_weight_of_a_framed_face_is_zero_around_its_part() -> None:
    left, top, right, bottom = face_part(96, 96, "portrait")
    weight = framed_face_weight(96, 96, "portrait")
    np.testing.assert_array_equal(weight[top:bottom, left:right], face_weight(64, 64, np.ones(2)))
    assert weight.sum() == weight[top:bottom, left:right].sum()
    np.testing.assert_array_equal(framed_face_weight(50, 40, "tight"), face_weight(50, 40, np.ones(2)))
