import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from pixelpersona.inference.direct import (
    DirectStylizer,
    NetworkDraw,
    PixelationDraw,
    RecordedTarget,
    RoundTrip,
    unchanged,
)
from pixelpersona.inference.portrait import PortraitMaker
from pixelpersona.models.base import BaseModel
from pixelpersona.models.codec import Codec
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pixelator import pixelize
from pixelpersona.pixel.postprocess import Postprocess


@pytest.fixture
def photos() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in range(5)]


def test_unchanged_gives_the_photo_itself(photos: list[Image.Image]) -> None:
    maker: PortraitMaker = DirectStylizer(unchanged, cell=4, postprocess=Postprocess(num_colors=8))
    portraits = maker.portraits(photos, [3, 4, 5, 6, 7])
    assert [p.image.tobytes() for p in portraits] == [p.tobytes() for p in photos]
    assert [p.seed for p in portraits] == [3, 4, 5, 6, 7]
    assert all(len(p.snapped.palette) <= 8 and p.snapped.cells.shape == (8, 8, 3) for p in portraits)
    assert {p.strength for p in portraits} == {0.0}


def test_photos_are_drawn_in_batches(photos: list[Image.Image], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixelpersona.inference.portrait._BATCH_SIZE", 2)
    sizes = []

    def invert(batch: NDArray[np.uint8]) -> NDArray[np.uint8]:
        sizes.append(len(batch))
        return 255 - batch

    portraits = DirectStylizer(invert, cell=4).portraits(photos, range(5))
    assert sizes == [2, 2, 1]
    for portrait, photo in zip(portraits, photos, strict=True):
        assert (np.asarray(portrait.image) == 255 - np.asarray(photo)).all()
        assert portrait.photo.tobytes() == photo.tobytes()


class Negative(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.sign = nn.Parameter(torch.tensor(-1.0))
        self.dropout = nn.Dropout(0.5)

    def forward(self, photo: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.sign * photo)


def test_a_network_draws_in_eval_mode_and_returns_to_training_mode(photos: list[Image.Image]) -> None:
    network = Negative().train()
    portraits = DirectStylizer(NetworkDraw(network), cell=4).portraits(photos, range(5))
    assert network.training
    for portrait, photo in zip(portraits, photos, strict=True):
        assert (np.asarray(portrait.image) == 255 - np.asarray(photo)).all()


def test_pixelation_draw_gives_the_recipes_pixel_art(photos: list[Image.Image]) -> None:
    recipe = Pixelation(factor=4, palette=4)
    batch = np.stack([np.asarray(photo) for photo in photos])
    expected = [pixelize(photo, recipe)[0] for photo in batch]
    assert np.array_equal(PixelationDraw(recipe)(batch), np.stack(expected))


def test_a_recorded_target_is_found_by_the_bytes_of_the_photo(photos: list[Image.Image]) -> None:
    batch = np.stack([np.asarray(photo) for photo in photos])
    target = RecordedTarget(list(batch), list(255 - batch))
    assert np.array_equal(target(batch[[3, 1]]), 255 - batch[[3, 1]])
    with pytest.raises(KeyError):
        target(batch[:1] ^ 1)
    with pytest.raises(ValueError, match="shorter"):
        RecordedTarget(list(batch), [])


def test_a_round_trip_encodes_and_decodes_the_pictures(
    micro_base: BaseModel, photos: list[Image.Image]
) -> None:
    batch, codec = np.stack([np.asarray(photo) for photo in photos]), Codec(micro_base)
    drawn = RoundTrip(codec, lambda images: 255 - images)(batch)
    assert np.array_equal(drawn, codec.decode_latents(codec.encode_images(255 - batch)))
    assert drawn.shape == batch.shape


def test_wrong_photos_are_named(photos: list[Image.Image]) -> None:
    with pytest.raises(ValueError, match="photo 0 is 30x32 pixels: accepted multiples of 4"):
        DirectStylizer(unchanged, cell=4).portraits([photos[0].resize((30, 32))], [0])
    with pytest.raises(ValueError, match="5 photos and 0 seeds"):
        DirectStylizer(unchanged, cell=4).portraits(photos, [])
