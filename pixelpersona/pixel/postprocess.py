"""Postprocessing of a drawing: clarify, transfer the photo's detail, then snap to a grid and a palette."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelpersona.pixel.clarify import Clarity, clarify
from pixelpersona.pixel.cleanup import Cleanup, clean_up
from pixelpersona.pixel.detail import transfer_detail
from pixelpersona.pixel.downsample import cell_colors
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.palette import MAX_COLORS, nearest
from pixelpersona.pixel.palette_fit import fit_palette
from pixelpersona.pixel.snap import Snapped

_PHOTO_FLATNESS = 0.07  # skin texture is not a feature
_ACCENT_WEIGHT = 6.0  # eyes and lips cover few cells but need palette colours of their own


@dataclass(frozen=True, kw_only=True)
class Postprocess(Clarity, Cleanup):
    """Postprocessing of a portrait; the inherited settings are those of `clarify` and `clean_up`.

    num_colors: largest number of colours, 2 to 256. detail: 0 to 4, gain of the photo's own features (eyes,
    mouth, glasses), see `detail.transfer_detail`; 0 keeps those of the drawing.
    Raises ValueError "postprocess.key=value: accepted ..." for a value out of range.
    """

    num_colors: int = 16
    detail: float = 0.0

    def __post_init__(self) -> None:
        if not 2 <= self.num_colors <= MAX_COLORS:
            raise ValueError(f"postprocess.num_colors={self.num_colors}: accepted 2 to {MAX_COLORS}")
        if not 0.0 <= self.detail <= 4.0:
            raise ValueError(f"postprocess.detail={self.detail}: accepted 0 to 4")
        self.check_clarity("postprocess")
        self.check_cleanup("postprocess")

    def apply(self, image: NDArray[np.uint8], cell: int, photo: NDArray[np.uint8] | None = None) -> Snapped:
        """Snap a drawing, uint8 [H, W, 3] sRGB, to a grid of `cell` pixels and a fitted palette.

        photo: the source of the drawing, same shape; needed only for `detail`. Raises ValueError when `cell`
        does not divide the image, the photo's shape differs, or `detail` has no photo.
        """
        grid = Grid.of(image.shape[1], image.shape[0], cell)
        cells = cell_colors(clarify(image, cell, self), grid, "inner")
        weights = self.inside(grid.columns, grid.rows)
        if self.detail > 0.0:
            if photo is None:
                raise ValueError(f"postprocess.detail={self.detail}: accepted 0 without a photo")
            flat = Clarity(flatness=_PHOTO_FLATNESS, saturation=self.saturation)
            photo_cells = cell_colors(clarify(photo, cell, flat), grid, "detail")
            cells, strength = transfer_detail(cells, photo_cells, self.detail)
            weights *= 1.0 + _ACCENT_WEIGHT * strength
        palette = fit_palette(cells, self.num_colors, weights)
        indices, palette = clean_up(cells, nearest(cells, palette), palette, self)
        return Snapped(indices, palette, grid)
