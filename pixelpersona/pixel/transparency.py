"""Images with an alpha channel: which cells are drawn, and colours without fringes from hidden pixels.

Fringes come from hidden colours, often black or white, that are averaged into cells along the outline.
Therefore hidden pixels first take the colour of the nearest visible one.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pixelpersona.pixel.grid import Grid, cut
from pixelpersona.pixel.kernel import kernel
from pixelpersona.pixel.palette import MAX_COLORS, Palette, nearest
from pixelpersona.pixel.snap import Snapped


def reveal(image: NDArray[np.uint8], visible: float) -> NDArray[np.uint8]:
    """uint8 [H, W, 4] -> [H, W, 3] in which hidden pixels have the colour of the nearest visible one.

    visible: opacity from which a pixel is visible, above 0 and at most 1. If no pixel is visible, the colours
    are returned unchanged.
    """
    hidden = image[..., 3] < visible * 255.0
    if hidden.all() or not hidden.any():
        return image[..., :3]
    revealed: NDArray[np.uint8] = _revealed(image, hidden)
    return revealed


@kernel
def _revealed(image: NDArray[np.uint8], hidden: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """uint8 [H, W, 4] and bool [H, W] -> [H, W, 3], hidden pixels in the colour of the nearest other one.

    An exact distance transform (Felzenszwalb & Huttenlocher 2012, "Distance transforms of sampled functions")
    that needs memory for one row; scipy's needs 16 bytes per pixel. For each row, the nearest visible pixel
    of every column gives a parabola, the squared distance along the row; the lowest parabola wins.
    """
    height, width = hidden.shape
    result = image[:, :, :3].copy()
    above, below = np.full(width, -1), np.zeros(width, dtype=np.int64)  # nearest visible rows of each column
    row, apex = np.empty(width, dtype=np.int64), np.empty(width, dtype=np.int64)
    offset, start = np.empty(width), np.empty(width)
    for y in range(height):
        num = 0  # of parabolas that are the lowest somewhere; parabola k is the lowest from start[k] on
        for x in range(width):
            if not hidden[y, x]:
                above[x] = y
            while below[x] < height and (below[x] < y or hidden[below[x], x]):
                below[x] += 1
            if above[x] < 0 and below[x] == height:
                continue
            is_above = above[x] >= 0 and (below[x] == height or y - above[x] <= below[x] - y)
            row[x] = above[x] if is_above else below[x]
            offset[x] = (row[x] - y) ** 2 + x**2
            first = -np.inf
            while num > 0:
                last = apex[num - 1]
                first = (offset[x] - offset[last]) / (2.0 * (x - last))
                if first > start[num - 1]:
                    break
                num -= 1
            apex[num], start[num] = x, first
            num += 1
        k = 0
        for x in range(width):
            while k + 1 < num and start[k + 1] <= x:
                k += 1
            if hidden[y, x]:
                for c in range(3):
                    result[y, x, c] = image[row[apex[k]], apex[k], c]
    return result


def has_visible(image: NDArray[np.uint8], alpha: float) -> bool:
    """Whether a pixel of uint8 [H, W, 3] or [H, W, 4] has at least this opacity (0-1); RGB always does."""
    return image.shape[2] == 3 or bool((image[..., 3] >= alpha * 255.0).any())


def check_visible(image: NDArray[np.uint8], alpha: float) -> None:
    """Raise ValueError when no pixel of uint8 [H, W, 3] or [H, W, 4] reaches this opacity."""
    if not has_visible(image, alpha):
        raise ValueError(f"image: no pixel reaches the opacity alpha={alpha}")


def drawn_cells(image: NDArray[np.uint8], grid: Grid, visible: float) -> NDArray[np.bool_]:
    """Cells of uint8 [H, W, 4] with a mean opacity of at least `visible` (0-1): bool [rows, columns].

    Raises ValueError when the grid does not fit the image.
    """
    opacity = cut(image[..., 3:], grid).mean(axis=(2, 3, 4))
    drawn: NDArray[np.bool_] = opacity >= visible * 255.0
    return drawn


def leave_index_free(
    frames: Sequence[Snapped], opaque: Sequence[NDArray[np.bool_]] | None
) -> tuple[Sequence[Snapped], Sequence[NDArray[np.bool_]] | None]:
    """Frames and masks for which `snap.with_transparent` finds an index for cells that are not drawn.

    frames: of one palette. opaque: which cells are drawn, bool [rows, columns] each; None for all.
    Both are returned unchanged unless the drawn cells use all 256 colours. Then, if every cell is drawn, the
    masks become None; otherwise cells of the rarest colour take the nearest other colour.
    """
    if opaque is None or len(frames[0].palette) < MAX_COLORS:
        return frames, opaque
    counts = np.zeros(MAX_COLORS, np.int64)
    for frame, mask in zip(frames, opaque, strict=True):
        counts += np.bincount(frame.indices[mask], minlength=MAX_COLORS)
    if counts.min() == 0:
        return frames, opaque
    if all(mask.all() for mask in opaque):
        return frames, None
    palette, rarest = frames[0].palette, int(counts.argmin())
    others = np.delete(np.arange(MAX_COLORS, dtype=np.uint8), rarest)
    instead = others[nearest(palette.rgb[rarest : rarest + 1], Palette(palette.rgb[others]))[0]]
    return [
        Snapped(np.where(frame.indices == rarest, instead, frame.indices), palette, frame.grid)
        for frame in frames
    ], opaque
