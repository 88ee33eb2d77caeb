"""Images that are exactly on a grid and a palette, and their PNG files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion

from pixelpersona.pixel.grid import Grid, render
from pixelpersona.pixel.palette import MAX_COLORS, Palette


@dataclass(frozen=True, slots=True, eq=False)
class Snapped:
    """Palette indices, uint8 [rows, columns], with their palette and grid.

    Raises ValueError when the indices do not fit the grid or one is out of range.
    """

    indices: NDArray[np.uint8]
    palette: Palette
    grid: Grid

    def __post_init__(self) -> None:
        if self.indices.shape != (self.grid.rows, self.grid.columns):
            raise ValueError(f"snapped: indices {self.indices.shape} do not fit {self.grid}")
        if int(self.indices.max()) >= len(self.palette):
            raise ValueError(
                f"snapped: index {self.indices.max()} is out of range for {len(self.palette)} colours"
            )

    @property
    def cells(self) -> NDArray[np.uint8]:
        """One colour per cell, uint8 [rows, columns, 3] sRGB."""
        return self.palette.rgb[self.indices]

    def image(self) -> NDArray[np.uint8]:
        """The image at the grid's size, uint8 [H, W, 3] sRGB."""
        return render(self.cells, self.grid)


def save_png(
    snapped: Snapped, path: Path | str, scale: int = 1, opaque: NDArray[np.bool_] | None = None
) -> None:
    """Write an indexed PNG with scale x scale pixels per cell and exactly the palette.

    opaque: bool [rows, columns], the cells that are drawn; None for all. The others get a transparent index
    from `with_transparent`. Raises ValueError when scale < 1, `opaque` has another shape, or no index is free
    for transparency.
    """
    if scale < 1:
        raise ValueError(f"scale={scale}: accepted 1 or more")
    indices, colors, options = snapped.indices, snapped.palette.rgb, {}
    if opaque is not None:
        if opaque.shape != indices.shape:
            raise ValueError(f"opaque: {opaque.shape} does not match the image's {indices.shape}")
        colors, hidden = with_transparent([indices], [opaque], colors)
        indices = np.where(opaque, indices, hidden).astype(np.uint8)
        options = {"transparency": hidden}
    image = Image.fromarray(np.repeat(np.repeat(indices, scale, axis=0), scale, axis=1))
    image.putpalette(colors.tobytes())
    image.save(path, format="PNG", optimize=False, **options)


def with_transparent(
    indices: Sequence[NDArray[np.uint8]], opaque: Sequence[NDArray[np.bool_]], colors: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], int]:
    """A palette with an index for cells that are not drawn: colours uint8 [K, 3], and the index.

    indices, opaque: of an image or of all frames of a clip, [rows, columns] each. The index is appended to
    the palette, or, if that has 256 colours, it is one that no drawn cell uses. Its colour is the most
    frequent one along the outlines, because viewers that interpolate blend it into the edge.
    Raises ValueError when drawn cells use all 256 colours.
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
        raise ValueError(f"opaque: all {MAX_COLORS} colours are drawn, none is free for transparency")
    hidden = int(np.flatnonzero(~used)[-1])
    colors = colors.copy()
    colors[hidden] = near
    return colors, hidden
