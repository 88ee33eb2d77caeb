"""Training batches as a function of (seed, step): there is no state, so a resumed run reads the same batches.

Several processes, or several passes before one optimizer step, share a step's batch in equal parts. A part is
a slice of the whole batch, with the same dropped captions and mirrored samples.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixelpersona.data.generators import step_rng
from pixelpersona.data.latents import LatentSet
from pixelpersona.data.pairset import PairSet
from pixelpersona.data.randomness import BatchOrder

_MAX_CACHED_BYTES = 512 * 2**20
_SMALLEST_CROP = 8  # latent cells: less shows no shape


@dataclass(frozen=True, slots=True)
class Part:
    """Part `index` of `num` equal parts of a step's batch: what one process takes in one pass."""

    index: int = 0
    num: int = 1

    def of(self, num_samples: int) -> slice:
        """The part's samples in the whole batch. Raises ValueError when the parts would not be equal."""
        if num_samples % self.num:
            raise ValueError(f"a batch of {num_samples} does not split into {self.num} equal parts")
        size = num_samples // self.num
        return slice(self.index * size, (self.index + 1) * size)


WHOLE = Part()


@dataclass(frozen=True, slots=True, eq=False)
class LatentBatch:
    """One batch of encoded pairs.

    latents: float32 [B, C, h, w] of the pixel art.
    text: text states float32 [B, L, D]; token ids int64 [B, L] where the text encoder is trained as well.
    photos: latents of the photos, float32 [B, C, h, w], if the objective needs them.
    part: which part of the step's batch this is.
    """

    latents: Tensor
    text: Tensor
    ids: tuple[str, ...]
    photos: Tensor | None = None
    part: Part = WHOLE


@dataclass(frozen=True, slots=True, eq=False)
class PairBatch:
    """photo, pixel: uint8 [B, 3, H, W]."""

    photo: Tensor
    pixel: Tensor
    ids: tuple[str, ...]


class LatentBatches:
    """Batches of latents and text states; every caption is dropped with probability `caption_dropout`.

    The dropout is a function of (seed, step, place in the batch). A set with mirrored latents shows them in
    half of each sample's epochs. crop: side of a square of the latents, in latent cells, at a random place in
    each sample, which is all that the sample shows; None for the whole. A style can be learned from parts,
    and a step of 32x32 instead of 48x48 latent cells takes less than half the time.
    Raises ValueError when a number is out of range.
    """

    def __init__(
        self,
        latent_set: LatentSet,
        batch_size: int,
        seed: int,
        caption_dropout: float = 0.0,
        crop: int | None = None,
    ) -> None:
        if not 0 <= caption_dropout <= 1:
            raise ValueError(f"caption_dropout must be in [0, 1], got {caption_dropout}")
        side = min(latent_set.latents.shape[2:])
        if crop is not None and not _SMALLEST_CROP <= crop <= side:
            raise ValueError(f"loop.latent_crop={crop}: accepted null, or {_SMALLEST_CROP} to {side}")
        self.batch_size = batch_size
        self._set, self._seed, self._caption_dropout, self._crop = latent_set, seed, caption_dropout, crop
        self._order = BatchOrder(len(latent_set), batch_size, seed)

    def __len__(self) -> int:
        """Steps per epoch, rounded up."""
        return -(-len(self._set) // self.batch_size)

    def at(self, step: int, part: Part = WHOLE) -> LatentBatch:
        """The batch of a step, or a part of it."""
        mine = part.of(self.batch_size)
        items = self._order.at(step)[mine]
        text = self._set.text[self._set.text_index[items]]
        draws = torch.rand(self.batch_size, generator=step_rng(self._seed, step, "caption dropout"))[mine]
        text[draws < self._caption_dropout] = self._set.empty_text
        latents = self._set.latents[items]
        photos = None if self._set.photos is None else self._set.photos[items]
        if self._set.mirrored is not None:
            shown = torch.from_numpy(self._order.mirrored(step))[mine, None, None, None]
            latents = torch.where(shown, self._set.mirrored[items], latents)
            if photos is not None and self._set.mirrored_photos is not None:
                photos = torch.where(shown, self._set.mirrored_photos[items], photos)
        if self._crop is not None:
            corners = self._corners(step)[mine]
            latents = _crops(latents, corners, self._crop)
            photos = None if photos is None else _crops(photos, corners, self._crop)
        ids = tuple(self._set.ids[item] for item in items)
        return LatentBatch(latents, text, ids, photos, part)

    def _corners(self, step: int) -> Tensor:
        """Row and column of the first cell of every sample's crop, int64 [B, 2]."""
        assert self._crop is not None
        rng = step_rng(self._seed, step, "crop")
        num_places = [side - self._crop + 1 for side in self._set.latents.shape[2:]]
        return torch.stack(
            [torch.randint(num, (self.batch_size,), generator=rng) for num in num_places], dim=1
        )


class PairBatches:
    """Batches of the pictures of one split, read from the pair set; up to 512 MiB of them stay in memory.

    mirror: show each pair mirrored in half of its epochs. Raises ValueError when the batch size is below 1 or
    the split is empty.
    """

    def __init__(
        self, pair_set: PairSet, split: str, batch_size: int, seed: int, *, mirror: bool = False
    ) -> None:
        self.batch_size = batch_size
        self._set, self._mirror = pair_set, mirror
        self._ids = [pair.id for pair in pair_set.pairs(split)]
        self._order = BatchOrder(len(self._ids), batch_size, seed)
        self._cache: dict[str, tuple[Tensor, Tensor]] = {}
        self._cached_bytes = 0

    def __len__(self) -> int:
        """Steps per epoch, rounded up."""
        return -(-len(self._ids) // self.batch_size)

    def at(self, step: int, part: Part = WHOLE) -> PairBatch:
        """The batch of a step, or a part of it."""
        mine = part.of(self.batch_size)
        ids = tuple(self._ids[item] for item in self._order.at(step)[mine])
        photo, pixel = map(torch.stack, zip(*map(self._pictures, ids), strict=True))
        if self._mirror:
            shown = torch.from_numpy(self._order.mirrored(step))[mine, None, None, None]
            photo, pixel = (torch.where(shown, side.flip(3), side) for side in (photo, pixel))
        return PairBatch(photo, pixel, ids)

    def _pictures(self, pair_id: str) -> tuple[Tensor, Tensor]:
        if pair_id in self._cache:
            return self._cache[pair_id]
        pair = _to_tensor(self._set.photo(pair_id)), _to_tensor(self._set.pixel(pair_id))
        if self._cached_bytes < _MAX_CACHED_BYTES:
            self._cache[pair_id] = pair
            self._cached_bytes += pair[0].numel() + pair[1].numel()
        return pair


def _crops(latents: Tensor, corners: Tensor, side: int) -> Tensor:
    """Squares of [B, C, h, w] that begin at `corners`, [B, C, side, side]."""
    places = zip(latents, corners.tolist(), strict=True)
    return torch.stack([one[:, row : row + side, column : column + side] for one, (row, column) in places])


def _to_tensor(image: NDArray[np.uint8]) -> Tensor:
    """uint8 [H, W, 3] → uint8 [3, H, W]."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
