"""Clips in pixel art: one palette over all frames, no flicker where nothing moves, and exact GIF files.

Where a clip is transparent it stays so, without fringes of what was hidden.

Frames enter as arrays; an outside GIF is opened by `photo.open_clip`.
"""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image

from pixelpersona.pixel.downsample import cell_colors
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.palette import Palette, nearest, perceptual
from pixelpersona.pixel.palette_fit import choose_palette
from pixelpersona.pixel.snap import Snapped, with_hidden
from pixelpersona.pixel.transparency import VISIBLE, drawn_cells, reveal

THRESHOLD = 0.04  # twice what is just visible: a camera's noise on the mean of a cell stays below it

_OUTLINE_MARGIN = 0.1  # of opacity: a cell whose part that is covered only trembles stays as it is
_LARGEST_SIDE = 65535  # a GIF has two bytes for it
_MILLISECONDS = 10  # a GIF counts in hundredths of a second


def snap_clip(
    frames: Sequence[NDArray[np.uint8]],
    grid: Grid,
    num_colors: int | None = 16,
    palette: Palette | None = None,
    method: str = "inner",
    threshold: float = THRESHOLD,
    clear: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None,
) -> tuple[Snapped, ...]:
    """Every frame onto the same grid and the same palette; a cell changes only when its source does.

    A cell keeps its colour until its source has moved more than `threshold` (in `palette.perceptual`) away
    from where it was when the cell last took a colour, and another colour has come nearer by half of that. So
    noise between two palette colours does not flicker, and a slow fade still arrives, in steps. 0 snaps every
    frame by itself.

    frames: uint8 [H, W, 3] sRGB of the grid's size. num_colors: as in `choose_palette`, each frame counting
    the same; a given `palette` is used as it is. method: of `downsample.cell_colors`. clear: what a frame is
    drawn from, such as `clarify`; it exaggerates noise as well, so that the frame itself says what has moved.
    Raises ValueError when there is no frame, the grid does not fit one, or the threshold is negative.
    """
    _check(frames, threshold)
    watched = cells = [cell_colors(frame, grid, method) for frame in frames]
    if clear is not None:
        cells = [cell_colors(clear(frame), grid, method) for frame in frames]
    palette = choose_palette(cells, num_colors) if palette is None else palette
    everywhere = np.ones((grid.rows, grid.columns), dtype=np.bool_)
    held = _hold(cells, watched, [everywhere] * len(cells), palette, threshold)
    return tuple(Snapped(indices, palette, grid) for indices in held)


def snap_transparent_clip(
    frames: Sequence[NDArray[np.uint8]],
    grid: Grid,
    num_colors: int | None = 16,
    palette: Palette | None = None,
    method: str = "inner",
    threshold: float = THRESHOLD,
    clear: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None,
    visible: float = VISIBLE,
) -> tuple[tuple[Snapped, ...], tuple[NDArray[np.bool_], ...]]:
    """`snap_clip` for frames with alpha; also which cells are drawn in each, bool [rows, columns].

    frames: uint8 [H, W, 4] sRGB; a frame may be empty. visible: opacity 0-1 from which a pixel has a colour
    and a cell is drawn; a cell appears a little above and goes a little below it, so that a rough outline
    does not flicker. A cell that appears takes its colour anew. `save_gif(..., opaque=...)` takes the masks.
    Raises ValueError as `snap_clip` and `reveal`, and when no cell is drawn in any frame.
    """
    _check(frames, threshold)
    drawn = _hold_outline(frames, grid, visible)
    if not any(mask.any() for mask in drawn):
        raise ValueError(f"frames: no cell of any frame reaches the opacity {visible}")
    watched = cells = _revealed(frames, drawn, grid, method, visible)
    if clear is not None:
        cells = _revealed([clear(frame) for frame in frames], drawn, grid, method, visible)
    if palette is None:
        shown = [colors[mask] for colors, mask in zip(cells, drawn, strict=True) if mask.any()]
        palette = choose_palette(shown, num_colors)
    held = _hold(cells, watched, drawn, palette, threshold)
    return tuple(Snapped(indices, palette, grid) for indices in held), drawn


def _check(frames: Sequence[NDArray[np.uint8]], threshold: float) -> None:
    if not frames:
        raise ValueError("frames: need at least one")
    if threshold < 0.0:
        raise ValueError(f"threshold: {threshold} is negative")


def _revealed(
    frames: Sequence[NDArray[np.uint8]],
    drawn: Sequence[NDArray[np.bool_]],
    grid: Grid,
    method: str,
    visible: float,
) -> list[NDArray[np.uint8]]:
    """The colours of every frame's cells, of hidden ones as if what is near went on."""
    return [
        cell_colors(reveal(frame, visible) if mask.any() else frame[..., :3], grid, method)
        for frame, mask in zip(frames, drawn, strict=True)
    ]


def _hold(
    cells: Sequence[NDArray[np.uint8]],
    watched: Sequence[NDArray[np.uint8]],
    drawn: Sequence[NDArray[np.bool_]],
    palette: Palette,
    threshold: float,
) -> list[NDArray[np.uint8]]:
    """The indices of every frame's cells, which change as `snap_clip` says. watched: what tells a change."""
    colors = perceptual(palette.rgb / 255.0)
    indices = nearest(cells[0], palette)
    source = perceptual(watched[0] / 255.0)  # of each cell, when it last took a colour
    held = [indices]
    for frame, seen, before, now in zip(cells[1:], watched[1:], drawn, drawn[1:], strict=False):
        points, best = perceptual(frame / 255.0), nearest(frame, palette)
        place = perceptual(seen / 255.0)
        moved = np.linalg.norm(place - source, axis=-1)
        shown, offered = (np.linalg.norm(points - colors[index], axis=-1) for index in (indices, best))
        changed = (moved > threshold) & (shown - offered > threshold / 2.0)
        changed |= now & ~before  # what a hidden cell held was its neighbour's colour
        indices = np.where(changed, best, indices)
        source = np.where(changed[..., None], place, source)
        held.append(indices)
    return held


def _hold_outline(
    frames: Sequence[NDArray[np.uint8]], grid: Grid, visible: float
) -> tuple[NDArray[np.bool_], ...]:
    """Which cells are drawn in each frame: at `visible`, give or take the margin, what was stays."""
    shown = [drawn_cells(frames[0], grid, visible)]
    for frame in frames[1:]:
        appears = drawn_cells(frame, grid, min(visible + _OUTLINE_MARGIN, 1.0))
        stays = drawn_cells(frame, grid, max(visible - _OUTLINE_MARGIN, 1.0 / 255.0))
        shown.append(np.where(shown[-1], stays, appears))
    return tuple(shown)


def save_gif(
    frames: Sequence[Snapped],
    durations: Sequence[int],
    path: Path | str,
    scale: int = 1,
    loop: int | None = 0,
    opaque: Sequence[NDArray[np.bool_]] | None = None,
) -> None:
    """Write a GIF with scale x scale pixels per cell and the frames' one palette, in its order.

    durations: milliseconds per frame, in steps of 10 (rounded). loop: 0 = for ever, None = play once.
    opaque: of each frame, bool [rows, columns], the cells that are drawn. The others get the index after the
    palette (or, when it has 256 colours, one that is drawn nowhere), which is transparent; its colour is the
    one most frequent along the outlines, for viewers that mix it in.
    Every frame is written whole and none is left out, so that as many come back as went in. The format has
    room for 2, 4, 8, ... 256 colours: the rest of the table repeats the last one.
    Raises ValueError for no frame, frames or masks of different size, frames of different palette, a number
    out of range, or when all 256 colours are drawn and none is left to be transparent.
    """
    _check_gif(frames, durations, scale, loop, opaque)
    indices, colors, hidden = [frame.indices for frame in frames], frames[0].palette.rgb, None
    if opaque is not None:
        colors, hidden = with_hidden(indices, opaque, colors)
        indices = [np.where(mask, index, hidden) for index, mask in zip(indices, opaque, strict=True)]
    rows, columns = indices[0].shape
    blocks = [_header(columns * scale, rows * scale, colors, loop)]
    for index, duration in zip(indices, durations, strict=True):
        enlarged = index.astype(np.uint8).repeat(scale, axis=0).repeat(scale, axis=1)
        # Pillow packs the pixels; its own writer would reorder the palette and drop frames that repeat.
        tick = round(duration / _MILLISECONDS)
        blocks += [_control(tick, hidden), *GifImagePlugin.getdata(Image.fromarray(enlarged))]
    Path(path).write_bytes(b"".join(blocks) + b";")


def _check_gif(
    frames: Sequence[Snapped],
    durations: Sequence[int],
    scale: int,
    loop: int | None,
    opaque: Sequence[NDArray[np.bool_]] | None,
) -> None:
    if not frames or len(durations) != len(frames):
        raise ValueError(f"durations: {len(durations)} for {len(frames)} frames, need one each, and a frame")
    palette, shape = frames[0].palette, frames[0].indices.shape
    for frame in frames:
        if frame.indices.shape != shape or not np.array_equal(frame.palette.rgb, palette.rgb):
            raise ValueError("frames: must have one size and one palette")
    if opaque is not None and [mask.shape for mask in opaque] != [shape] * len(frames):
        raise ValueError(f"opaque: needs a mask {shape} for each of {len(frames)} frames")
    rows, columns = shape[0] * scale, shape[1] * scale
    if scale < 1 or max(rows, columns) > _LARGEST_SIDE:
        raise ValueError(f"scale: {scale} gives {columns}x{rows} pixels, a GIF has 1 to {_LARGEST_SIDE}")
    if loop is not None and not 0 <= loop <= 65535:
        raise ValueError(f"loop: {loop} is not from 0 to 65535")
    if not all(0 <= round(duration / _MILLISECONDS) <= 65535 for duration in durations):
        raise ValueError(f"durations: must be 0 to 655350 milliseconds, not {list(durations)}")


def _header(columns: int, rows: int, colors: NDArray[np.uint8], loop: int | None) -> bytes:
    """Signature, screen, global colour table and, for repeating clips, the Netscape extension."""
    bits = max(1, (len(colors) - 1).bit_length())
    table = np.repeat(colors[-1:], 1 << bits, axis=0)
    table[: len(colors)] = colors
    flags = 0b10000000 | (bits - 1) << 4 | (bits - 1)
    screen = b"GIF89a" + struct.pack("<HHBBB", columns, rows, flags, 0, 0) + table.tobytes()
    return screen if loop is None else screen + b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<HB", loop, 0)


def _control(tick: int, hidden: int | None) -> bytes:
    """The graphic control extension: how long; that the frame stays until the next covers it.

    Or, with a transparent index, that it is cleared before the next, which would not cover all of it.
    """
    if hidden is None:
        return b"!\xf9\x04" + struct.pack("<BHBB", 1 << 2, tick, 0, 0)
    return b"!\xf9\x04" + struct.pack("<BHBB", 2 << 2 | 1, tick, hidden, 0)
