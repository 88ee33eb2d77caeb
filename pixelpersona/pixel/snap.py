"""A picture onto a grid and a palette: after this it is pixel art by construction."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion

from pixelpersona.pixel.cleanup import KEEP_CONTRAST, merge_similar, remove_orphans
from pixelpersona.pixel.coherence import coherent
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
    *,
    cleanup: bool | float = False,
    min_distance: float = 0.0,
    coherence: float = 0.0,
) -> Snapped:
    """Every cell becomes one colour of a palette of at most `num_colors` colours.

    image: uint8 [H, W, 3] sRGB of the grid's size. A cell's colour is found by `downsample.cell_colors` with
    `method`; the rest is `snap_cells`. Raises ValueError when the grid does not fit, or as `snap_cells`.
    """
    return snap_cells(
        cell_colors(image, grid, method),
        grid,
        num_colors,
        palette,
        cleanup=cleanup,
        min_distance=min_distance,
        coherence=coherence,
    )


def snap_cells(
    cells: NDArray[np.uint8],
    grid: Grid,
    num_colors: int | None = 16,
    palette: Palette | None = None,
    *,
    weights: NDArray[Any] | None = None,
    cleanup: bool | float = False,
    min_distance: float = 0.0,
    coherence: float = 0.0,
) -> Snapped:
    """Every cell becomes one colour of a palette of at most `num_colors` colours.

    cells: uint8 [rows, columns, 3] sRGB. The palette is found by `fit_palette` over the cells, so that a
    colour counts by the area it covers, times `weights` [rows, columns] where given.
    A given `palette` is used as it is, and num_colors is ignored. num_colors None: as many colours as the
    cells have, up to 256. min_distance: colours closer than this become one (`cleanup.merge_similar`; of a
    given palette the one that covers more stays). coherence: how far cells give in to their neighbours
    (`coherence.coherent`). cleanup: lone cells join their neighbours
    (`cleanup.remove_orphans`); a number is the contrast from which they stay.
    Raises ValueError when num_colors is not 1 to 256, min_distance or coherence is negative, or the weights
    do not fit.
    """
    given = palette is not None
    if palette is None:
        palette = fit_palette(cells, MAX_COLORS if num_colors is None else num_colors, weights=weights)
    indices = nearest(cells, palette)
    if min_distance != 0.0:
        indices, palette = merge_similar(indices, palette, min_distance, keep_colors=given)
    if coherence != 0.0:
        indices = coherent(cells, indices, palette, coherence)
    if cleanup is not False:
        keep_contrast = KEEP_CONTRAST if cleanup is True else cleanup
        indices = remove_orphans(indices, palette, keep_contrast)
    return Snapped(indices, palette, grid)


def save_cells_png(snapped: Snapped, path: Path | str, opaque: NDArray[np.bool_] | None = None) -> None:
    """Write the picture at its true size, one pixel per cell, as an indexed PNG with exactly its palette.

    opaque: bool [rows, columns], the cells that are drawn. The others get one index more, after the palette
    (or one that no drawn cell uses, when there are 256), which is transparent. Its colour is the one most
    frequent along the outline: viewers that smooth the picture mix that in, instead of a fringe of black.
    Raises ValueError when `opaque` has another shape, or all 256 colours are drawn and none is left for it.
    """
    _save_indexed(snapped, path, 1, opaque)


def save_enlarged_png(
    snapped: Snapped, path: Path | str, scale: int, opaque: NDArray[np.bool_] | None = None
) -> None:
    """Write the picture with scale x scale pixels per cell, as an indexed PNG. ValueError when scale < 1.

    opaque: as in `save_cells_png`.
    """
    if scale < 1:
        raise ValueError(f"scale: {scale} is below 1")
    _save_indexed(snapped, path, scale, opaque)


def with_hidden(
    indices: Sequence[NDArray[np.uint8]], opaque: Sequence[NDArray[np.bool_]], colors: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], int]:
    """A palette's colours with one for the cells that are not drawn, uint8 [K, 3], and its index.

    indices, opaque: of one picture or of all frames of a clip, [rows, columns] each. The index comes after
    the palette or, when that has 256 colours, is one that is drawn nowhere; its colour is the one most
    frequent along the outlines. Raises ValueError when all 256 are drawn.
    """
    outline = np.zeros(MAX_COLORS, dtype=np.int64)
    used = np.zeros(MAX_COLORS, dtype=np.bool_)
    for index, mask in zip(indices, opaque, strict=True):
        edge = mask & ~binary_erosion(mask, np.ones((3, 3)), border_value=1)
        outline += np.bincount(index[edge], minlength=MAX_COLORS)
        used[index[mask]] = True
    near = colors[outline.argmax()]
    if len(colors) < MAX_COLORS:
        return np.concatenate([colors, near[None]]), len(colors)
    if used.all():
        raise ValueError(f"opaque: all {MAX_COLORS} colours are drawn, none is left to be transparent")
    hidden = int(np.flatnonzero(~used)[-1])
    colors = colors.copy()
    colors[hidden] = near
    return colors, hidden


def _save_indexed(snapped: Snapped, path: Path | str, scale: int, opaque: NDArray[np.bool_] | None) -> None:
    indices, colors, options = snapped.indices, snapped.palette.rgb, {}
    if opaque is not None:
        if opaque.shape != indices.shape:
            raise ValueError(f"opaque: {opaque.shape} is not the picture's {indices.shape}")
        colors, hidden = with_hidden([indices], [opaque], colors)
        indices = np.where(opaque, indices, hidden).astype(np.uint8)
        options = {"transparency": hidden}
    picture = Image.fromarray(np.repeat(np.repeat(indices, scale, axis=0), scale, axis=1))
    picture.putpalette(colors.tobytes())
    picture.save(path, format="PNG", optimize=False, **options)
