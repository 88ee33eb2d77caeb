"""Contact sheets."""

import numpy as np
import pytest
from PIL import Image

from pixelpersona.pixel.sheet import contact_sheet


def colored(color: tuple[int, int, int], size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new("RGB", size, color)


def test_tiles_are_enlarged_exactly_and_in_order() -> None:
    cells = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    sheet = np.asarray(contact_sheet([[colored((255, 0, 0)), Image.fromarray(cells)]]))
    assert sheet.shape == (6 + 128 + 6, 6 + 2 * (128 + 6), 3)
    np.testing.assert_array_equal(sheet[6:134, 140:268], cells.repeat(16, axis=0).repeat(16, axis=1))
    assert (sheet[6:134, 6:134] == (255, 0, 0)).all()


def test_titles_are_drawn_and_fit() -> None:
    images = [[colored((0, 0, 255))] * 2] * 2
    plain = contact_sheet(images)
    titles = ["photo", "supervised with a very, very long name that no font size can fit"]
    titled = contact_sheet(images, column_titles=titles, row_titles=["a", "bb"])
    assert titled.height > plain.height
    assert titled.width > plain.width
    pixels = np.asarray(titled).astype(int)
    above = pixels[: titled.height - plain.height]
    assert (above.sum(axis=2) < 200).any()
    # The long title does not reach the first column: the gap between the columns is background.
    left = titled.width - 2 * (128 + 6)
    assert (above[:, left + 128 : left + 134].sum(axis=2) > 600).all()


def test_rows_of_different_lengths_and_images_of_different_shapes() -> None:
    sheet = contact_sheet([[colored((9, 9, 9), (16, 4))], [colored((9, 9, 9))] * 3])
    assert sheet.size == (6 + 3 * 134, 6 + 2 * 134)
    assert (np.asarray(sheet) == 9).all(axis=2).sum() == 128 * 32 + 3 * 128 * 128


def test_invalid_arguments_raise() -> None:
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([[]])
    with pytest.raises(ValueError, match="2 column"):
        contact_sheet([[colored((0, 0, 0))]], column_titles=["a", "b"])
