"""Makers that do not sample: the trained baseline, the teacher, the photo itself."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from pixelpersona.inference.portrait import Portrait, checked_photos
from pixelpersona.models.codec import to_uint8, to_unit
from pixelpersona.pixel.finish import Finish

Draw = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""uint8 [B, H, W, 3] photos → uint8 [B, H, W, 3] pictures of the same size, each from its own photo alone."""


class DirectStylizer:
    """Portraits by one plain function of the photo, with the post-processing of every other maker.

    cell: pixels per art cell. adapter: a name for what draws. Seeds are written down and not used.
    """

    def __init__(
        self,
        draw: Draw,
        *,
        cell: int,
        finish: Finish | None = None,
        adapter: str | None = None,
        batch_size: int = 8,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: accepted 1 or more")
        self.draw, self.cell, self.finish = draw, cell, finish or Finish()
        self.adapter, self.batch_size = adapter, batch_size

    def portraits(self, photos: Sequence[Image.Image], seeds: Sequence[int]) -> list[Portrait]:
        """One portrait per photo, in order. Raises ValueError when sizes or the number of seeds are wrong."""
        photos = checked_photos(photos, seeds, image_size=None, multiple_of=self.cell)
        made = []
        for start in range(0, len(photos), self.batch_size):
            chunk = photos[start : start + self.batch_size]
            drawn = self.draw(np.stack([np.asarray(photo) for photo in chunk]))
            for photo, seed, array in zip(chunk, seeds[start : start + self.batch_size], drawn, strict=True):
                snapped = self.finish.apply(array, self.cell, np.asarray(photo))
                made.append(
                    Portrait(Image.fromarray(array), snapped, photo, "", seed, 0.0, 0.0, self.adapter)
                )
        return made


def unchanged(photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The control `photo`: what snapping alone does."""
    return photos


class TranslatorStylizer(DirectStylizer):
    """Portraits by a supervised network: float [B, 3, H, W] in [-1, 1] → the same, on its own device."""

    def __init__(
        self,
        translator: nn.Module,
        *,
        cell: int,
        finish: Finish | None = None,
        adapter: str | None = "translator",
        batch_size: int = 8,
    ) -> None:
        super().__init__(self._translate, cell=cell, finish=finish, adapter=adapter, batch_size=batch_size)
        self.translator = translator

    @torch.no_grad()
    def _translate(self, photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
        training = self.translator.training
        self.translator.eval()
        first = next(self.translator.parameters())
        drawn = to_uint8(self.translator(to_unit(photos).to(first.device, first.dtype)))
        self.translator.train(training)
        return drawn
