import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pixelpersona.data.latents import encode_pairs
from pixelpersona.data.pairs import PairRecipe, PairSet, prepare_pairs
from pixelpersona.data.sources import FolderSource
from pixelpersona.pixel.pixelation import Pixelation


class MeanEncoder:
    """Latents: cell means of the three channels and of their sum. Text states: lengths."""

    def __init__(self, sha256: str = "1" * 64, bias: float = 0.0) -> None:
        self.sha256 = sha256
        self.bias = bias
        self.num_images = 0

    def encode_images(self, images: NDArray[np.uint8]) -> Tensor:
        self.num_images += len(images)
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()
        means = torch.nn.functional.avg_pool2d(pixels, 4)
        return torch.cat([means, means.sum(dim=1, keepdim=True)], dim=1) + self.bias

    def encode_text(self, captions: Sequence[str]) -> Tensor:
        return torch.stack([torch.full((3, 2), float(len(caption))) for caption in captions])


@pytest.fixture(scope="module")
def pair_set(tmp_path_factory: pytest.TempPathFactory) -> PairSet:
    folder = tmp_path_factory.mktemp("photos")
    for i in range(40):
        coarse = np.random.default_rng(i).integers(0, 256, (2, 2, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((16, 16)).save(folder / f"{i:02d}.png")
    rows = [
        f'{{"file_name": "{i:02d}.png", "split": "{"heldout" if i < 4 else "train"}"}}' for i in range(40)
    ]
    (folder / "metadata.jsonl").write_text("\n".join(rows))
    recipe = PairRecipe(
        size=16, framing="center", pixelate=Pixelation(factor=4, palette=2), caption="pixel art"
    )
    return prepare_pairs(
        FolderSource(folder), recipe, tmp_path_factory.mktemp("data"), num_workers=1, progress=False
    )


def test_latents_are_the_pixel_arts_in_order(pair_set: PairSet, tmp_path: Path) -> None:
    latent_set = encode_pairs(pair_set, "train", MeanEncoder(), tmp_path, progress=False)
    assert latent_set.ids == tuple(pair.id for pair in pair_set.pairs("train"))
    assert len(latent_set) == 36
    assert latent_set.latents.shape == (36, 4, 4, 4)
    for index in (0, 31, 32, 35):  # both sides of a chunk's end
        cells = pair_set.pixel(latent_set.ids[index])[::4, ::4].astype(np.float32)
        assert np.allclose(latent_set.latents[index, :3].permute(1, 2, 0), cells)
    assert latent_set.text.shape == (1, 3, 2)
    assert latent_set.text[0, 0, 0] == len("pixel art")
    assert latent_set.text_index.tolist() == [0] * 36
    assert torch.equal(latent_set.empty_text, torch.zeros(3, 2))


def test_the_second_time_nothing_is_encoded(pair_set: PairSet, tmp_path: Path) -> None:
    encoder = MeanEncoder()
    first = encode_pairs(pair_set, "heldout", encoder, tmp_path, progress=False)
    second = encode_pairs(pair_set, "heldout", encoder, tmp_path, progress=False)
    assert encoder.num_images == 4
    assert second.ids == first.ids
    for name in ("latents", "text", "text_index", "empty_text"):
        assert torch.equal(getattr(first, name), getattr(second, name))
        assert getattr(first, name).dtype == getattr(second, name).dtype


def test_split_and_weights_have_their_own_files(pair_set: PairSet, tmp_path: Path) -> None:
    encode_pairs(pair_set, "train", MeanEncoder(), tmp_path, progress=False)
    encode_pairs(pair_set, "heldout", MeanEncoder(), tmp_path, progress=False)
    other = encode_pairs(pair_set, "heldout", MeanEncoder("2" * 64, bias=1.0), tmp_path, progress=False)
    assert len(list(tmp_path.iterdir())) == 3
    assert torch.equal(
        encode_pairs(pair_set, "heldout", MeanEncoder("2" * 64), tmp_path, progress=False).latents,
        other.latents,
    )


@pytest.mark.parametrize("damage", ["cut", "flipped bit", "empty", "another's"])
def test_a_damaged_cache_is_encoded_again_with_one_warning(
    pair_set: PairSet, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    encoder = MeanEncoder()
    whole = encode_pairs(pair_set, "heldout", encoder, tmp_path, progress=False)
    (file,) = tmp_path.iterdir()
    data = bytearray(file.read_bytes())
    match damage:
        case "cut":
            data = data[:-1]
        case "flipped bit":
            data[-5] ^= 1
        case "empty":
            data.clear()
        case _:
            encode_pairs(pair_set, "heldout", MeanEncoder("3" * 64), tmp_path / "other", progress=False)
            data = bytearray(next((tmp_path / "other").iterdir()).read_bytes())
    file.write_bytes(bytes(data))
    with caplog.at_level(logging.WARNING):
        mended = encode_pairs(pair_set, "heldout", encoder, tmp_path, progress=False)
        assert torch.equal(mended.latents, whole.latents)
        assert encoder.num_images == 8
        assert len(caplog.records) == 1
        assert str(file) in caplog.text
        encode_pairs(pair_set, "heldout", encoder, tmp_path, progress=False)
        assert (encoder.num_images, len(caplog.records)) == (8, 1)


def test_an_encoder_that_overflows_is_not_cached(pair_set: PairSet, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="latents that are not finite"):
        encode_pairs(pair_set, "heldout", MeanEncoder(bias=float("nan")), tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []
