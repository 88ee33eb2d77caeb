"""One photo drawn at several random seeds and strengths, and the best of the drawings.

Judged before snapping, by the photo alone: `structure` says how much of it is kept. A comparison's likeness
is no judge here, as it is taken around the mean of many photos.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from pixelpersona.inference.portrait import Portrait, PortraitMaker
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.score import grid_contrast, structure


def most_alike(maker: PortraitMaker, photo: Image.Image, seeds: Sequence[int]) -> Portrait:
    """Draw the photo once per seed and choose by highest `pixel.score.structure`, the first of equals.

    The noise of img2img decides which features of a face survive; on a small model that differs much from
    seed to seed. Raises ValueError when there are no seeds, or as the maker does.
    """
    return max(_drawn([maker], photo, seeds), key=_structure)


def best_portrait(
    makers: Sequence[PortraitMaker], photo: Image.Image, seeds: Sequence[int], *, min_grid_contrast: float
) -> Portrait:
    """Draw the photo by every maker at every seed; choose what keeps most of it and still is pixel art.

    makers: one per strength, say; more strength draws flatter cells and keeps less of the photo.
    Of the drawings whose `grid_contrast` is at least `min_grid_contrast`, the one with the highest
    `structure`; where none is, the one with the highest grid contrast. The first of equals, makers in their
    order. Raises ValueError when there are no makers or no seeds, or as a maker does.
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
