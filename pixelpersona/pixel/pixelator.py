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
from pixelpersona.pixel.face_map import face_map
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.landmarks import Landmarks, find_landmarks
from pixelpersona.pixel.palette import Palette, nearest
from pixelpersona.pixel.palette_fit import choose_palette, fit_palette
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pyxelate_fit import FIT_SIDE
from pixelpersona.pixel.snap import Snapped
from pixelpersona.pixel.transparency import check_visible, drawn_cells, reveal

_FEATURE_WEIGHT = 4.0  # of a cell of eyes and mouth in the palette: white and iris cover few cells
_MOSTLY_FEATURE, _MOSTLY_SKIN = 0.4, 0.5
_LARGEST_CELL = 16  # pixels: more bring no detail, and a large photo would take much memory


@dataclass(frozen=True, slots=True, eq=False)
class Pixelated:
    """The result, and which cells are drawn: bool [rows, columns] for an RGBA image, else None."""

    snapped: Snapped
    drawn: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    """An image after `clarify`, its grid, and the cells of its face if its landmarks are known.

    features, skin: bool [rows, columns], the cells of eyes and mouth, and those of skin.
    """

    image: NDArray[np.uint8]
    grid: Grid
    features: NDArray[np.bool_] | None = None
    skin: NDArray[np.bool_] | None = None


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
        self._tones: Palette | None = None  # the colours of the palette that are for skin

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
        self._fit(map(self._prepare, images), len(images))
        return self

    def apply(self, image: NDArray[np.uint8]) -> Pixelated:
        """Draw an image, uint8 [H, W, 3] or [H, W, 4] sRGB, in the fitted palette.

        The grid's cell size is the factor, or 1 if the recipe has numbers of cells. Raises ValueError before
        fit(), or when the image has no cell or no opaque pixel.
        """
        return self._apply(self._prepare(image))

    def fit_apply(self, image: NDArray[np.uint8]) -> Pixelated:
        """`fit([image]).apply(image)`, but the image is prepared only once."""
        prepared = self._prepare(image)
        self._fit(iter([prepared]), 1)
        return self._apply(prepared)

    def grid(self, image: NDArray[np.uint8]) -> Grid:
        """The image's grid with a whole number of pixels per cell; `resized` brings the image to its size."""
        rows, columns = self._pyx.cells_of(image)
        cell = max(1, round(min(image.shape[0] / rows, image.shape[1] / columns)))
        return Grid(columns, rows, cell)

    def clarified(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The image before it is drawn: after `clarify`.

        Same shape; or that of the grid, if the recipe has `features` and a face is found.
        """
        return self._prepare(image, self.grid(image)).image

    def _prepare(self, image: NDArray[np.uint8], grid: Grid | None = None) -> _Prepared:
        """grid: to which an image with landmarks is resized; None for cells of at most 16 pixels."""
        rows, columns = self._pyx.cells_of(image)
        landmarks = find_landmarks(image[..., :3]) if self.recipe.features else None
        if landmarks is None:
            size = min(image.shape[0] / rows, image.shape[1] / columns)
            return _Prepared(clarify(image, size, self.recipe), self.grid(image))
        grid = grid or Grid(columns, rows, min(self.grid(image).cell, _LARGEST_CELL))
        scale = np.array([grid.width / image.shape[1], grid.height / image.shape[0]])
        face = face_map(Landmarks(landmarks.points * scale), grid.width, grid.height)
        features, skin = (
            mask.reshape(rows, grid.cell, columns, grid.cell).mean(axis=(1, 3))
            for mask in (face.features, face.skin)
        )
        has_feature = features > _MOSTLY_FEATURE
        clear = clarify(resized(image, grid), grid.cell, self.recipe, face)
        return _Prepared(clear, grid, has_feature, (skin > _MOSTLY_SKIN) & ~has_feature)

    def _fit(self, images: Iterator[_Prepared], num_images: int) -> None:
        if self.recipe.is_pyxelate:
            pictures = (prepared.image for prepared in images)
            self._pyx.fit(next(pictures) if num_images == 1 else _montage(pictures, num_images))
            self._palette = Palette(np.unique(self._pyx.colors, axis=0))
            return
        if self._given is not None:
            self._palette = self._given
            return
        num_colors, num_tones = self.recipe.num_colors, self.recipe.skin_tones
        has_tones = num_tones is not None and num_colors is not None
        cells, importance, skin = [], [], []
        for prepared in images:
            colors = self._cells(prepared)[0]
            weight = self.recipe.inside(colors.shape[1], colors.shape[0])
            if prepared.features is not None:
                weight = np.where(prepared.features, _FEATURE_WEIGHT * weight, weight)
            if has_tones and prepared.skin is not None:
                skin.append(colors[prepared.skin])
                colors, weight = colors[~prepared.skin], weight[~prepared.skin]
            cells.append(colors)
            importance.append(weight)
        self._tones = None
        if num_tones is not None and num_colors is not None and any(len(part) for part in skin):
            self._tones = fit_palette(np.concatenate(skin), min(num_tones, num_colors - 1))
            num_colors -= len(self._tones)
        fit = "pyxelate" if self.recipe.fit == "exact" else self.recipe.fit
        palette = choose_palette(cells, num_colors, fit, self.recipe.locked_colors(), importance)
        if self._tones is not None:
            palette = Palette(np.unique(np.concatenate([palette.rgb, self._tones.rgb]), axis=0))
        self._palette = palette

    def _apply(self, prepared: _Prepared) -> Pixelated:
        image, palette = prepared.image, self.palette
        if self.recipe.is_pyxelate:
            check_visible(image, self.recipe.alpha)
            cells = self._pyx.transform(image)
            drawn = cells[..., 3] > 0 if cells.shape[2] == 4 else None
            cells = cells[..., :3]
            indices = nearest(cells, palette)
        else:
            cells, drawn = self._cells(prepared)
            indices = dither_colors(cells, palette, self.recipe.dither)
        keep_colors = self._given is not None
        skin = None if self._tones is None else prepared.skin
        if skin is not None and self._tones is not None:
            tones = nearest(self._tones.rgb, palette)  # their places in the palette
            indices = indices.copy()
            indices[skin] = tones[nearest(cells[skin], self._tones)]
        indices, palette = clean_up(
            cells, indices, palette, self.recipe, keep_colors, prepared.features, skin
        )
        rows, columns = indices.shape
        return Pixelated(Snapped(indices, palette, Grid(columns, rows, self._pyx.factor or 1)), drawn)

    def _cells(self, prepared: _Prepared) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
        """Colours of the cells, uint8 [rows, columns, 3], and which of them are drawn."""
        image, grid, alpha = prepared.image, prepared.grid, self.recipe.alpha
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
