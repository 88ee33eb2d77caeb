"""Portraits by plain functions of the photo, without sampling: the supervised baseline and the references.

The references of a comparison are the photo itself, pixelation without a model, the recorded target, and the
target's VAE round trip, which is the upper bound for any adapter of the UNet.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from pixelpersona.inference.portrait import Portrait, checked_photos
from pixelpersona.models.codec import Codec, to_uint8, to_unit
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pixelator import pixelize
from pixelpersona.pixel.postprocess import Postprocess

Draw = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""uint8 [B, H, W, 3] photos → uint8 [B, H, W, 3] pictures; each picture depends on its own photo alone."""


class DirectStylizer:
    """Portraits by a plain function of the photo, postprocessed like all other portraits.

    cell: pixels per art cell. adapter: name recorded in the portraits. Seeds are recorded and not used.
    """

    def __init__(
        self,
        draw: Draw,
        *,
        cell: int,
        postprocess: Postprocess | None = None,
        adapter: str | None = None,
        batch_size: int = 8,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: accepted 1 or more")
        self.draw, self.cell, self.postprocess = draw, cell, postprocess or Postprocess()
        self.adapter, self.batch_size = adapter, batch_size

    def portraits(self, photos: Sequence[Image.Image], seeds: Sequence[int]) -> list[Portrait]:
        """One portrait per photo, in order. Raises ValueError when sizes or the number of seeds are wrong."""
        photos = checked_photos(photos, seeds, image_size=None, multiple_of=self.cell)
        made = []
        for start in range(0, len(photos), self.batch_size):
            chunk = photos[start : start + self.batch_size]
            drawn = self.draw(np.stack([np.asarray(photo) for photo in chunk]))
            for photo, seed, array in zip(chunk, seeds[start : start + self.batch_size], drawn, strict=True):
                snapped = self.postprocess.apply(array, self.cell, np.asarray(photo))
                made.append(
                    Portrait(Image.fromarray(array), snapped, photo, "", seed, 0.0, 0.0, self.adapter)
                )
        return made


class SupervisedStylizer(DirectStylizer):
    """Portraits by a supervised network: float [B, 3, H, W] in [-1, 1] → the same, on its own device."""

    def __init__(
        self,
        network: nn.Module,
        *,
        cell: int,
        postprocess: Postprocess | None = None,
        adapter: str | None = "supervised",
        batch_size: int = 8,
    ) -> None:
        super().__init__(
            self._draw, cell=cell, postprocess=postprocess, adapter=adapter, batch_size=batch_size
        )
        self.network = network

    @torch.no_grad()
    def _draw(self, photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
        training = self.network.training
        self.network.eval()
        first = next(self.network.parameters())
        drawn = to_uint8(self.network(to_unit(photos).to(first.device, first.dtype)))
        self.network.train(training)
        return drawn


def unchanged(photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photos themselves: a control for what postprocessing alone does."""
    return photos


class PixelationDraw:
    """Pixel art by a recipe without a model, enlarged to the photo's size."""

    def __init__(self, recipe: Pixelation) -> None:
        self.recipe = recipe

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


class RoundTrip:
    """Another function's pictures, encoded and decoded by the autoencoder."""

    def __init__(self, codec: Codec, draw: Draw) -> None:
        self._codec, self._draw = codec, draw

    def __call__(self, photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self._codec.decode_latents(self._codec.encode_images(self._draw(photos)))
