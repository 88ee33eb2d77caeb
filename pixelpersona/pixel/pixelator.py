"""A picture to pixel art by one recipe: cells, palette, dither, tidying.

With Pyxelate's own cells and fit this is `pyxelate.Pyx`. Every other choice of `downsample` or `fit` finds
the cells first, fits a palette to them, and gives each cell the colour nearest in OKLab, or a dither of near
ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelpersona.pixel import palette_fit
from pixelpersona.pixel.clarify import clarify
from pixelpersona.pixel.cleanup import merge_similar, remove_orphans
from pixelpersona.pixel.coherence import coherent
from pixelpersona.pixel.color_dither import dither_colors
from pixelpersona.pixel.downsample import cell_colors
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.palette import Palette, nearest
from pixelpersona.pixel.pixelation import AUTO, Pixelation, whole
from pixelpersona.pixel.pyxelate import Pyx
from pixelpersona.pixel.snap import Snapped
from pixelpersona.pixel.transparency import drawn_cells, reveal

_FIT_SIDE = 256  # pictures are fitted to at most this many pixels a side, as in Pyxelate


@dataclass(frozen=True, slots=True, eq=False)
class Pixelated:
    """snapped: indices, palette and grid. drawn: bool [rows, columns] of an RGBA picture, else None."""

    snapped: Snapped
    drawn: NDArray[np.bool_] | None = None


class Pixelator:
    """`Pixelator(recipe).fit_apply(image)`; fitted to many pictures it gives all one palette."""

    def __init__(self, recipe: Pixelation) -> None:
        recipe.check()
        self.recipe = recipe
        self._given = recipe.given_palette()
        self._pyx: Pyx | None = None
        self._palette: Palette | None = None

    @property
    def palette(self) -> Palette:
        """Raises ValueError before fit()."""
        if self._palette is None:
            raise ValueError("Pixelator: call fit(images) first")
        return self._palette

    def fit(self, images: Sequence[NDArray[np.uint8]]) -> Self:
        """Find the palette of one picture or of many, each counting the same.

        images: uint8 [H, W, 3] or [H, W, 4] sRGB. Raises ValueError naming what is not accepted.
        """
        if not images:
            raise ValueError("images: need at least one")
        self._fit([self.clear(image) for image in images])
        return self

    def apply(self, image: NDArray[np.uint8]) -> Pixelated:
        """Draw a picture, uint8 [H, W, 3] or [H, W, 4], in the fitted palette.

        The grid's cell is the factor, or 1 where only numbers of cells are given.
        """
        return self._apply(self.clear(image))

    def fit_apply(self, image: NDArray[np.uint8]) -> Pixelated:
        """`fit([image]).apply(image)`, and the picture is cleared once."""
        clear = self.clear(image)
        self._fit([clear])
        return self._apply(clear)

    def _fit(self, images: Sequence[NDArray[np.uint8]]) -> None:
        """images: cleared."""
        if self.recipe.is_pyxelate:
            self._pyx = self.recipe.pyx(self._given)
            self._pyx.fit(images[0] if len(images) == 1 else _montage(images))
            self._palette = Palette(np.unique(self._pyx.colors, axis=0))
            return
        self._palette = self._given or self._fitted([self._cells(image)[0] for image in images])

    def _apply(self, image: NDArray[np.uint8]) -> Pixelated:
        """image: cleared."""
        palette = self.palette
        if self._pyx is not None:
            cells = self._pyx.transform(image)
            drawn = cells[..., 3] > 0 if cells.shape[2] == 4 else None
            cells = cells[..., :3]
            indices = nearest(cells, palette)
        else:
            cells, drawn = self._cells(image)
            indices = dither_colors(cells, palette, self.recipe.dither)
        if self.recipe.min_distance > 0.0:
            keep = self._given is not None
            indices, palette = merge_similar(indices, palette, self.recipe.min_distance, keep_colors=keep)
        if self.recipe.coherence > 0.0:
            indices = coherent(cells, indices, palette, self.recipe.coherence)
        if self.recipe.cleanup:
            indices = remove_orphans(indices, palette)
        rows, columns = indices.shape
        cell = self.recipe.pyx().factor or 1
        return Pixelated(Snapped(indices, palette, Grid(columns, rows, cell)), drawn)

    def grid(self, image: NDArray[np.uint8]) -> Grid:
        """The cells of a picture, each of a whole number of pixels; the picture may need to be `resized`."""
        rows, columns = self.recipe.pyx().cells_of(image)
        cell = max(1, round(min(image.shape[0] / rows, image.shape[1] / columns)))
        return Grid(columns, rows, cell)

    def clear(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture as `clarify` makes it by the recipe, before it is drawn; the same shape."""
        rows, columns = self.recipe.pyx().cells_of(image)
        cell = min(image.shape[0] / rows, image.shape[1] / columns)
        return clarify(image, cell, self.recipe.clarity())

    def _fitted(self, cells: Sequence[NDArray[np.uint8]]) -> Palette:
        recipe = self.recipe
        return palette_fit.choose_palette(
            cells,
            None if recipe.palette == AUTO else whole(recipe.palette),
            fit="pyxelate" if recipe.fit == "exact" else recipe.fit,
            locked=recipe.locked_colors(),
        )

    def _cells(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
        """Colours of the cells [rows, columns, 3], and which of them are drawn."""
        grid = self.grid(image)
        visible = image if image.shape[2] == 3 else reveal(image, self.recipe.alpha)
        cells = cell_colors(resized(visible, grid), grid, self.recipe.downsample)
        if image.shape[2] == 3:
            return cells, None
        return cells, drawn_cells(resized(image, grid), grid, self.recipe.alpha)


def _montage(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """All pictures side by side, each brought to the same number of pixels; hidden pixels stay hidden."""
    side = max(8, int(_FIT_SIDE / len(images) ** 0.5))
    mode = "RGBA" if any(image.shape[2] == 4 for image in images) else "RGB"
    small = [Image.fromarray(image).convert(mode).resize((side, side)) for image in images]
    return np.concatenate([np.asarray(picture) for picture in small], axis=1)


def resized(image: NDArray[np.uint8], grid: Grid) -> NDArray[np.uint8]:
    """The picture at the grid's size, uint8 [H, W, C]."""
    if image.shape[:2] == (grid.height, grid.width):
        return image
    size = (grid.width, grid.height)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
