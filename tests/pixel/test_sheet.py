"""Contact sheets."""

import numpy as np
import pytest
from PIL import Image

from pixelpersona.pixel.sheet import contact_sheet


def colored(color: tuple[int, int, int], size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new("RGB", size, color)


def test_tiles_are_enlarged_exactly_and_stand_in_order() -> None:
    cells = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    sheet = np.asarray(contact_sheet([[colored((255, 0, 0)), Image.fromarray(cells)]], tile=32, gap=4))
    assert sheet.shape == (4 + 32 + 4, 4 + 2 * (32 + 4), 3)
    np.testing.assert_array_equal(sheet[4:36, 40:72], cells.repeat(4, axis=0).repeat(4, axis=1))
    assert (sheet[4:36, 4:36] == (255, 0, 0)).all()


def test_titles_are_drawn_and_fit() -> None:
    images = [[colored((0, 0, 255))] * 2] * 2
    plain = contact_sheet(images, tile=64)
    titled = contact_sheet(
        images,
        column_titles=["photo", "translator with a very, very long name"],
        row_titles=["a", "bb"],
        tile=64,
    )
    assert titled.height > plain.height
    assert titled.width > plain.width
    pixels = np.asarray(titled).astype(int)
    above = pixels[: titled.height - plain.height]
    assert (above.sum(axis=2) < 200).any()
    # The long title keeps off its neighbour: a gap of paper between the two columns.
    left = titled.width - 2 * (64 + 6)
    assert (above[:, left + 64 : left + 70].sum(axis=2) > 600).all()


def test_rows_may_differ_in_length_and_pictures_in_shape() -> None:
    sheet = contact_sheet([[colored((9, 9, 9), (16, 4))], [colored((9, 9, 9))] * 3], tile=16, gap=2)
    assert sheet.size == (2 + 3 * 18, 2 + 2 * 18)
    assert (np.asarray(sheet) == 9).all(axis=2).sum() == 16 * 4 + 3 * 16 * 16


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([[]])
    with pytest.raises(ValueError, match="2 column"):
        contact_sheet([[colored((0, 0, 0))]], column_titles=["a", "b"])
