"""Search over random seeds and strengths: draw one photo several times and choose the best drawing.

Drawings are scored before postprocessing, by their structural similarity to the photo. The likeness of a
comparison cannot be used here, because it is centred on the mean of many photos.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from pixelpersona.inference.portrait import Portrait, PortraitMaker
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.score import grid_contrast, structure


def most_alike(maker: PortraitMaker, photo: Image.Image, seeds: Sequence[int]) -> Portrait:
    """Draw the photo once per seed and choose the highest `pixel.score.structure`; the first in a tie.

    The noise of img2img decides which features of a face survive; on a small model this varies much between
    seeds. Raises ValueError when there are no seeds, and as the maker does.
    """
    return max(_drawn([maker], photo, seeds), key=_structure)


def best_portrait(
    makers: Sequence[PortraitMaker], photo: Image.Image, seeds: Sequence[int], *, min_grid_contrast: float
) -> Portrait:
    """Draw the photo with every maker and seed; choose the drawing closest to the photo that is pixel art.

    makers: for instance one per strength: more strength draws flatter cells and keeps less of the photo.
    Chooses the highest `structure` among drawings whose `grid_contrast` is at least `min_grid_contrast`, or
    the highest grid contrast when there are none; in a tie, the first in the order of the makers.
    Raises ValueError when there are no makers or no seeds, and as the makers do.
    """
    if not makers:
        raise ValueError("makers: need at least one")
    portraits = _drawn(makers, photo, seeds)
    flat = [portrait for portrait in portraits if _grid_contrast(portrait) >= min_grid_contrast]
    return max(flat, key=_structure) if flat else max(portraits, key=_grid_contrast)


def _drawn(makers: Sequence[PortraitMaker], photo: Image.Image, seeds: Sequence[int]) -> list[Portrait]:
    if not seeds:
        raise ValueError("seeds: need at least one")
    return [portrait for maker in makers for portrait in maker.portraits([photo] * len(seeds), list(seeds))]


def _structure(portrait: Portrait) -> float:
    return structure(np.asarray(portrait.photo), np.asarray(portrait.image), _grid(portrait))


def _grid_contrast(portrait: Portrait) -> float:
    return grid_contrast(np.asarray(portrait.image), _grid(portrait))


def _grid(portrait: Portrait) -> Grid:
    return Grid.of(portrait.image.width, portrait.image.height, portrait.snapped.grid.cell)
