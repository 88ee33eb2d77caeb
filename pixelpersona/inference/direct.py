"""Portraits by plain functions of the photo, without sampling: the supervised baseline and the references.

The references of a comparison are the photo itself, pixelation without a model, the recorded target, and the
target's VAE round trip, which is the upper bound for any adapter of the UNet.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from pixelpersona.inference.portrait import Portrait, checked_photos, draw_portraits
from pixelpersona.models.codec import Codec, to_uint8, to_unit
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pixelator import pixelize
from pixelpersona.pixel.postprocess import Postprocess

Draw = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""uint8 [B, H, W, 3] photos → uint8 [B, H, W, 3] pictures; each picture depends on its own photo alone."""


class DirectStylizer:
    """Portraits by a plain function of the photo, postprocessed like all other portraits.

    cell: pixels per art cell. Seeds are recorded and not used.
    """

    def __init__(self, draw: Draw, *, cell: int, postprocess: Postprocess | None = None) -> None:
        self.draw, self.cell, self.postprocess = draw, cell, postprocess or Postprocess()

    def portraits(self, photos: Sequence[Image.Image], seeds: Sequence[int]) -> list[Portrait]:
        """One portrait per photo, in order. Raises ValueError when sizes or the number of seeds are wrong."""
        photos = checked_photos(photos, seeds, image_size=None, multiple_of=self.cell)
        return draw_portraits(self._batch, photos, seeds, cell=self.cell, postprocess=self.postprocess)

    def _batch(self, photos: Sequence[Image.Image], seeds: Sequence[int]) -> list[Image.Image]:
        drawn = self.draw(np.stack([np.asarray(photo) for photo in photos]))
        return [Image.fromarray(picture) for picture in drawn]


@dataclass(frozen=True, slots=True)
class NetworkDraw:
    """The pictures of a network: float [B, 3, H, W] in [-1, 1] → the same, in eval mode, on its device."""

    network: nn.Module

    @torch.no_grad()
    def __call__(self, photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
        training = self.network.training
        self.network.eval()
        first = next(self.network.parameters())
        drawn = to_uint8(self.network(to_unit(photos).to(first.device, first.dtype)))
        self.network.train(training)
        return drawn


def unchanged(photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photos themselves: a control for what postprocessing alone does."""
    return photos


@dataclass(frozen=True, slots=True)
class PixelationDraw:
    """Pixel art by a recipe without a model, enlarged to the photo's size."""

    recipe: Pixelation

    def __call__(self, photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.stack([pixelize(photo, self.recipe)[0] for photo in photos])


class RecordedTarget:
    """The pictures recorded for these very photos, found by the photo's bytes.

    photos, pictures: uint8 [H, W, 3] each; picture i belongs to photo i. A call raises KeyError for any other
    photo.
    """

    def __init__(self, photos: Sequence[NDArray[np.uint8]], pictures: Sequence[NDArray[np.uint8]]) -> None:
        self._pictures = {photo.tobytes(): picture for photo, picture in zip(photos, pictures, strict=True)}

    def __call__(self, photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.stack([self._pictures[photo.tobytes()] for photo in photos])


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """Another function's pictures, encoded and decoded by the autoencoder."""

    codec: Codec
    draw: Draw

    def __call__(self, photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self.codec.decode_latents(self.codec.encode_images(self.draw(photos)))
