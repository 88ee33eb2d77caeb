"""Clips in pixel art: one palette for all frames, no flicker where nothing moves, and exact GIF files."""

import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image

from pixelpersona.pixel.downsample import cell_colors
from pixelpersona.pixel.gif_blocks import MS_PER_TICK
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.palette import Palette, nearest, perceptual
from pixelpersona.pixel.snap import Snapped, with_transparent
from pixelpersona.pixel.transparency import drawn_cells, reveal

Masks = tuple[NDArray[np.bool_], ...]

MAX_GIF_SIDE = 65535  # pixels; a GIF stores them in two bytes

_THRESHOLD = 0.04  # twice a just visible difference: above camera noise on the mean of a cell
_OPACITY_MARGIN = 0.1  # hysteresis of a cell's opacity


def snap_clip(
    frames: Iterable[NDArray[np.uint8]],
    grid: Grid,
    palette: Palette,
    method: str,
    visible: float,
    clarify: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None,
) -> tuple[tuple[Snapped, ...], Masks | None]:
    """Snap all frames to one grid and palette; a cell changes only when its source does.

    A cell takes another colour when its source has moved more than 0.04 (in `palette.perceptual`) since its
    last change and the new colour is nearer by more than half of that. So noise between two palette colours
    does not flicker, and a slow fade proceeds in steps.

    frames: uint8 [H, W, 3] or [H, W, 4] sRGB of the grid's size, all with the same number of channels; read
    once, one at a time.
    method: of `downsample.cell_colors`. visible: opacity (0-1) from which a pixel has a colour and a cell is
    drawn, with hysteresis, so that a noisy outline does not flicker; a cell that appears takes a new colour.
    clarify: applied to the frames before drawing; changes are detected on the original frames, as it
    amplifies noise.
    Returns the frames and, for RGBA frames, which cells are drawn, bool [rows, columns] each.
    Raises ValueError when there is no frame, the grid does not fit one, or no cell of any frame is drawn.
    """
    cells: list[NDArray[np.uint8]] = []
    watched: list[NDArray[np.uint8]] = []
    drawn: list[NDArray[np.bool_]] = []
    for frame in frames:
        if frame.shape[2] == 4:
            drawn.append(_drawn(frame, grid, visible, drawn[-1] if drawn else None))
        watched.append(_cells(frame, grid, method, visible))
        cells.append(watched[-1] if clarify is None else _cells(clarify(frame), grid, method, visible))
    if not cells:
        raise ValueError("frames: need at least one")
    if drawn and not any(mask.any() for mask in drawn):
        raise ValueError(f"frames: no cell of any frame reaches the opacity {visible}")
    masks = tuple(drawn) or None
    held = _hold(cells, watched, masks, palette)
    return tuple(Snapped(indices, palette, grid) for indices in held), masks


def _cells(frame: NDArray[np.uint8], grid: Grid, method: str, visible: float) -> NDArray[np.uint8]:
    return cell_colors(frame if frame.shape[2] == 3 else reveal(frame, visible), grid, method)


def _hold(
    cells: Sequence[NDArray[np.uint8]],
    watched: Sequence[NDArray[np.uint8]],
    drawn: Masks | None,
    palette: Palette,
) -> list[NDArray[np.uint8]]:
    """Palette indices of all frames, with the hysteresis of `snap_clip`. watched: cells that show changes."""
    colors = perceptual(palette.rgb / 255.0)
    indices = nearest(cells[0], palette)
    source = perceptual(watched[0] / 255.0)  # of each cell, at its last change
    held = [indices]
    for number in range(1, len(cells)):
        points, best = perceptual(cells[number] / 255.0), nearest(cells[number], palette)
        place = perceptual(watched[number] / 255.0)
        moved = np.linalg.norm(place - source, axis=-1)
        shown, offered = (np.linalg.norm(points - colors[index], axis=-1) for index in (indices, best))
        changed = (moved > _THRESHOLD) & (shown - offered > _THRESHOLD / 2.0)
        if drawn is not None:
            changed |= drawn[number] & ~drawn[number - 1]
        indices = np.where(changed, best, indices)
        source = np.where(changed[..., None], place, source)
        held.append(indices)
    return held


def _drawn(
    frame: NDArray[np.uint8], grid: Grid, visible: float, before: NDArray[np.bool_] | None
) -> NDArray[np.bool_]:
    """Which cells are drawn, with hysteresis around the opacity `visible`. before: in the previous frame."""
    if before is None:
        return drawn_cells(frame, grid, visible)
    appears = drawn_cells(frame, grid, min(visible + _OPACITY_MARGIN, 1.0))
    stays = drawn_cells(frame, grid, max(visible - _OPACITY_MARGIN, 1.0 / 255.0))
    return np.where(before, stays, appears)


def save_gif(
    frames: Sequence[Snapped],
    durations: Sequence[int],
    path: Path | str,
    scale: int = 1,
    loop: int | None = 0,
    opaque: Sequence[NDArray[np.bool_]] | None = None,
) -> None:
    """Write a GIF with scale x scale pixels per cell and the frames' common palette, in its order.

    durations: milliseconds per frame, rounded to 10. loop: 0 for endless, None to play once. opaque: the
    drawn cells of each frame, bool [rows, columns]; the others get a transparent index from
    `with_transparent`. Every frame is written completely, also one that repeats. The colour table has 2, 4,
    8, ... or 256 entries; unused ones repeat the last colour.
    Raises ValueError for no frame, frames or masks of different sizes, different palettes, a number out of
    range, or when no index is free for transparency.
    """
    _check_gif(frames, durations, scale, loop, opaque)
    indices, colors, hidden = [frame.indices for frame in frames], frames[0].palette.rgb, None
    if opaque is not None:
        colors, hidden = with_transparent(indices, opaque, colors)
        indices = [np.where(mask, index, hidden) for index, mask in zip(indices, opaque, strict=True)]
    rows, columns = indices[0].shape
    blocks = [_header(columns * scale, rows * scale, colors, loop)]
    for index, duration in zip(indices, durations, strict=True):
        enlarged = index.astype(np.uint8).repeat(scale, axis=0).repeat(scale, axis=1)
        # Only Pillow's pixel encoder: its GIF writer reorders the palette and drops repeated frames.
        tick = round(duration / MS_PER_TICK)
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
        raise ValueError(f"durations: {len(durations)} for {len(frames)} frames; need one per frame")
    palette, shape = frames[0].palette, frames[0].indices.shape
    for frame in frames:
        if frame.indices.shape != shape or not np.array_equal(frame.palette.rgb, palette.rgb):
            raise ValueError("frames: must have the same size and palette")
    if opaque is not None and [mask.shape for mask in opaque] != [shape] * len(frames):
        raise ValueError(f"opaque: needs a mask {shape} for each of {len(frames)} frames")
    rows, columns = shape[0] * scale, shape[1] * scale
    if scale < 1 or max(rows, columns) > MAX_GIF_SIDE:
        raise ValueError(f"scale={scale}: {columns}x{rows} pixels; accepted 1 to {MAX_GIF_SIDE} a side")
    if loop is not None and not 0 <= loop <= 65535:
        raise ValueError(f"loop={loop}: accepted 0 to 65535")
    if not all(0 <= round(duration / MS_PER_TICK) <= 65535 for duration in durations):
        raise ValueError(f"durations={list(durations)}: accepted 0 to 655350 milliseconds")


def _header(columns: int, rows: int, colors: NDArray[np.uint8], loop: int | None) -> bytes:
    """Signature, screen descriptor, global colour table and, for looping clips, the Netscape extension."""
    bits = max(1, (len(colors) - 1).bit_length())
    table = np.repeat(colors[-1:], 1 << bits, axis=0)
    table[: len(colors)] = colors
    flags = 0b10000000 | (bits - 1) << 4 | (bits - 1)
    screen = b"GIF89a" + struct.pack("<HHBBB", columns, rows, flags, 0, 0) + table.tobytes()
    return screen if loop is None else screen + b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<HB", loop, 0)


def _control(tick: int, hidden: int | None) -> bytes:
    """The graphic control extension: duration, transparent index and disposal method.

    Opaque frames are kept (1); transparent ones are cleared (2), since the next one does not cover them.
    """
    if hidden is None:
        return b"!\xf9\x04" + struct.pack("<BHBB", 1 << 2, tick, 0, 0)
    return b"!\xf9\x04" + struct.pack("<BHBB", 2 << 2 | 1, tick, hidden, 0)
