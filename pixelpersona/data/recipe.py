"""How one photo becomes pairs: crop, augment, pixelate. Pure functions of photo, recipe and seed."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelpersona.data.augment import Augmentation
from pixelpersona.data.randomness import numpy_rng
from pixelpersona.pixel.framing import FRAMINGS, crop_square
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.palette import Palette
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pixelator import Pixelator

__all__ = ["PairRecipe", "crop", "pixelize", "vary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRecipe:
    """Everything that decides what pairs a photo gives.

    size: side of the square pictures, pixels. framing: "tight" or "wide" head-and-shoulders crop, or
    "center" for the centre square. variants: pairs per training photo; the 0th is plain, the others are
    augmented; held-out photos always give the plain one alone. caption: the prompt that stands for the style.
    """

    size: int = 128
    framing: str = "tight"
    pixelate: Pixelation = field(default_factory=lambda: Pixelation(factor=4, palette=16))
    augment: Augmentation = field(default_factory=Augmentation)
    variants: int = 1
    caption: str = "pixel art portrait, 16-color style"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.framing not in FRAMINGS:
            raise ValueError(f"framing must be one of {', '.join(FRAMINGS)}, got {self.framing!r}")
        if self.variants < 1:
            raise ValueError(f"variants must be at least 1, got {self.variants}")
        self.pixelate.check()
        factor = self.pixelate.factor
        if factor is None or self.pixelate.height is not None or self.pixelate.width is not None:
            raise ValueError("pixelate: pairs need a factor, not height and width: it is the grid they share")
        if self.size < 2 * factor:
            raise ValueError(f"size must be at least two cells of {factor} pixels, got {self.size}")


def crop(photo: Image.Image, recipe: PairRecipe) -> Image.Image:
    """The square RGB picture of `recipe.size` that the recipe's framing asks for."""
    return crop_square(photo, recipe.size, recipe.framing)


def vary(square: Image.Image, recipe: PairRecipe, photo_id: str, variant: int) -> Image.Image:
    """Variant number `variant` of a cropped photo, a function of (seed, photo, variant); 0 is the photo."""
    if variant == 0:
        return square
    rng = numpy_rng(recipe.seed, photo_id, f"variant {variant}")
    return recipe.augment.color(recipe.augment.geometry(square, rng), rng)


def pixelize(photo: NDArray[np.uint8], recipe: Pixelation) -> tuple[NDArray[np.uint8], Grid | None, Palette]:
    """The pixel art of a photo, as large as the photo: uint8 [H, W, 3] to (uint8 [H, W, 3], grid, palette).

    When the factor divides the picture, every cell is exactly factor x factor pixels on the returned grid.
    Otherwise, as in the original project (512 // 6 = 85 cells, 510 pixels), the enlarged cells are brought to
    the photo's size by nearest neighbour, cells differ by a pixel, and the grid is None.
    """
    height, width = photo.shape[:2]
    snapped = Pixelator(recipe).fit_apply(photo).snapped
    pixel = snapped.image()
    if pixel.shape == photo.shape:
        return pixel, snapped.grid, snapped.palette
    resized = Image.fromarray(pixel).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(resized), None, snapped.palette
