"""Batches for training the packaged base: crops for the autoencoder, captioned latents for the UNet."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from pixelpersona.data.latents import Encoder
from pixelpersona.data.loader import LatentBatch
from pixelpersona.data.randomness import BatchOrder, numpy_rng
from pixelpersona.data.sources import PhotoSource, caption_of
from pixelpersona.files import whole
from pixelpersona.pixel.crop import center_square


def photo_array(source: PhotoSource, ids: Sequence[str], size: int) -> NDArray[np.uint8]:
    """The photos' centre squares as one array, uint8 [N, size, size, 3] (49 kB per photo at 128 pixels)."""
    photos = np.empty((len(ids), size, size, 3), np.uint8)
    for index, photo_id in enumerate(tqdm(ids, desc="photos", unit="photo", leave=False)):
        image = source.open(photo_id)
        photos[index] = np.asarray(image if image.size == (size, size) else center_square(image, size))
    return photos


class CropBatches:
    """Random square crops of photos and pixel art, mirrored half the time.

    Crops begin at multiples of `cell` pixels, so that pixel art lies on the latent grid, as do block images
    made of photos. In 15 % of them the colour channels are permuted, so that the autoencoder sees colours
    other than those of faces.

    photos: uint8 [N, H, H, 3]. art: cells of pixel art, uint8 [M, H / cell, H / cell, 3]. art_share: share of
    each batch that is from `art`, 0 to 1; these are its last pictures.
    """

    def __init__(
        self,
        photos: NDArray[np.uint8],
        art: NDArray[np.uint8] | None = None,
        *,
        art_share: float = 0.0,
        batch_size: int,
        crop: int,
        cell: int,
        seed: int,
    ) -> None:
        self.photos, self.art, self.art_share = photos, art, art_share
        self.batch_size, self.crop, self.cell, self.seed = batch_size, crop, cell, seed

    def at(self, step: int) -> Tensor:
        """float32 [B, 3, crop, crop] in [-1, 1], a function of (seed, step)."""
        rng = numpy_rng(self.seed, step, "crops")
        cell, num_cells = self.cell, self.crop // self.cell
        num_places = self.photos.shape[1] // cell - num_cells + 1
        num_art = 0 if self.art is None else round(self.art_share * self.batch_size)
        indices = rng.integers(len(self.photos), size=self.batch_size)
        crops = []
        for number, index in enumerate(indices):
            top, left = rng.integers(num_places, size=2)
            if self.art is None or number < self.batch_size - num_art:
                rows = slice(top * cell, top * cell + self.crop)
                image = self.photos[index, rows, left * cell : left * cell + self.crop]
            else:
                art = self.art[rng.integers(len(self.art)), top : top + num_cells, left : left + num_cells]
                image = art.repeat(cell, axis=0).repeat(cell, axis=1)
            if rng.random() < 0.5:
                image = image[:, ::-1]
            if rng.random() < 0.15:
                image = image[..., rng.permutation(3)]
            crops.append(image)
        batch = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        return batch.contiguous(memory_format=torch.channels_last)


class CaptionedLatentBatches:
    """Latents of photos with the token ids of one of their captions, or of the empty caption.

    latents: float16 or float32 [N, C, h, w].
    tokens: int64 [N, V, L], V captions per photo, drawn with probabilities `caption_shares` (sum 1).
    empty: int64 [L], drawn with probability `dropout` for classifier-free guidance (Ho & Salimans 2022,
    arXiv:2207.12598).
    """

    def __init__(
        self,
        latents: Tensor,
        tokens: Tensor,
        empty: Tensor,
        *,
        batch_size: int,
        seed: int,
        caption_shares: Sequence[float],
        dropout: float,
    ) -> None:
        self.latents, self.tokens, self.empty = latents, tokens, empty
        self.batch_size, self.seed, self.dropout = batch_size, seed, dropout
        self.caption_shares = list(caption_shares)
        self._order = BatchOrder(len(latents), batch_size, seed)

    def at(self, step: int) -> LatentBatch:
        """The batch of a step; every photo once per epoch, captions a function of (seed, step)."""
        index = torch.tensor(self._order.at(step))
        rng = numpy_rng(self.seed, step, "captions")
        chosen = rng.choice(len(self.caption_shares), size=self.batch_size, p=self.caption_shares)
        text = self.tokens[index, torch.from_numpy(chosen)]
        dropped = torch.from_numpy(rng.random(self.batch_size) < self.dropout)
        text = torch.where(dropped[:, None], self.empty, text)
        return LatentBatch(self.latents[index].float(), text, tuple(map(str, index.tolist())))


def encode_photos(photos: NDArray[np.uint8], encoder: Encoder, file: Path) -> Tensor:
    """Latents of all photos, then of their mirror images: float16 [2 N, C, h, w], cached in `file` (.npy)."""
    if file.is_file():
        return torch.from_numpy(np.load(file))
    chunks = []
    for pictures in (photos, photos[:, :, ::-1]):
        for start in tqdm(range(0, len(photos), 64), desc="latents", unit="batch", leave=False):
            chunks.append(encoder.encode_images(pictures[start : start + 64]).half().numpy())
    latents = np.concatenate(chunks)
    with whole(file) as draft, draft.open("wb") as opened:
        np.save(opened, latents)
    return torch.from_numpy(latents)


def read_captions(source: PhotoSource, ids: Sequence[str], prompt: str) -> list[tuple[str, str, str]]:
    """Three captions per photo: plain, the style prompt alone, and the style prompt with the person.

    Plain photos captioned with the style prompt make the untouched base a fair baseline: it knows the prompt.
    """
    plain = [caption_of(source, photo_id) for photo_id in ids]
    return [(text, prompt, f"{prompt}, {text.removeprefix('a photo of ')}") for text in plain]
