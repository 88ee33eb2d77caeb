"""From a drawn picture to a finished one: clearer, then onto the grid and a tidy palette."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelpersona.pixel.clarify import Clarity, clarify
from pixelpersona.pixel.detail import transfer_detail
from pixelpersona.pixel.downsample import cell_colors
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.palette import MAX_COLORS
from pixelpersona.pixel.snap import Snapped, snap_cells

_PHOTO_FLATNESS = 0.07  # skin's texture is no feature
_ACCENT_WEIGHT = 6.0  # eyes and lips cover little, and still want colours of their own


@dataclass(kw_only=True, slots=True)
class Finish:
    """What is done to every portrait after it is drawn; also the schema of the group `finish`.

    num_colors: at most so many, 2 to 256. detail: how clearly the photo's own features (eyes, mouth, glasses)
    stand in the drawing, see `detail.transfer_detail`; 0 leaves what the model drew. levels, flatness,
    local_contrast, saturation: see `clarify.Clarity`.
    min_distance: palette colours closer than this become one (0 none; black to white is 1, 0.02 just
    visible). coherence: see `coherence.coherent`; 0 none. cleanup: cells whose colour no neighbour shares
    join their neighbours, but for strong accents.
    """

    num_colors: int = 16
    detail: float = 0.0
    levels: float = 0.0
    flatness: float = 0.0
    local_contrast: float = 0.0
    saturation: float = 1.0
    min_distance: float = 0.0
    coherence: float = 0.0
    cleanup: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.num_colors <= MAX_COLORS:
            raise ValueError(f"finish.num_colors={self.num_colors}: accepted 2 to {MAX_COLORS}")
        self.clarity.check("finish")
        if not 0.0 <= self.detail <= 4.0:
            raise ValueError(f"finish.detail={self.detail}: accepted 0 to 4")
        for key in ("min_distance", "coherence"):
            if not 0.0 <= getattr(self, key) <= 1.0:
                raise ValueError(f"finish.{key}={getattr(self, key)}: accepted 0 to 1")

    @property
    def clarity(self) -> Clarity:
        return Clarity(
            levels=self.levels,
            flatness=self.flatness,
            local_contrast=self.local_contrast,
            saturation=self.saturation,
        )

    def apply(self, image: NDArray[np.uint8], cell: int, photo: NDArray[np.uint8] | None = None) -> Snapped:
        """uint8 [H, W, 3] sRGB → the grid of `cell` pixels. photo: of the same shape, what was drawn.

        Raises ValueError when the cells do not divide it, the photo's shape differs, or `detail` is asked
        for without a photo.
        """
        grid = Grid.of(image.shape[1], image.shape[0], cell)
        cells = cell_colors(clarify(image, cell, self.clarity), grid, "inner")
        weights = None
        if self.detail > 0.0:
            if photo is None:
                raise ValueError(f"finish.detail={self.detail} needs the photo")
            flat = Clarity(flatness=_PHOTO_FLATNESS, saturation=self.saturation)
            wanted = cell_colors(clarify(photo, cell, flat), grid, "detail")
            cells, strength = transfer_detail(cells, wanted, self.detail)
            weights = 1.0 + _ACCENT_WEIGHT * strength
        return snap_cells(
            cells,
            grid,
            self.num_colors,
            weights=weights,
            cleanup=self.cleanup,
            min_distance=self.min_distance,
            coherence=self.coherence,
        )
