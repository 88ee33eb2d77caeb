"""The portrait, the protocol of everything that makes portraits, and what all makers have in common."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from pixelpersona.pixel.postprocess import Postprocess
from pixelpersona.pixel.snap import Snapped

_BATCH_SIZE = 8  # photos per call of a network; affects memory and speed only


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """A picture and how it was made.

    image: RGB, as the model drew it. snapped: the image after postprocessing, on its grid and palette.
    photo: RGB, what it was drawn from, of the same size. strength: 0 for makers that do not sample.
    """

    image: Image.Image
    snapped: Snapped
    photo: Image.Image
    seed: int
    strength: float


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
        found = f"photo {number} is {photo.width}x{photo.height} pixels"
        if image_size is not None and photo.size != (image_size, image_size):
            raise ValueError(f"{found}: accepted {image_size}x{image_size}")
        if photo.width % multiple_of or photo.height % multiple_of:
            raise ValueError(f"{found}: accepted multiples of {multiple_of}")
    return [photo.convert("RGB") for photo in photos]


def draw_portraits(
    draw: Callable[[Sequence[Image.Image], Sequence[int]], Iterable[Image.Image]],
    photos: Sequence[Image.Image],
    seeds: Sequence[int],
    *,
    cell: int,
    postprocess: Postprocess,
    strength: float = 0.0,
) -> list[Portrait]:
    """Draw in batches and postprocess. draw: photos and seeds of one batch → one RGB picture each."""
    made = []
    for start in range(0, len(photos), _BATCH_SIZE):
        batch = photos[start : start + _BATCH_SIZE], seeds[start : start + _BATCH_SIZE]
        for image, photo, seed in zip(draw(*batch), *batch, strict=True):
            snapped = postprocess.apply(np.asarray(image), cell, np.asarray(photo))
            made.append(Portrait(image, snapped, photo, seed, strength))
    return made
