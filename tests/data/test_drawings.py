from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut

from pixelpersona.data.drawings import DRAWINGS_PER_PHOTO, drawn_cells
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pixelator import pixelize

STYLE = Pixelation(palette=5, fit="kmeans", downsample="median")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    file = tmp_path / "photos.npy"
    np.save(file, np.stack([astronaut()[top : top + 64, 180:244] for top in (60, 90, 120)]))
    return file


def test_every_photo_has_three_drawings_and_every_second_one_in_the_style(
    photos: Path, tmp_path: Path
) -> None:
    drawn = drawn_cells(photos, STYLE, 4, tmp_path / "drawings.npy")
    assert drawn.shape == (3, DRAWINGS_PER_PHOTO, 16, 16, 3)
    styled = Pixelation(factor=4, palette=5, fit="kmeans", downsample="median")
    pictures = np.load(photos)
    for number, same in ((0, True), (1, False), (2, True)):
        expected = pixelize(pictures[number], styled)[0][::4, ::4]
        assert np.array_equal(drawn[number, 2], expected) == same
    assert len(np.unique(drawn[0, 0].reshape(-1, 3), axis=0)) <= 6


def test_drawings_are_cached_and_do_not_depend_on_the_number_of_workers(photos: Path, tmp_path: Path) -> None:
    one = drawn_cells(photos, STYLE, 4, tmp_path / "one.npy", num_workers=1)
    two = drawn_cells(photos, STYLE, 4, tmp_path / "two.npy", num_workers=2)
    assert np.array_equal(one, two)
    written = (tmp_path / "one.npy").stat().st_mtime_ns
    drawn_cells(photos, STYLE, 4, tmp_path / "one.npy")
    assert (tmp_path / "one.npy").stat().st_mtime_ns == written


def test_drawings_of_other_photos_are_refused(photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "drawings.npy"
    drawn_cells(photos, STYLE, 4, file)
    np.save(photos, np.load(photos)[:2])
    with pytest.raises(ValueError, match="drawn from other photos"):
        drawn_cells(photos, STYLE, 4, file)
