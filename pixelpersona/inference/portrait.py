"""The portrait, the protocol of everything that makes portraits, and the check of its input."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelpersona.pixel.palette import Palette
from pixelpersona.pixel.snap import Snapped


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """A picture and how it was made.

    image: RGB, as the model drew it. snapped: the image after postprocessing, on its grid and palette.
    photo: RGB, what it was drawn from, of the same size. strength, guidance: 0 for makers that do not sample.
    adapter: name of the adapter; None for the base itself.
    """

    image: Image.Image
    snapped: Snapped
    photo: Image.Image
    prompt: str
    seed: int
    strength: float
    guidance: float
    adapter: str | None

    @property
    def cells(self) -> NDArray[np.uint8]:
        """One colour per cell, uint8 [rows, columns, 3]."""
        return self.snapped.cells

    @property
    def palette(self) -> Palette:
        return self.snapped.palette


class PortraitMaker(Protocol):
    """A model, a baseline or a control."""

    def portraits(self, photos: Sequence[Image.Image], seeds: Sequence[int]) -> list[Portrait]:
        """One portrait per photo, in order; each depends on its own photo and seed alone."""
        ...


def checked_photos(
    photos: Sequence[Image.Image], seeds: Sequence[int], *, image_size: int | None, multiple_of: int
) -> list[Image.Image]:
    """The photos in RGB.

    image_size: the side that every photo must have, pixels; None for any. multiple_of: divides both sides.
    Raises ValueError when the number of seeds differs or a size is not accepted.
    """
    if len(photos) != len(seeds):
        raise ValueError(f"{len(photos)} photos and {len(seeds)} seeds: accepted one seed per photo")
    for number, photo in enumerate(photos):
        if image_size is not None and photo.size != (image_size, image_size):
            raise ValueError(
                f"photo {number} is {photo.width}x{photo.height} pixels: accepted {image_size}x{image_size}"
            )
        if photo.width % multiple_of or photo.height % multiple_of:
            raise ValueError(
                f"photo {number} is {photo.width}x{photo.height} pixels: accepted multiples of {multiple_of}"
            )
    return [photo.convert("RGB") for photo in photos]
