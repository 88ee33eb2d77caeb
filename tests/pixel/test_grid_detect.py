"""The grid of foreign art is found, and none in photos."""

import io

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut, chelsea, coffee

from pixelpersona.pixel.grid import Grid, cut
from pixelpersona.pixel.grid_detect import detect_grid
from pixelpersona.pixel.score import grid_contrast
from pixelpersona.pixel.snap import snap

PHOTO = np.ascontiguousarray(astronaut())
CELLS = {n: snap(PHOTO, Grid.of(512, 512, 512 // n), 16).cells for n in (16, 32)}


def enlarged(cells: np.ndarray, scale: int, x: int = 0, y: int = 0) -> np.ndarray:
    """Every cell scale x scale pixels, the first whole cell at (x, y)."""
    image = np.repeat(np.repeat(cells, scale, axis=0), scale, axis=1)
    return image[(scale - y) % scale :, (scale - x) % scale :]


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


@pytest.mark.parametrize("num_cells", [16, 32])
@pytest.mark.parametrize(
    ("scale", "x", "y"), [(2, 1, 0), (3, 2, 1), (4, 0, 0), (7, 3, 5), (8, 1, 7), (16, 5, 9)]
)
def test_enlarged_art_is_found_and_after_jpeg_too(num_cells: int, scale: int, x: int, y: int) -> None:
    image = enlarged(CELLS[num_cells], scale, x, y)
    columns, rows = (image.shape[1] - x) // scale, (image.shape[0] - y) // scale
    for picture, least in ((image, 0.99), (jpeg(image, 95), 0.6), (jpeg(image, 80), 0.5)):
        found = detect_grid(picture)
        assert found is not None
        assert found.grid == Grid(columns, rows, scale, (x, y))
        assert least <= found.confidence <= 1.0


@pytest.mark.parametrize("photo", [PHOTO, chelsea(), coffee(), jpeg(PHOTO, 50)])
def test_a_photo_has_no_grid(photo: np.ndarray) -> None:
    assert detect_grid(photo) is None
    anyway = detect_grid(photo, 0.0)
    assert anyway is None or anyway.confidence < 0.1


def test_noise_blur_and_art_at_its_true_size_have_none() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(CELLS[32]).resize((256, 256), Image.Resampling.BICUBIC))
    for image in (noise, smooth, CELLS[32], np.full((64, 64, 3), 9, np.uint8)):
        assert detect_grid(image) is None


def test_confidence_falls_with_noise() -> None:
    image = enlarged(CELLS[32], 6)
    values = []
    for quality in (95, 75, 30):
        found = detect_grid(jpeg(image, quality), 0.0)
        assert found is not None
        values.append(found.confidence)
    assert values[0] > values[1] > values[2]


def test_a_small_sprite_on_an_empty_ground() -> None:
    canvas = np.full((32, 32, 3), 255, np.uint8)
    canvas[8:24, 10:22] = CELLS[32][8:24, 10:22]
    found = detect_grid(enlarged(canvas, 6))
    assert found is not None
    assert found.grid == Grid(32, 32, 6)


def test_two_edges_are_no_grid() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    image[:, 90:] = 255
    image[70:] = 128
    assert detect_grid(image, 0.0) is None


def test_the_cropped_picture_is_made_of_its_grid() -> None:
    image = enlarged(CELLS[16], 7, 3, 5)
    found = detect_grid(image)
    assert found is not None
    part, grid = found.crop(image)
    assert grid_contrast(part, grid) == 1.0
    np.testing.assert_array_equal(cut(part, grid)[:, :, 0, 0], CELLS[16][1:, 1:])


def test_the_smallest_pictures_and_wrong_values() -> None:
    for side in (1, 2, 7):
        assert detect_grid(np.zeros((side, side, 3), np.uint8)) is None
    with pytest.raises(ValueError, match="uint8"):
        detect_grid(PHOTO[..., 0])
    with pytest.raises(ValueError, match="min_confidence"):
        detect_grid(PHOTO, 2.0)
