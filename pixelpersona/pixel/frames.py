"""Clips in pixel art: one palette over all frames, no flicker where nothing moves, and exact GIF files.

Frames enter as arrays; an outside GIF is opened by `photo.open_clip`.
"""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image

from pixelpersona.pixel.downsample import cell_colors
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.palette import Palette, nearest, perceptual
from pixelpersona.pixel.palette_fit import choose_palette
from pixelpersona.pixel.snap import Snapped

THRESHOLD = 0.04  # twice what is just visible: a camera's noise on the mean of a cell stays below it

_LARGEST_SIDE = 65535  # a GIF has two bytes for it
_MILLISECONDS = 10  # a GIF counts in hundredths of a second


def snap_clip(
    frames: Sequence[NDArray[np.uint8]],
    grid: Grid,
    num_colors: int | None = 16,
    palette: Palette | None = None,
    method: str = "inner",
    threshold: float = THRESHOLD,
) -> tuple[Snapped, ...]:
    """Every frame onto the same grid and the same palette; a cell changes only when its source does.

    A cell keeps its colour until its source has moved more than `threshold` (in `palette.perceptual`) away
    from where it was when the cell last took a colour, and another colour has come nearer by half of that. So
    noise between two palette colours does not flicker, and a slow fade still arrives, in steps. 0 snaps every
    frame by itself.

    frames: uint8 [H, W, 3] sRGB of the grid's size. num_colors: as in `choose_palette`, each frame counting
    the same; a given `palette` is used as it is. method: of `downsample.cell_colors`.
    Raises ValueError when there is no frame, the grid does not fit one, or the threshold is negative.
    """
    if not frames:
        raise ValueError("frames: need at least one")
    if threshold < 0.0:
        raise ValueError(f"threshold: {threshold} is negative")
    cells = [cell_colors(frame, grid, method) for frame in frames]
    if palette is None:
        palette = choose_palette(cells, num_colors)
    colors = perceptual(palette.rgb / 255.0)
    indices = nearest(cells[0], palette)
    source = perceptual(cells[0] / 255.0)  # of each cell, when it last took a colour
    snapped = [Snapped(indices, palette, grid)]
    for frame in cells[1:]:
        points, best = perceptual(frame / 255.0), nearest(frame, palette)
        moved = np.linalg.norm(points - source, axis=-1)
        shown, offered = (np.linalg.norm(points - colors[index], axis=-1) for index in (indices, best))
        changed = (moved > threshold) & (shown - offered > threshold / 2.0)
        indices = np.where(changed, best, indices)
        source = np.where(changed[..., None], points, source)
        snapped.append(Snapped(indices, palette, grid))
    return tuple(snapped)


def save_gif(
    frames: Sequence[Snapped],
    durations: Sequence[int],
    path: Path | str,
    scale: int = 1,
    loop: int | None = 0,
) -> None:
    """Write a GIF with scale x scale pixels per cell and the frames' one palette, in its order.

    durations: milliseconds per frame, in steps of 10 (rounded). loop: 0 = for ever, None = play once.
    Every frame is written whole and none is left out, so that as many come back as went in. The format has
    room for 2, 4, 8, ... 256 colours: the rest of the table repeats the last one.
    Raises ValueError for no frame, frames of different size or palette, or a number out of range.
    """
    if not frames or len(durations) != len(frames):
        raise ValueError(f"durations: {len(durations)} for {len(frames)} frames, need one each, and a frame")
    palette, shape = frames[0].palette, frames[0].indices.shape
    for frame in frames:
        if frame.indices.shape != shape or not np.array_equal(frame.palette.rgb, palette.rgb):
            raise ValueError("frames: must have one size and one palette")
    rows, columns = shape[0] * scale, shape[1] * scale
    if scale < 1 or max(rows, columns) > _LARGEST_SIDE:
        raise ValueError(f"scale: {scale} gives {columns}x{rows} pixels, a GIF has 1 to {_LARGEST_SIDE}")
    if loop is not None and not 0 <= loop <= 65535:
        raise ValueError(f"loop: {loop} is not from 0 to 65535")
    ticks = [round(duration / _MILLISECONDS) for duration in durations]
    if not all(0 <= tick <= 65535 for tick in ticks):
        raise ValueError(f"durations: must be 0 to 655350 milliseconds, not {list(durations)}")
    blocks = [_header(columns, rows, palette, loop)]
    for frame, tick in zip(frames, ticks, strict=True):
        picture = Image.fromarray(frame.indices.repeat(scale, axis=0).repeat(scale, axis=1))
        # Pillow packs the pixels; its own writer would reorder the palette and drop frames that repeat.
        blocks += [_control(tick), *GifImagePlugin.getdata(picture)]
    Path(path).write_bytes(b"".join(blocks) + b";")


def _header(columns: int, rows: int, palette: Palette, loop: int | None) -> bytes:
    """Signature, screen, global colour table and, for repeating clips, the Netscape extension."""
    bits = max(1, (len(palette) - 1).bit_length())
    table = np.repeat(palette.rgb[-1:], 1 << bits, axis=0)
    table[: len(palette)] = palette.rgb
    flags = 0b10000000 | (bits - 1) << 4 | (bits - 1)
    screen = b"GIF89a" + struct.pack("<HHBBB", columns, rows, flags, 0, 0) + table.tobytes()
    return screen if loop is None else screen + b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<HB", loop, 0)


def _control(tick: int) -> bytes:
    """The graphic control extension: how long, and that the frame stays until the next covers it."""
    return b"!\xf9\x04" + struct.pack("<BHBB", 1 << 2, tick, 0, 0)
