"""Several random seeds for one photo, and the portrait that keeps most of it."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from pixelpersona.inference.portrait import Portrait, PortraitMaker
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.score import structure


def most_alike(maker: PortraitMaker, photo: Image.Image, seeds: Sequence[int]) -> Portrait:
    """Draw the photo once per seed and choose by highest `pixel.score.structure`, the first of equals.

    The noise of img2img decides which features of a face survive; on a small model that differs much from
    seed to seed. Judged before snapping. Raises ValueError when there are no seeds, or as the maker does.
    """
    if not seeds:
        raise ValueError("seeds: need at least one")
    portraits = maker.portraits([photo] * len(seeds), list(seeds))
    kept = [_structure(portrait) for portrait in portraits]
    return portraits[int(np.argmax(kept))]


def _structure(portrait: Portrait) -> float:
    grid = Grid.of(portrait.image.width, portrait.image.height, portrait.snapped.grid.cell)
    return structure(np.asarray(portrait.photo), np.asarray(portrait.image), grid)
