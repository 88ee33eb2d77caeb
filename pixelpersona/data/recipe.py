"""How one photo becomes pairs: crop, augment, pixelate. Pure functions of photo, recipe and seed."""

from dataclasses import dataclass, replace

from PIL import Image

from pixelpersona.data.augment import Augmentation
from pixelpersona.data.randomness import numpy_rng
from pixelpersona.pixel.framing import FRAMINGS
from pixelpersona.pixel.pixelation import Pixelation


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRecipe:
    """All settings that determine the pairs made from a photo.

    size: side of the square pictures, pixels. framing: "portrait" (head and shoulders) or "tight" crop around
    the face, or "center" for the centre square. pixelate: with a factor, the cell size that all pairs share.
    variants: pairs per train photo; the first is plain, the others are augmented. Val and test photos give
    the plain pair only. caption: the prompt that stands for the style.
    Raises ValueError naming what is not accepted.
    """

    size: int
    framing: str
    pixelate: Pixelation
    augment: Augmentation
    variants: int
    caption: str
    seed: int = 0

    def __post_init__(self) -> None:
        if self.framing not in FRAMINGS:
            raise ValueError(f"framing must be one of {', '.join(FRAMINGS)}, got {self.framing!r}")
        if self.variants < 1:
            raise ValueError(f"variants must be at least 1, got {self.variants}")
        self.pixelate.check()
        factor = self.pixelate.factor
        if factor is None or self.pixelate.height is not None or self.pixelate.width is not None:
            raise ValueError("pixelate: pairs need a factor instead of height and width: they share a grid")
        if self.size < 2 * factor:
            raise ValueError(f"size must be at least two cells of {factor} pixels, got {self.size}")


def with_palette_colors(pixelation: Pixelation) -> Pixelation:
    """The same settings with a palette file replaced by its colours.

    The colours decide what pairs look like and therefore name their folder; the file's path must not.
    """
    palette = pixelation.given_palette() if pixelation.palette_file is not None else None
    if palette is None:
        return pixelation
    colors = ["#" + bytes(color).hex() for color in palette.rgb]
    return replace(pixelation, palette=colors, palette_file=None)


def vary(square: Image.Image, recipe: PairRecipe, photo_id: str, variant: int) -> Image.Image:
    """Variant `variant` of a cropped photo, a function of (seed, photo, variant); 0 is the photo itself."""
    if variant == 0:
        return square
    rng = numpy_rng(recipe.seed, photo_id, f"variant {variant}")
    return recipe.augment.color(recipe.augment.geometry(square, rng), rng)
