"""Latents and text states of pairs, each encoded once and cached by content hash.

`data` does not import `models`: any object that satisfies the `Encoder` protocol can fill the cache.
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

from pixelpersona.data.drafts import remove_leftovers
from pixelpersona.data.pairset import PairSet
from pixelpersona.data.shards import SHARD_ENTRIES, Shards

LATENTS_VERSION = 2
"""Part of every key; increase it when the file layout or what is encoded changes."""

_IMAGES_AT_ONCE = 32


class Encoder(Protocol):
    """Encodes pictures and captions for the diffusion model."""

    @property
    def sha256(self) -> str:
        """Digest of the weights: equal digests mean equal outputs."""
        ...

    def encode_images(self, images: NDArray[np.uint8], /) -> Tensor:
        """uint8 [B, H, W, 3] → scaled latents, float32 [B, C, h, w]."""
        ...

    def encode_text(self, captions: Sequence[str], /) -> Tensor:
        """Captions → text states, float32 [B, L, D]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class LatentSet:
    """The encoded pixel art of one split, in the pair set's order; all tensors on the CPU.

    latents: float32 [N, C, h, w].
    text: float32 [U, L, D], text states of the U distinct captions. captions: these captions.
    text_index: int64 [N], the caption of each sample. empty_text: float32 [L, D], of the caption "".
    mirrored: float32 [N, C, h, w], latents of the mirrored pictures, if asked for; mirroring the latents
    instead would not give quite the same. photos, mirrored_photos: the same for the photos, if asked for.
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
) -> LatentSet:
    """Latents of a split's pixel art and text states of its captions, encoded where the cache has none.

    The cache is root/latents-<12 hex digits>/, one folder per encoder and LATENTS_VERSION. Entries are keyed
    by the hash of the picture's file or of the caption: what pair sets share is encoded once, and changing
    one picture encodes one picture. Entries are checked on reading; damaged ones are logged and encoded
    again. An interrupted run keeps every full shard.
    mirrored, photos: encode the mirrored pictures and the photos as well.
    Raises ValueError when the encoder returns values that are not finite, or when the cache cannot be written
    (it then stays as it was).
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
        title=None,  # done in a moment
    )
    place = {caption: index for index, caption in enumerate(captions[1:])}
    latents = Shards(folder, "latents", made_by)

    def pictures(kind: str, mirrored: bool) -> Tensor:
        """Latents of the pairs' pictures; kind: pixel or photo."""
        read = pair_set.pixel if kind == "pixel" else pair_set.photo
        mark = "-mirrored" if mirrored else ""
        title = f"{split}: {'pixel art' if kind == 'pixel' else 'photos'}{', mirrored,' if mirrored else ''}"

        def encode(places: Sequence[int]) -> Tensor:
            images = np.stack([read(pairs[place].id) for place in places])
            return encoder.encode_images(np.ascontiguousarray(images[:, :, ::-1]) if mirrored else images)

        keys = [getattr(pair, f"{kind}_sha256") + mark for pair in pairs]
        return _fill(latents, keys, encode, f"{title} to latents")

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


def _fill(
    shards: Shards, keys: Sequence[str], encode: Callable[[Sequence[int]], Tensor], title: str | None
) -> Tensor:
    """float32 [len(keys), ...], one row per key; `encode` gets the positions of keys that are missing.

    title: of the progress bar; None for none.
    """
    values, missing = shards.gather(keys)
    todo = list(missing)
    with tqdm(total=len(todo), desc=title, unit="picture", disable=title is None or not todo) as bar:
        for first in range(0, len(todo), SHARD_ENTRIES):
            shard = todo[first : first + SHARD_ENTRIES]
            rows: list[Tensor] = []
            for start in range(0, len(shard), _IMAGES_AT_ONCE):
                chunk = shard[start : start + _IMAGES_AT_ONCE]
                rows.append(encode([missing[key][0] for key in chunk]).float().cpu())
                bar.update(len(chunk))
            made = torch.cat(rows)
            if not torch.isfinite(made).all():
                raise ValueError(f"{shards.folder}: the encoder returned {shards.kind} that are not finite")
            shards.add(shard, made)
            values = torch.empty(len(keys), *made.shape[1:]) if values is None else values
            for key, row in zip(shard, made, strict=True):
                values[missing[key]] = row
    assert values is not None  # there is at least one key
    return values
