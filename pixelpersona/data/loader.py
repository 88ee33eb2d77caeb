"""Batches as a pure function of (seed, step): nothing is carried, so a resumed run reads what it would have.

Samples are numbered through all epochs without a gap: sample n is item n % N of epoch n // N, in that epoch's
own order. So every item is seen equally often, also when the batch size does not divide N or is larger.

Several processes, or several passes before one optimizer step, share a step's batch in equal parts; a part
holds what the whole batch has in its places, dropped captions and mirroring included.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixelpersona.data.randomness import epoch_order, mirrored_samples, step_rng

if TYPE_CHECKING:  # the batches read what they are given; training alone does not need the image libraries
    from pixelpersona.data.latents import LatentSet
    from pixelpersona.data.pairset import PairSet

__all__ = ["WHOLE", "LatentBatch", "LatentBatches", "PairBatch", "PairBatches", "Part"]

_MAX_CACHED_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True)
class Part:
    """The index-th of `num` equal parts of a step's batch: what one process takes in one pass."""

    index: int = 0
    num: int = 1

    def of(self, num_samples: int) -> slice:
        """Its samples of the whole batch. Raises ValueError when that cannot be split so."""
        if num_samples % self.num:
            raise ValueError(f"a batch of {num_samples} does not split into {self.num} equal parts")
        size = num_samples // self.num
        return slice(self.index * size, (self.index + 1) * size)


WHOLE = Part()


@dataclass(frozen=True, slots=True, eq=False)
class LatentBatch:
    """latents: float32 [B, C, h, w]. text: states float32 [B, L, D], or tokens int64 [B, L] where the text
    encoder is trained as well. photos: latents of the photos, float32 [B, C, h, w]. palette, mask: for
    objectives that use them. part: which of the step's batch.
    """

    latents: Tensor
    text: Tensor
    ids: tuple[str, ...]
    photos: Tensor | None = None
    palette: Tensor | None = None
    mask: Tensor | None = None
    part: Part = WHOLE


@dataclass(frozen=True, slots=True, eq=False)
class PairBatch:
    """photo, pixel: uint8 [B, 3, H, W]."""

    photo: Tensor
    pixel: Tensor
    ids: tuple[str, ...]


class _Order:
    """Which items a step's batch holds."""

    def __init__(self, num_items: int, batch_size: int, seed: int) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.num_items, self.batch_size, self.seed = num_items, batch_size, seed
        self._recent: dict[int, NDArray[np.int64]] = {}  # only saves drawing the same order again

    def at(self, step: int) -> list[int]:
        return [int(self._epoch(epoch)[index]) for epoch, index in self._places(step)]

    def mirrored(self, step: int) -> Tensor:
        """Which samples of the batch are shown mirrored: bool [B]; each item in half of its epochs."""
        drawn = {epoch: mirrored_samples(self.num_items, self.seed, epoch) for epoch, _ in self._places(step)}
        return torch.tensor(
            [bool(drawn[epoch][self._epoch(epoch)[index]]) for epoch, index in self._places(step)]
        )

    def _places(self, step: int) -> list[tuple[int, int]]:
        """(epoch, number within it) of every sample of a batch."""
        if step < 0:
            raise ValueError(f"step must not be negative, got {step}")
        first = step * self.batch_size
        return [divmod(number, self.num_items) for number in range(first, first + self.batch_size)]

    def _epoch(self, epoch: int) -> NDArray[np.int64]:
        if epoch not in self._recent:
            self._recent = {old: order for old, order in self._recent.items() if old == epoch - 1}
            self._recent[epoch] = epoch_order(self.num_items, self.seed, epoch)
        return self._recent[epoch]


class LatentBatches:
    """Batches of latents and text states; the caption of each sample is dropped with `caption_dropout`.

    The order is a function of (seed, epoch), the dropout of (seed, step, place in the batch). A set with
    mirrored latents shows them in half of each sample's epochs, a function of (seed, epoch, sample).
    """

    def __init__(
        self, latent_set: "LatentSet", batch_size: int, seed: int, caption_dropout: float = 0.0
    ) -> None:
        if not 0 <= caption_dropout <= 1:
            raise ValueError(f"caption_dropout must be in [0, 1], got {caption_dropout}")
        self.batch_size = batch_size
        self._set = latent_set
        self._order = _Order(len(latent_set), batch_size, seed)
        self._seed = seed
        self._caption_dropout = caption_dropout

    def __len__(self) -> int:
        """Steps of one epoch, the last one begun counted whole."""
        return -(-len(self._set) // self.batch_size)

    def at(self, step: int, part: Part = WHOLE) -> LatentBatch:
        mine = part.of(self.batch_size)
        items = self._order.at(step)[mine]
        text = self._set.text[self._set.text_index[items]]
        draws = torch.rand(self.batch_size, generator=step_rng(self._seed, step, "caption dropout"))[mine]
        text[draws < self._caption_dropout] = self._set.empty_text
        latents, photos = self._set.latents[items], None
        if self._set.photos is not None:
            photos = self._set.photos[items]
        if self._set.mirrored is not None:
            shown = self._order.mirrored(step)[mine, None, None, None]
            latents = torch.where(shown, self._set.mirrored[items], latents)
            if photos is not None and self._set.mirrored_photos is not None:
                photos = torch.where(shown, self._set.mirrored_photos[items], photos)
        return LatentBatch(
            latents, text, tuple(self._set.ids[item] for item in items), photos=photos, part=part
        )


class PairBatches:
    """Batches of pictures of one split, read from the pair set; up to 512 MB of them stay in memory.

    mirror: show each pair mirrored in half of its epochs, a function of (seed, epoch, sample).
    """

    def __init__(
        self, pair_set: "PairSet", split: str, batch_size: int, seed: int, *, mirror: bool = False
    ) -> None:
        self.batch_size = batch_size
        self._mirror = mirror
        self._set = pair_set
        self._ids = [pair.id for pair in pair_set.pairs(split)]
        self._order = _Order(len(self._ids), batch_size, seed)
        self._cache: dict[str, tuple[Tensor, Tensor]] = {}
        self._cached_bytes = 0

    def __len__(self) -> int:
        """Steps of one epoch, the last one begun counted whole."""
        return -(-len(self._ids) // self.batch_size)

    def at(self, step: int, part: Part = WHOLE) -> PairBatch:
        mine = part.of(self.batch_size)
        batch = self._batch([self._ids[item] for item in self._order.at(step)[mine]])
        if not self._mirror:
            return batch
        shown = self._order.mirrored(step)[mine, None, None, None]
        photo, pixel = (torch.where(shown, side.flip(3), side) for side in (batch.photo, batch.pixel))
        return PairBatch(photo, pixel, batch.ids)

    def _batch(self, ids: Sequence[str]) -> PairBatch:
        pictures = [self._pictures(pair_id) for pair_id in ids]
        photos, pixels = zip(*pictures, strict=True)
        return PairBatch(torch.stack(photos), torch.stack(pixels), tuple(ids))

    def _pictures(self, pair_id: str) -> tuple[Tensor, Tensor]:
        if pair_id in self._cache:
            return self._cache[pair_id]
        pair = _to_tensor(self._set.photo(pair_id)), _to_tensor(self._set.pixel(pair_id))
        if self._cached_bytes < _MAX_CACHED_BYTES:
            self._cache[pair_id] = pair
            self._cached_bytes += pair[0].numel() + pair[1].numel()
        return pair


def _to_tensor(image: NDArray[np.uint8]) -> Tensor:
    """uint8 [H, W, 3] to uint8 [3, H, W]."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
