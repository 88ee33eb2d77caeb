"""Latents and text states of pairs, each encoded once and cached by content.

`data/` does not know the models: whatever has the two methods of `Encoder` can fill the cache.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from pixelpersona.data.pairset import Pair, PairSet
from pixelpersona.data.shards import SHARD_ENTRIES, Shards
from pixelpersona.data.writing import remove_leftovers

__all__ = ["Encoder", "LatentSet", "encode_pairs"]

LATENTS_VERSION = 2
"""Raised whenever the files' layout or what is encoded changes; part of every key."""

_IMAGES_AT_ONCE = 32


class Encoder(Protocol):
    """What turns pictures and captions into the diffusion model's numbers."""

    @property
    def sha256(self) -> str:
        """Digest of the weights: equal digests mean equal outputs."""
        ...

    def encode_images(self, images: NDArray[np.uint8], /) -> Tensor:
        """uint8 [B, H, W, 3] to scaled latents, float32 [B, C, h, w]."""
        ...

    def encode_text(self, captions: Sequence[str], /) -> Tensor:
        """Captions to text states, float32 [B, L, D]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class LatentSet:
    """The encoded pixel art of one split, in the pair set's order; all tensors on the CPU.

    latents: float32 [N, C, h, w]. text: float32 [U, L, D], one for each different caption.
    captions: those captions. text_index: int64 [N], which of them is whose. empty_text: float32 [L, D], the
    caption "".
    mirrored: float32 [N, C, h, w], the latents of the mirrored pictures, where they were asked for: an
    autoencoder's mirrored latents are not quite those of the mirrored picture. photos, mirrored_photos: of
    the photos that were drawn from, likewise.
    """

    latents: Tensor
    text: Tensor
    text_index: Tensor
    empty_text: Tensor
    ids: tuple[str, ...]
    captions: tuple[str, ...]
    mirrored: Tensor | None = None
    photos: Tensor | None = None
    mirrored_photos: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)


def encode_pairs(
    pair_set: PairSet,
    split: str,
    encoder: Encoder,
    root: Path | str,
    *,
    mirrored: bool = False,
    photos: bool = False,
    progress: bool = True,
) -> LatentSet:
    """The latents of a split's pixel art and its captions' text states, from the cache where they are there.

    The cache is root/latents-<12 hex digits>/, a folder per encoder and LATENTS_VERSION, where a picture is
    found by the hash of its file and a caption by its own: what sets share is encoded once, and one changed
    picture is one encoded anew. It is checked on reading; an entry that is damaged is reported in one line of
    the log and made again. An interrupted run keeps every full shard. Raises ValueError when the encoder
    gives what is not finite, or when the cache cannot be written (what is there stays).
    """
    pairs = pair_set.pairs(split)
    made_by = hashlib.sha256(json.dumps([LATENTS_VERSION, encoder.sha256]).encode()).hexdigest()
    folder = Path(root) / f"latents-{made_by[:12]}"
    remove_leftovers(folder)
    captions = ["", *sorted({pair.caption for pair in pairs})]
    text = _fill(
        Shards(folder, "text", made_by),
        [hashlib.sha256(caption.encode()).hexdigest() for caption in captions],
        lambda places: encoder.encode_text([captions[place] for place in places]),
    )
    place = {caption: index for index, caption in enumerate(captions[1:])}
    latents = Shards(folder, "latents", made_by)

    def pictures(kind: str, mirrored: bool) -> Tensor:
        return _pictures(latents, pair_set, pairs, encoder, kind, mirrored, progress)

    return LatentSet(
        latents=pictures("pixel", False),
        text=text[1:],
        text_index=torch.tensor([place[pair.caption] for pair in pairs], dtype=torch.int64),
        empty_text=text[0],
        ids=tuple(pair.id for pair in pairs),
        captions=tuple(captions[1:]),
        mirrored=pictures("pixel", True) if mirrored else None,
        photos=pictures("photo", False) if photos else None,
        mirrored_photos=pictures("photo", True) if photos and mirrored else None,
    )


def _pictures(
    shards: Shards,
    pair_set: PairSet,
    pairs: Sequence[Pair],
    encoder: Encoder,
    kind: str,
    mirrored: bool,
    progress: bool,
) -> Tensor:
    """kind: pixel or photo."""
    read = {"pixel": pair_set.pixel, "photo": pair_set.photo}[kind]

    def encode(places: Sequence[int]) -> Tensor:
        images = np.stack([read(pairs[place].id) for place in places])
        return encoder.encode_images(np.ascontiguousarray(images[:, :, ::-1]) if mirrored else images)

    mark = "-mirrored" if mirrored else ""
    digests = [pair.pixel_sha256 if kind == "pixel" else pair.photo_sha256 for pair in pairs]
    return _fill(shards, [digest + mark for digest in digests], encode, progress)


def _fill(
    shards: Shards, keys: Sequence[str], encode: Callable[[Sequence[int]], Tensor], progress: bool = False
) -> Tensor:
    """float32 [len(keys), ...], one row for each key; `encode` makes those of the places it is given."""
    values, missing = shards.gather(keys)
    todo = list(missing)
    with tqdm(total=len(todo), desc="pairs to latents", unit="pair", disable=not (progress and todo)) as bar:
        for first in range(0, len(todo), SHARD_ENTRIES):
            shard = todo[first : first + SHARD_ENTRIES]
            rows: list[Tensor] = []
            for start in range(0, len(shard), _IMAGES_AT_ONCE):
                chunk = shard[start : start + _IMAGES_AT_ONCE]
                rows.append(encode([missing[key][0] for key in chunk]).float().cpu())
                bar.update(len(chunk))
            made = torch.cat(rows)
            if not torch.isfinite(made).all():
                raise ValueError(f"{shards.folder}: the encoder gave {shards.kind} that are not finite")
            shards.add(shard, made)
            values = torch.empty(len(keys), *made.shape[1:]) if values is None else values
            for key, row in zip(shard, made, strict=True):
                values[missing[key]] = row
    assert values is not None  # there is at least one key
    return values
