"""Latents and text states of a pair set, encoded once and cached by content.

`data/` does not know the models: whatever has the two methods of `Encoder` can fill the cache.
"""

import hashlib
import json
import logging
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from pixelpersona.data.pairset import Pair, PairSet

__all__ = ["Encoder", "LatentSet", "encode_pairs"]

LATENTS_VERSION = 1
"""Raised whenever the file's layout or what is encoded changes."""

_IMAGES_AT_ONCE = 32
_log = logging.getLogger(__name__)


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
    text_index: int64 [N], which of them is whose. empty_text: float32 [L, D], the caption "".
    """

    latents: Tensor
    text: Tensor
    text_index: Tensor
    empty_text: Tensor
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


def encode_pairs(
    pair_set: PairSet, split: str, encoder: Encoder, root: Path | str, *, progress: bool = True
) -> LatentSet:
    """The latents of a split's pixel art and its captions' text states, from the cache where they are there.

    The cache is root/latents-<12 hex digits>.safetensors, a file per (pair set, split, encoder). It is
    checked on reading; one that is damaged is reported in one line of the log and made again.
    """
    pairs = pair_set.pairs(split)
    parts = ["latents", str(LATENTS_VERSION), pair_set.sha256, split, encoder.sha256]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    file = Path(root) / f"latents-{key[:12]}.safetensors"
    ids = tuple(pair.id for pair in pairs)
    if file.exists():
        try:
            return _read(file, key, ids)
        except (ValueError, OSError, SafetensorError) as error:
            _log.warning("%s: damaged (%s), encoding again", file, error)
    tensors = _encode(pair_set, pairs, encoder, progress)
    _write(file, key, tensors)
    return LatentSet(**tensors, ids=ids)


def _encode(pair_set: PairSet, pairs: Sequence[Pair], encoder: Encoder, progress: bool) -> dict[str, Tensor]:
    captions = sorted({pair.caption for pair in pairs})
    place = {caption: index for index, caption in enumerate(captions)}
    states = encoder.encode_text(["", *captions]).float().cpu()
    latents: list[Tensor] = []
    with tqdm(total=len(pairs), desc="pairs to latents", unit="pair", disable=not progress) as bar:
        for start in range(0, len(pairs), _IMAGES_AT_ONCE):
            chunk = pairs[start : start + _IMAGES_AT_ONCE]
            images = np.stack([pair_set.pixel(pair.id) for pair in chunk])
            latents.append(encoder.encode_images(images).float().cpu())
            bar.update(len(chunk))
    tensors = {
        "latents": torch.cat(latents),
        "text": states[1:].clone(),
        "text_index": torch.tensor([place[pair.caption] for pair in pairs], dtype=torch.int64),
        "empty_text": states[0].clone(),
    }
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{pair_set.folder}: the encoder gave {name} that are not finite")
    return tensors


def _digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of names, shapes and values: the file format itself notices a cut, but no flipped bit."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        values = np.ascontiguousarray(tensors[name].numpy())
        digest.update(f"{name} {values.dtype} {values.shape};".encode())
        digest.update(values.data)
    return digest.hexdigest()


def _write(file: Path, key: str, tensors: dict[str, Tensor]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        save_file(
            {name: tensor.contiguous() for name, tensor in tensors.items()},
            aside,
            metadata={"key": key, "sha256": _digest(tensors)},
        )
        aside.replace(file)
    finally:
        with suppress(FileNotFoundError):
            aside.unlink()


def _read(file: Path, key: str, ids: tuple[str, ...]) -> LatentSet:
    with safe_open(file, framework="pt") as stored:
        metadata = stored.metadata() or {}
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no mapping)
    if metadata.get("key") != key:
        raise ValueError("it belongs to other data")
    if metadata.get("sha256") != _digest(tensors):
        raise ValueError("its checksum is wrong")
    if len(tensors["latents"]) != len(ids):
        raise ValueError(f"{len(tensors['latents'])} latents for {len(ids)} pairs")
    return LatentSet(**tensors, ids=ids)
