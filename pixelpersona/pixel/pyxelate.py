"""Pyxelate: photos to pixel art with a fitted palette (the algorithm of github.com/sedthh/pyxelate, 2.1).

The palette comes from a Bayesian mixture over the photo's colours (`pyxelate_fit`), the cells from block
means weighted by Sobel magnitude (`pyxelate_cells`); each cell takes its most probable colour or a dither
(`dither`). Upstream fits the mixture to all pixels; `fit="fast"` fits it to the mean colours and pixel counts
of fine cells of the colour cube, which moves the palette by a fraction of one 8-bit level (rarely, where
upstream's result is unstable, to a different one of the same quality).
"""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from skimage.color import hsv2rgb, rgb2hsv

from pixelpersona.pixel.dither import DITHERS, choose
from pixelpersona.pixel.mixture import Mixture
from pixelpersona.pixel.palette import Palette
from pixelpersona.pixel.palette_files import named_palette
from pixelpersona.pixel.pyxelate_cells import sobel_cells
from pixelpersona.pixel.pyxelate_fit import boost, find_palette, fit_pixels, transfer_palette
from pixelpersona.pixel.resample import resize_linear
from pixelpersona.pixel.transparency import reveal

Floats = NDArray[np.float64]
Colors = NDArray[np.uint8]

FITS = ("fast", "exact")

_PALETTE_CONTRAST = 1.07  # factor on saturation and value of the palette's colours
_PALETTE_STEP = 8  # palette colours are multiples of this
_FACTOR = 6
_LIMITS = {
    "height": (1, 4096),
    "width": (1, 4096),
    "factor": (1, 1024),
    "upscale": (1, 64),
    "depth": (1, 4),
    "sobel": (2, 16),
}


class Pyx:
    """Pyxelate with upstream's parameters: `Pyx(factor=6, palette=32).fit(image).transform(image)`.

    height, width: number of cells; if only one is given the other follows from the aspect ratio. factor:
    source pixels per cell instead; 6 when none of the three is given. upscale: output pixels per cell, or a
    pair for rows and columns. depth: number of block reductions. palette: number of colours, 2 to 256, or the
    colours themselves: a Palette, uint8 [K, 3], a list of triples of 0-255, or a name of
    `palette_files.PALETTE_NAMES`. dither: one of `dither.DITHERS`. sobel: side of the reduced blocks, 2 to
    16.
    svd: apply a low-rank (32) approximation first. alpha: opacity 0-1 from which a cell of an RGBA image is
    drawn. fit: "fast", or "exact" as upstream, two to three times as slow.
    Raises ValueError naming the parameter for any other value.
    """

    def __init__(
        self,
        height: int | None = None,
        width: int | None = None,
        factor: int | None = None,
        upscale: int | tuple[int, int] = 1,
        depth: int = 1,
        palette: int | str | Palette | Colors | Sequence[Sequence[int]] = 32,
        dither: str | None = "none",
        sobel: int = 3,
        svd: bool = True,
        alpha: float = 0.6,
        fit: Literal["fast", "exact"] = "fast",
    ) -> None:
        if factor is not None and (height is not None or width is not None):
            raise ValueError(f"factor={factor}: accepted without height and width")
        if factor is None and height is None and width is None:
            factor = _FACTOR
        dither = "none" if dither is None else dither
        if dither not in DITHERS:
            raise ValueError(f"dither={dither}: accepted {', '.join(DITHERS)}")
        if fit not in FITS:
            raise ValueError(f"fit={fit}: accepted {', '.join(FITS)}")
        if not 0.0 < alpha <= 1.0:
            raise ValueError(f"alpha={alpha}: accepted above 0 and at most 1")
        self.height = None if height is None else _whole("height", height)
        self.width = None if width is None else _whole("width", width)
        self.factor = None if factor is None else _whole("factor", factor)
        self.upscale = _upscale(upscale)
        self.depth, self.sobel = _whole("depth", depth), _whole("sobel", sobel)
        self.palette = _palette(palette)
        self.dither, self.svd, self.alpha, self.fit_kind = dither, bool(svd), float(alpha), fit
        self._mixture: Mixture | None = None

    @property
    def mixture(self) -> Mixture:
        """The fitted colour model. Raises ValueError before fit()."""
        if self._mixture is None:
            raise ValueError("Pyx: call fit(image) first")
        return self._mixture

    @property
    def means(self) -> Floats:
        """Means of the mixture's components, float64 [K, 3] sRGB, about 0-1.

        For a fitted palette its colours before the contrast and rounding; for a given one the mean of the
        image's colours that each palette colour represents.
        """
        return self.mixture.means

    @property
    def colors(self) -> Colors:
        """The given or fitted palette, uint8 [K, 3]; a fitted one has at most as many colours as the image.

        Raises ValueError before fit() when the palette is not given.
        """
        if not isinstance(self.palette, int):
            return self.palette
        hsv = rgb2hsv(self.means)
        hsv[:, 1:] *= _PALETTE_CONTRAST
        levels = np.clip(hsv2rgb(hsv) * 255 // _PALETTE_STEP * _PALETTE_STEP, 0, 255)
        levels[levels < 2 * _PALETTE_STEP] = 0
        levels[levels > 255 - 2 * _PALETTE_STEP] = 255
        colors: Colors = levels.astype(np.uint8)
        return colors

    def fit(self, image: NDArray[np.uint8]) -> Self:
        """Fit the colour model to an image, uint8 [H, W, 3] or [H, W, 4] sRGB; hidden pixels are ignored.

        Raises ValueError for another shape or dtype, or when no pixel is opaque.
        """
        _check(image)
        exact = self.fit_kind == "exact"
        pixels = fit_pixels(image, self.alpha, exact)
        if isinstance(self.palette, int):
            self._mixture = find_palette(pixels, self.palette, exact)
        else:
            self._mixture = transfer_palette(pixels, self.palette, exact)
        return self

    def transform(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Draw an image in `colors`: uint8 [rows, columns, 3], times upscale.

        image: uint8 [H, W, 3] or [H, W, 4] sRGB; the latter gives a fourth channel of 0 and 255.
        Raises ValueError for another shape or dtype, for an image smaller than one cell, or before fit().
        """
        _check(image)
        rows, columns = self.cells_of(image)
        mixture, exact = self.mixture, self.fit_kind == "exact"
        source = image if image.shape[2] == 3 else reveal(image, self.alpha)
        rgb = sobel_cells(source, rows, columns, self.sobel, self.depth, self.svd, exact)
        if isinstance(self.palette, int):
            rgb = boost(rgb)
        cells = self.colors[choose(rgb, mixture, self.dither)]
        if image.shape[2] == 4:
            (opacity,) = resize_linear(image[..., 3:], rows, columns, anti_aliasing=True)
            cells = np.dstack([cells, np.where(opacity >= self.alpha, 255, 0).astype(np.uint8)])
        return cells.repeat(self.upscale[0], axis=0).repeat(self.upscale[1], axis=1)

    def fit_transform(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """`fit` and `transform` of one image."""
        return self.fit(image).transform(image)

    def cells_of(self, image: NDArray[np.uint8]) -> tuple[int, int]:
        """Number of rows and columns of cells, before upscale. Raises ValueError when one is 0."""
        high, wide = image.shape[:2]
        if self.factor is not None:
            rows, columns = high // self.factor, wide // self.factor
        else:
            rows = self.height or int((self.width or 0) / wide * high)
            columns = self.width or int((self.height or 0) / high * wide)
        if min(rows, columns) < 1:
            key = "factor" if self.factor is not None else "height" if self.width is None else "width"
            raise ValueError(
                f"{key}={getattr(self, key)}: leaves no cell of an image of {wide}x{high} pixels"
            )
        return rows, columns


def _check(image: NDArray[np.uint8]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4) or image.size == 0:
        raise ValueError(f"image: must be uint8 [H, W, 3] or [H, W, 4], not {image.dtype} {image.shape}")


def _whole(name: str, value: int) -> int:
    low, high = _LIMITS[name]
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name}={value}: accepted whole numbers from {low} to {high}")
    return int(value)


def _upscale(upscale: int | tuple[int, int]) -> tuple[int, int]:
    pair = (upscale, upscale) if isinstance(upscale, int | np.integer) else tuple(upscale)
    if len(pair) != 2:
        raise ValueError(f"upscale={upscale}: accepted a whole number or a pair of them")
    return _whole("upscale", pair[0]), _whole("upscale", pair[1])


def _palette(palette: int | str | Palette | Colors | Sequence[Sequence[int]]) -> int | Colors:
    """The number of colours to fit, or the given colours, uint8 [K, 3]."""
    if isinstance(palette, int | np.integer) and not isinstance(palette, bool):
        if not 2 <= palette <= 256:
            raise ValueError(f"palette={palette}: accepted 2 to 256")
        return int(palette)
    if isinstance(palette, str):
        palette = named_palette(palette)
    rgb = np.asarray(palette.rgb if isinstance(palette, Palette) else palette)
    whole = np.issubdtype(rgb.dtype, np.integer)
    if rgb.ndim != 2 or rgb.shape[1] != 3 or not whole or not 2 <= len(rgb) <= 256:
        raise ValueError(
            f"palette: accepted 2 to 256 colours of three whole numbers, not {rgb.dtype} {rgb.shape}"
        )
    if rgb.min() < 0 or rgb.max() > 255:
        raise ValueError("palette: accepted colours of three values from 0 to 255")
    return rgb.astype(np.uint8)
