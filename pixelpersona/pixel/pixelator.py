"""Pixelation of images by one recipe: cells, palette, dither, clean-up.

With Pyxelate's own downsampling and fit the result is that of `pyxelate.Pyx`. Any other `downsample` or `fit`
first downsamples, then fits a palette to the cells, and gives each cell the nearest colour in
`palette.perceptual` or a dither.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelpersona.pixel.clarify import clarify
from pixelpersona.pixel.cleanup import clean_up
from pixelpersona.pixel.color_dither import dither_colors
from pixelpersona.pixel.downsample import cell_colors
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.palette import Palette, nearest
from pixelpersona.pixel.palette_fit import choose_palette
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pyxelate_fit import FIT_SIDE
from pixelpersona.pixel.snap import Snapped
from pixelpersona.pixel.transparency import check_visible, drawn_cells, reveal


@dataclass(frozen=True, slots=True, eq=False)
class Pixelated:
    """The result, and which cells are drawn: bool [rows, columns] for an RGBA image, else None."""

    snapped: Snapped
    drawn: NDArray[np.bool_] | None = None


class Images(Protocol):
    """A list of images, uint8 [H, W, 3] or [H, W, 4] sRGB, or `clip.Frames`, decoded one by one."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[NDArray[np.uint8]]: ...


class Pixelator:
    """`Pixelator(recipe).fit_apply(image)`, or `fit(images)` for one palette and `apply(image)` for each.

    Raises ValueError naming the key of an invalid setting.
    """

    def __init__(self, recipe: Pixelation) -> None:
        recipe.check()
        self.recipe = recipe
        self._given = recipe.given_palette()
        self._pyx = recipe.pyx(self._given if recipe.is_pyxelate else None)
        self._palette: Palette | None = None

    @property
    def palette(self) -> Palette:
        """The fitted or given palette. Raises ValueError before fit()."""
        if self._palette is None:
            raise ValueError("Pixelator: call fit(images) first")
        return self._palette

    def fit(self, images: Images) -> Self:
        """Fit the palette to one or several images of equal weight.

        Raises ValueError without images, or when one has no cell or no opaque pixel.
        """
        if not len(images):
            raise ValueError("images: need at least one")
        self._fit(map(self.clarified, images), len(images))
        return self

    def apply(self, image: NDArray[np.uint8]) -> Pixelated:
        """Draw an image, uint8 [H, W, 3] or [H, W, 4] sRGB, in the fitted palette.

        The grid's cell size is the factor, or 1 if the recipe has numbers of cells. Raises ValueError before
        fit(), or when the image has no cell or no opaque pixel.
        """
        return self._apply(self.clarified(image))

    def fit_apply(self, image: NDArray[np.uint8]) -> Pixelated:
        """`fit([image]).apply(image)`, but `clarify` runs only once."""
        clear = self.clarified(image)
        self._fit(iter([clear]), 1)
        return self._apply(clear)

    def grid(self, image: NDArray[np.uint8]) -> Grid:
        """The image's grid with a whole number of pixels per cell; `resized` brings the image to its size."""
        rows, columns = self._pyx.cells_of(image)
        cell = max(1, round(min(image.shape[0] / rows, image.shape[1] / columns)))
        return Grid(columns, rows, cell)

    def clarified(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The image after `clarify` with the recipe's settings, before it is drawn; same shape."""
        rows, columns = self._pyx.cells_of(image)
        return clarify(image, min(image.shape[0] / rows, image.shape[1] / columns), self.recipe)

    def _fit(self, images: Iterator[NDArray[np.uint8]], num_images: int) -> None:
        if self.recipe.is_pyxelate:
            self._pyx.fit(next(images) if num_images == 1 else _montage(images, num_images))
            self._palette = Palette(np.unique(self._pyx.colors, axis=0))
            return
        if self._given is not None:
            self._palette = self._given
            return
        cells = [self._cells(image)[0] for image in images]
        self._palette = choose_palette(
            cells,
            self.recipe.num_colors,
            "pyxelate" if self.recipe.fit == "exact" else self.recipe.fit,
            self.recipe.locked_colors(),
            [self.recipe.inside(image.shape[1], image.shape[0]) for image in cells],
        )

    def _apply(self, image: NDArray[np.uint8]) -> Pixelated:
        palette = self.palette
        if self.recipe.is_pyxelate:
            check_visible(image, self.recipe.alpha)
            cells = self._pyx.transform(image)
            drawn = cells[..., 3] > 0 if cells.shape[2] == 4 else None
            cells = cells[..., :3]
            indices = nearest(cells, palette)
        else:
            cells, drawn = self._cells(image)
            indices = dither_colors(cells, palette, self.recipe.dither)
        indices, palette = clean_up(cells, indices, palette, self.recipe, keep_colors=self._given is not None)
        rows, columns = indices.shape
        return Pixelated(Snapped(indices, palette, Grid(columns, rows, self._pyx.factor or 1)), drawn)

    def _cells(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
        """Colours of the cells, uint8 [rows, columns, 3], and which of them are drawn."""
        grid, alpha = self.grid(image), self.recipe.alpha
        if image.shape[2] == 3:
            return cell_colors(resized(image, grid), grid, self.recipe.downsample), None
        check_visible(image, alpha)
        cells = cell_colors(resized(reveal(image, alpha), grid), grid, self.recipe.downsample)
        return cells, drawn_cells(resized(image, grid), grid, alpha)


def _montage(images: Iterable[NDArray[np.uint8]], num_images: int) -> NDArray[np.uint8]:
    """All images side by side, each resized to the same square; RGBA if one of them is."""
    side = max(8, int(FIT_SIDE / num_images**0.5))  # about 256x256 pixels in all
    small = [Image.fromarray(image).resize((side, side)) for image in images]
    mode = "RGBA" if any(image.mode == "RGBA" for image in small) else "RGB"
    return np.concatenate([np.asarray(image.convert(mode)) for image in small], axis=1)


def resized(image: NDArray[np.uint8], grid: Grid) -> NDArray[np.uint8]:
    """The image resized to the grid's size, uint8 [H, W, C], by Lanczos resampling."""
    if image.shape[:2] == (grid.height, grid.width):
        return image
    size = (grid.width, grid.height)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def pixelize(photo: NDArray[np.uint8], recipe: Pixelation) -> tuple[NDArray[np.uint8], Grid | None, Palette]:
    """Pixel art of the photo's size: uint8 [H, W, 3] -> (uint8 [H, W, 3], grid, palette).

    If the factor divides the photo's size, each cell has exactly factor x factor pixels on the returned grid.
    Otherwise, as in the original project (512 // 6 = 85 cells, 510 pixels), the enlarged cells are resized to
    the photo's size by nearest neighbour, their sizes differ by a pixel, and the grid is None.
    """
    height, width = photo.shape[:2]
    snapped = Pixelator(recipe).fit_apply(photo).snapped
    pixel = snapped.image()
    if pixel.shape == photo.shape:
        return pixel, snapped.grid, snapped.palette
    enlarged = Image.fromarray(pixel).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(enlarged), None, snapped.palette
