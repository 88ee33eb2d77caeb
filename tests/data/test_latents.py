import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from pixelpersona.data.latents import encode_pairs
from pixelpersona.data.loader import LatentBatches
from pixelpersona.data.pairs import prepare_pairs
from pixelpersona.data.pairset import PairSet
from pixelpersona.data.sources import FolderSource
from tests.data.preparing import RECIPE


class MeanEncoder:
    """Latents are the cell means of the channels and of their sum, text states the caption's length."""

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
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for i in range(40):
        coarse = np.random.default_rng(i).integers(0, 256, (2, 2, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((16, 16)).save(folder / f"{i:02d}.png")
    rows = [f'{{"file_name": "{i:02d}.png", "split": "{"val" if i < 4 else "train"}"}}' for i in range(40)]
    (folder / "metadata.jsonl").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module")
def pair_set(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> PairSet:
    return prepare_pairs(FolderSource(photos), RECIPE, tmp_path_factory.mktemp("data"), num_workers=1)


def test_latents_are_those_of_the_pixel_art_in_order(pair_set: PairSet, tmp_path: Path) -> None:
    latent_set = encode_pairs(pair_set, "train", MeanEncoder(), tmp_path)
    assert latent_set.ids == tuple(pair.id for pair in pair_set.pairs("train"))
    assert len(latent_set) == 36
    assert latent_set.latents.shape == (36, 4, 4, 4)
    for index in (0, 31, 32, 35):  # on both sides of a chunk boundary
        cells = pair_set.pixel(latent_set.ids[index])[::4, ::4].astype(np.float32)
        assert np.allclose(latent_set.latents[index, :3].permute(1, 2, 0), cells)
    assert latent_set.text.shape == (1, 3, 2)
    assert latent_set.text[0, 0, 0] == len("pixel art")
    assert latent_set.text_index.tolist() == [0] * 36
    assert torch.equal(latent_set.empty_text, torch.zeros(3, 2))


def test_nothing_is_encoded_twice(pair_set: PairSet, tmp_path: Path) -> None:
    encoder = MeanEncoder()
    first = encode_pairs(pair_set, "val", encoder, tmp_path)
    second = encode_pairs(pair_set, "val", encoder, tmp_path)
    assert encoder.num_images == 4
    assert second.ids == first.ids
    for name in ("latents", "text", "text_index", "empty_text"):
        assert torch.equal(getattr(first, name), getattr(second, name))
        assert getattr(first, name).dtype == getattr(second, name).dtype


def test_splits_share_a_folder_and_encoders_do_not(pair_set: PairSet, tmp_path: Path) -> None:
    encode_pairs(pair_set, "train", MeanEncoder(), tmp_path)
    encode_pairs(pair_set, "val", MeanEncoder(), tmp_path)
    other = encode_pairs(pair_set, "val", MeanEncoder("2" * 64, bias=1.0), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    again = encode_pairs(pair_set, "val", MeanEncoder("2" * 64), tmp_path)
    assert torch.equal(again.latents, other.latents)


def test_changing_one_picture_encodes_one_picture(photos: Path, pair_set: PairSet, tmp_path: Path) -> None:
    encoder = MeanEncoder()
    before = encode_pairs(pair_set, "train", encoder, tmp_path)
    changed = tmp_path / "photos"
    shutil.copytree(photos, changed)
    Image.fromarray(255 - np.asarray(Image.open(photos / "07.png"))).save(changed / "07.png")
    other = prepare_pairs(FolderSource(changed), RECIPE, tmp_path / "data", num_workers=1)
    encoder.num_images = 0
    after = encode_pairs(other, "train", encoder, tmp_path)
    assert encoder.num_images == 1
    differing = [
        pair_id
        for pair_id, a, b in zip(after.ids, before.latents, after.latents, strict=True)
        if (a != b).any()
    ]
    assert differing == ["07.png"]
    fresh = encode_pairs(other, "train", MeanEncoder(), tmp_path / "fresh")
    assert torch.equal(fresh.latents, after.latents)


def test_a_new_latents_version_reuses_nothing(
    pair_set: PairSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = MeanEncoder()
    encode_pairs(pair_set, "val", encoder, tmp_path)
    monkeypatch.setattr("pixelpersona.data.latents.LATENTS_VERSION", 99)
    encode_pairs(pair_set, "val", encoder, tmp_path)
    assert encoder.num_images == 8


def test_mirrored_latents_are_those_of_the_mirrored_pictures(pair_set: PairSet, tmp_path: Path) -> None:
    encoder = MeanEncoder()
    plain = encode_pairs(pair_set, "val", encoder, tmp_path)
    assert plain.mirrored is None
    both = encode_pairs(pair_set, "val", encoder, tmp_path, mirrored=True)
    assert encoder.num_images == 8  # the others came from the cache
    assert both.mirrored is not None
    assert torch.equal(both.latents, plain.latents)
    for pair_id, latents in zip(both.ids, both.mirrored, strict=True):
        cells = pair_set.pixel(pair_id)[::4, ::-4].astype(np.float32)
        assert np.allclose(latents[:3].permute(1, 2, 0), cells)


def test_an_interrupted_run_keeps_its_full_shards(
    pair_set: PairSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopping(MeanEncoder):
        def encode_images(self, images: NDArray[np.uint8]) -> Tensor:
            if self.num_images >= 16:
                raise KeyboardInterrupt
            return super().encode_images(images)

    monkeypatch.setattr("pixelpersona.data.latents.SHARD_ENTRIES", 8)
    with pytest.raises(KeyboardInterrupt):
        encode_pairs(pair_set, "train", Stopping(), tmp_path)
    encoder = MeanEncoder()
    encode_pairs(pair_set, "train", encoder, tmp_path)
    assert encoder.num_images == 36 - 16


def latent_file(root: Path) -> Path:
    (file,) = root.glob("latents-*/latents-*.safetensors")
    return file


@pytest.mark.parametrize(
    ("damage", "num_again"),
    [("truncated", 4), ("flipped bit", 1), ("empty", 4), ("other encoder", 4), ("renamed", 4)],
)
def test_a_damaged_cache_is_encoded_again_with_one_warning(
    pair_set: PairSet, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str, num_again: int
) -> None:
    encoder = MeanEncoder()
    whole = encode_pairs(pair_set, "val", encoder, tmp_path)
    file = latent_file(tmp_path)
    data = bytearray(file.read_bytes())
    match damage:
        case "truncated":
            data = data[:-1]
        case "flipped bit":
            data[-5] ^= 1
        case "empty":
            data.clear()
        case "other encoder":
            encode_pairs(pair_set, "val", MeanEncoder("3" * 64), tmp_path / "other")
            data = bytearray(latent_file(tmp_path / "other").read_bytes())
        case _:
            file = file.rename(file.with_name("latents-0123456789abcdef.safetensors"))
    file.write_bytes(bytes(data))
    with caplog.at_level(logging.WARNING):
        repaired = encode_pairs(pair_set, "val", encoder, tmp_path)
        assert torch.equal(repaired.latents, whole.latents)
        assert encoder.num_images == 4 + num_again
        assert len(caplog.records) == 1
        assert str(file) in caplog.text
        encode_pairs(pair_set, "val", encoder, tmp_path)
        assert (encoder.num_images, len(caplog.records)) == (4 + num_again, 1)


def test_equal_pictures_are_encoded_once(photos: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        shutil.copy(photos / ("00.png" if name < "c" else "01.png"), tmp_path / "photos" / f"{name}.png")
    rows = [f'{{"file_name": "{name}.png", "split": "train"}}' for name in "abc"]
    (tmp_path / "photos" / "metadata.jsonl").write_text("\n".join(rows))
    encoder = MeanEncoder()
    pairs = prepare_pairs(FolderSource(tmp_path / "photos"), RECIPE, tmp_path / "data", num_workers=1)
    latents = encode_pairs(pairs, "train", encoder, tmp_path).latents
    assert encoder.num_images == 2
    assert torch.equal(latents[0], latents[1])
    assert not torch.equal(latents[0], latents[2])


def test_non_finite_latents_are_not_cached(pair_set: PairSet, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="latents that are not finite"):
        encode_pairs(pair_set, "val", MeanEncoder(bias=float("nan")), tmp_path)
    assert not list(tmp_path.glob("*/latents-*"))


@pytest.mark.parametrize("mirrored", [False, True])
def test_latents_of_the_photos_are_encoded_if_asked_for(
    pair_set: PairSet, tmp_path: Path, mirrored: bool
) -> None:
    encoder = MeanEncoder()
    found = encode_pairs(pair_set, "train", encoder, tmp_path, mirrored=mirrored, photos=True)
    pairs = pair_set.pairs("train")
    assert encoder.num_images == (4 if mirrored else 2) * len(pairs)
    expected = encoder.encode_images(np.stack([pair_set.photo(pair.id) for pair in pairs]))
    assert found.photos is not None
    torch.testing.assert_close(found.photos, expected)
    assert not torch.allclose(found.photos, found.latents)
    if mirrored:
        assert found.mirrored_photos is not None
        torch.testing.assert_close(found.mirrored_photos, expected.flip(3))
    batch = LatentBatches(found, 6, seed=0).at(2)
    assert batch.photos is not None
    for photo, latents, pair_id in zip(batch.photos, batch.latents, batch.ids, strict=True):
        place = found.ids.index(pair_id)
        shown = torch.equal(latents, found.latents[place])
        torch.testing.assert_close(photo, expected[place] if shown else expected[place].flip(2))
    assert encode_pairs(pair_set, "train", encoder, tmp_path).photos is None


def test_every_progress_bar_says_what_is_encoded(
    pair_set: PairSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    def record(*, desc: str | None, disable: bool, total: int, unit: str) -> "tqdm[Any]":
        if not disable:
            shown.append(f"{desc}: {total} {unit}s")
        return tqdm(disable=True)

    monkeypatch.setattr("pixelpersona.data.latents.tqdm", record)
    for _ in range(2):  # the second time there is nothing to encode
        encode_pairs(pair_set, "train", MeanEncoder(), tmp_path, mirrored=True, photos=True)
    assert shown == [
        "train: pixel art to latents: 36 pictures",
        "train: pixel art, mirrored, to latents: 36 pictures",
        "train: photos to latents: 36 pictures",
        "train: photos, mirrored, to latents: 36 pictures",
    ]
