"""A picture onto a grid and a palette: after this it is pixel art by construction."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelpersona.pixel.downsample import cell_colors
from pixelpersona.pixel.grid import Grid, render
from pixelpersona.pixel.palette import MAX_COLORS, Palette, fit_palette, nearest


@dataclass(frozen=True, slots=True, eq=False)
class Snapped:
    """Palette indices uint8 [rows, columns] with their palette and grid.

    Raises ValueError when the indices do not fit the grid or point beyond the palette.
    """

    indices: NDArray[np.uint8]
    palette: Palette
    grid: Grid

    def __post_init__(self) -> None:
        if self.indices.shape != (self.grid.rows, self.grid.columns):
            raise ValueError(f"snapped: indices {self.indices.shape} do not fit {self.grid}")
        if int(self.indices.max()) >= len(self.palette):
            raise ValueError(f"snapped: index {self.indices.max()} in {len(self.palette)} colours")

    @property
    def cells(self) -> NDArray[np.uint8]:
        """One colour per cell, uint8 [rows, columns, 3] sRGB."""
        return self.palette.rgb[self.indices]

    def image(self) -> NDArray[np.uint8]:
        """The picture at the grid's size, uint8 [H, W, 3] sRGB."""
        return render(self.cells, self.grid)


def snap(
    image: NDArray[np.uint8],
    grid: Grid,
    num_colors: int | None = 16,
    palette: Palette | None = None,
    method: str = "inner",
) -> Snapped:
    """Every cell becomes one colour of a palette of at most `num_colors` colours.

    image: uint8 [H, W, 3] sRGB of the grid's size. A cell's colour is found by `downsample.cell_colors` with
    `method`, the palette by `fit_palette` over the cells, so that a colour counts by the area it covers.
    A given `palette` is used as it is, and num_colors is ignored. num_colors None: as many colours as the
    cells have, up to 256. Raises ValueError when the grid does not fit or num_colors is not 1 to 256.
    """
    cells = cell_colors(image, grid, method)
    if palette is None:
        palette = fit_palette(cells, MAX_COLORS if num_colors is None else num_colors)
    return Snapped(nearest(cells, palette), palette, grid)


def _save_indexed(indices: NDArray[np.uint8], palette: Palette, path: Path | str) -> None:
    picture = Image.fromarray(indices)
    picture.putpalette(palette.rgb.tobytes())
    picture.save(path, format="PNG", optimize=False)


def save_cells_png(snapped: Snapped, path: Path | str) -> None:
    """Write the picture at its true size, one pixel per cell, as an indexed PNG with exactly its palette."""
    _save_indexed(snapped.indices, snapped.palette, path)


def save_enlarged_png(snapped: Snapped, path: Path | str, scale: int) -> None:
    """Write the picture with scale x scale pixels per cell, as an indexed PNG. ValueError when scale < 1."""
    if scale < 1:
        raise ValueError(f"scale: {scale} is below 1")
    enlarged = np.repeat(np.repeat(snapped.indices, scale, axis=0), scale, axis=1)
    _save_indexed(enlarged, snapped.palette, path)
