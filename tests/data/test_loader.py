from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixelpersona.data.latents import LatentSet
from pixelpersona.data.loader import LatentBatches, PairBatches, Part
from pixelpersona.data.pairs import prepare_pairs
from pixelpersona.data.pairset import PairSet
from pixelpersona.data.sources import FolderSource
from tests.data.preparing import RECIPE


@pytest.fixture
def pair_set(tmp_path: Path) -> PairSet:
    """Five photos of 8x8 pixels, four of them for training."""
    (tmp_path / "photos").mkdir()
    for i in range(5):
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{i}.png")
    source = FolderSource(tmp_path / "photos")
    return prepare_pairs(source, replace(RECIPE, size=8), tmp_path / "data", val_share=0.1, num_workers=1)


def latent_set(num_items: int) -> LatentSet:
    """Item i has latents of i and caption i % 2 with text states of 10 + i % 2; the empty caption has -1."""
    return LatentSet(
        latents=torch.arange(num_items).float()[:, None, None, None].expand(num_items, 4, 2, 2),
        text=torch.tensor([10.0, 11.0])[:, None, None].expand(2, 3, 5),
        text_index=torch.arange(num_items) % 2,
        empty_text=torch.full((3, 5), -1.0),
        ids=tuple(f"photo {i}" for i in range(num_items)),
        captions=("even", "odd"),
    )


def items(batches: LatentBatches, steps: range) -> list[int]:
    return [int(value) for step in steps for value in batches.at(step).latents[:, 0, 0, 0]]


def test_latents_text_and_ids_belong_together() -> None:
    batch = LatentBatches(latent_set(7), 3, seed=0).at(4)
    assert batch.latents.shape == (3, 4, 2, 2)
    assert batch.text.shape == (3, 3, 5)
    for latents, text, photo_id in zip(batch.latents, batch.text, batch.ids, strict=True):
        index = int(latents[0, 0, 0])
        assert photo_id == f"photo {index}"
        assert text[0, 0] == 10 + index % 2


@pytest.mark.parametrize("batch_size", [1, 3, 7, 16])
def test_every_epoch_holds_every_item_once(batch_size: int) -> None:
    batches = LatentBatches(latent_set(7), batch_size, seed=5)
    stream = items(batches, range(3 * 7))
    epochs = [stream[start : start + 7] for start in range(0, 21 * batch_size - 6, 7)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert len(batches) == -(-7 // batch_size)


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    there = LatentBatches(latent_set(20), 6, seed=1, caption_dropout=0.5)
    forward = {step: there.at(step) for step in range(12)}
    for step in (11, 3, 0, 7):
        again = LatentBatches(latent_set(20), 6, seed=1, caption_dropout=0.5).at(step)
        assert torch.equal(again.latents, forward[step].latents)
        assert torch.equal(again.text, forward[step].text)
        assert again.ids == forward[step].ids
    assert items(there, range(12)) != items(LatentBatches(latent_set(20), 6, seed=2), range(12))


def test_caption_dropout_has_the_given_rate_and_does_not_change_the_order() -> None:
    kept = LatentBatches(latent_set(20), 50, seed=1)
    some = LatentBatches(latent_set(20), 50, seed=1, caption_dropout=0.3)
    dropped = Counter(bool((text == -1).all()) for step in range(40) for text in some.at(step).text)
    assert 518 < dropped[True] < 682  # 600 of 2000, 4 standard deviations of 20.5
    assert items(kept, range(5)) == items(some, range(5))
    assert not any((kept.at(step).text == -1).any() for step in range(40))
    everything = LatentBatches(latent_set(20), 8, seed=1, caption_dropout=1.0).at(0)
    assert bool((everything.text == -1).all())


def test_numbers_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        LatentBatches(latent_set(3), 0, seed=0)
    with pytest.raises(ValueError, match=r"caption_dropout must be in \[0, 1\]"):
        LatentBatches(latent_set(3), 1, seed=0, caption_dropout=1.5)
    with pytest.raises(ValueError, match="step must not be negative"):
        LatentBatches(latent_set(3), 1, seed=0).at(-1)


@pytest.mark.parametrize("cached", [True, False])
def test_pair_batches_hold_the_pictures_of_the_set(
    pair_set: PairSet, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    if not cached:
        monkeypatch.setattr("pixelpersona.data.loader._MAX_CACHED_BYTES", 0)
    batches = PairBatches(pair_set, "train", 3, seed=0)
    seen = set()
    for step in range(4):  # 12 samples: three epochs of four photos
        batch = batches.at(step)
        assert batch.photo.shape == batch.pixel.shape == (3, 3, 8, 8)
        assert batch.photo.dtype == batch.pixel.dtype == torch.uint8
        for photo, pixel, pair_id in zip(batch.photo, batch.pixel, batch.ids, strict=True):
            assert np.array_equal(photo.permute(1, 2, 0).numpy(), pair_set.photo(pair_id))
            assert np.array_equal(pixel.permute(1, 2, 0).numpy(), pair_set.pixel(pair_id))
            seen.add(pair_id)
    assert seen == {pair.id for pair in pair_set.pairs("train")}


@pytest.mark.parametrize("batch_size", [3, 7, 16])
def test_each_sample_is_mirrored_in_exactly_half_of_its_epochs(batch_size: int) -> None:
    plain = latent_set(7)
    both = replace(plain, mirrored=plain.latents + 100)
    there, without = LatentBatches(both, batch_size, seed=5), LatentBatches(plain, batch_size, seed=5)
    shown: dict[str, list[bool]] = defaultdict(list)
    for step in range(7 * 8):
        batch = there.at(step)
        mirrored = batch.latents[:, 0, 0, 0] >= 100
        assert torch.equal(batch.latents - 100 * mirrored[:, None, None, None], without.at(step).latents)
        assert batch.ids == without.at(step).ids
        for photo_id, flag in zip(batch.ids, mirrored.tolist(), strict=True):
            shown[photo_id].append(flag)
    assert {len(flags) for flags in shown.values()} == {8 * batch_size}
    for flags in shown.values():  # epochs 2k and 2k + 1
        assert all(a != b for a, b in zip(flags[::2], flags[1::2], strict=True))
    assert len({tuple(flags) for flags in shown.values()}) > 1
    for step in (20, 3):
        assert torch.equal(LatentBatches(both, batch_size, seed=5).at(step).latents, there.at(step).latents)


def test_photo_and_pixel_art_are_mirrored_together(pair_set: PairSet) -> None:
    batches = PairBatches(pair_set, "train", 4, seed=0, mirror=True)
    counts: Counter[str] = Counter()
    for step in range(6):  # six epochs of four
        batch = batches.at(step)
        for photo, pixel, pair_id in zip(batch.photo, batch.pixel, batch.ids, strict=True):
            plain = pair_set.photo(pair_id), pair_set.pixel(pair_id)
            sides = photo.permute(1, 2, 0).numpy(), pixel.permute(1, 2, 0).numpy()
            mirrored = not np.array_equal(sides[0], plain[0])
            for side, expected in zip(sides, plain, strict=True):
                assert np.array_equal(side, expected[:, ::-1] if mirrored else expected)
            counts[pair_id] += mirrored
    assert set(counts.values()) == {3}


def places(num_items: int, side: int) -> LatentSet:
    """Latents whose two channels are row and column, photos 100 above them."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    latents = torch.stack([rows, columns]).float().expand(num_items, 2, side, side)
    return replace(latent_set(num_items), latents=latents, photos=latents + 100)


def test_a_crop_is_a_square_at_a_random_place_the_same_in_the_photo() -> None:
    batches = LatentBatches(places(7, 12), 6, seed=1, crop=8)
    corners = set()
    for step in range(30):
        batch = batches.at(step)
        assert batch.latents.shape == (6, 2, 8, 8)
        assert batch.photos is not None
        torch.testing.assert_close(batch.photos, batch.latents + 100)
        for one in batch.latents:
            row, column = (int(value) for value in one[:, 0, 0])
            torch.testing.assert_close(one, places(1, 12).latents[0, :, row : row + 8, column : column + 8])
            corners.add((row, column))
    assert corners == {(row, column) for row in range(5) for column in range(5)}


def test_crops_depend_on_seed_and_step_and_parts_share_them() -> None:
    batches = LatentBatches(places(7, 12), 6, seed=1, crop=8)
    again = LatentBatches(places(7, 12), 6, seed=1, crop=8)
    whole = batches.at(5).latents
    torch.testing.assert_close(again.at(5).latents, whole)
    parts = torch.cat([again.at(5, Part(index, 3)).latents for index in range(3)])
    torch.testing.assert_close(parts, whole)
    other = LatentBatches(places(7, 12), 6, seed=2, crop=8)
    assert any((other.at(step).latents != batches.at(step).latents).any() for step in range(3))
    full = LatentBatches(places(7, 12), 6, seed=1).at(5)
    assert full.ids == batches.at(5).ids


@pytest.mark.parametrize("crop", [7, 13])
def test_another_crop_is_refused(crop: int) -> None:
    with pytest.raises(ValueError, match=f"loop.latent_crop={crop}: accepted null, or 8 to 12"):
        LatentBatches(places(7, 12), 6, seed=1, crop=crop)
