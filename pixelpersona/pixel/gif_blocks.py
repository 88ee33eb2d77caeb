"""The blocks of a GIF file, read without decoding a pixel (GIF89a specification, CompuServe 1990)."""

import re
import struct
from dataclasses import dataclass

MS_PER_TICK = 10  # a GIF counts hundredths of a second

_BLOCK = re.compile(rb"[!,;]")  # first byte of an extension, an image, the trailer
_GRAPHIC_CONTROL, _APPLICATION = b"\xf9", b"\xff"
_LOOP = re.compile(rb".NETSCAPE2\.0[\x03-\xff]\x01(..)", re.DOTALL)  # sub-blocks with the number of loops
_NO_CONTROL = b"\0\0\0\0"


@dataclass(frozen=True, slots=True)
class GifFrame:
    """One frame and its place on the canvas.

    left, top, width, height: pixels. duration: milliseconds, 0 if the file has none. disposal: what happens
    to its area before the next frame: 2 clears it, 3 restores what was there before, anything else keeps it.
    file: a GIF that holds this frame alone, at its own size.
    """

    left: int
    top: int
    width: int
    height: int
    duration: int
    disposal: int
    file: bytes


@dataclass(frozen=True, slots=True)
class Gif:
    """width, height: the canvas, which holds the screen and all frames. loop: 0 endless, None plays once."""

    width: int
    height: int
    loop: int | None
    frames: tuple[GifFrame, ...]


def read_gif(data: bytes, *, max_frames: int, max_pixels: int) -> Gif:
    """The frames of a GIF file, undecoded. max_pixels: limit of canvas times number of frames.

    Bytes between blocks are skipped and a missing trailer is accepted, as most decoders do.
    Raises ValueError saying that the file is no GIF, is damaged, or exceeds a limit.
    """
    if not data.startswith((b"GIF87a", b"GIF89a")):
        raise ValueError("not a GIF")
    if len(data) < 13:
        raise ValueError("damaged or truncated")
    width, height = struct.unpack_from("<HH", data, 6)
    at = 13 + _table_bytes(data[10])
    control, loop = _NO_CONTROL, None
    frames: list[GifFrame] = []
    while (block := _BLOCK.search(data, at)) and block.group() != b";":
        at = block.end()
        if block.group() == b"!":
            label, start = data[at : at + 1], at + 1
            at = _end_of_sub_blocks(data, start)
            if label == _GRAPHIC_CONTROL and data[start : start + 1] >= b"\x04":
                control = data[start + 1 : start + 5].ljust(4, b"\0")
            elif label == _APPLICATION and not frames and (found := _LOOP.match(data, start, at)):
                loop = struct.unpack("<H", found[1])[0]
            continue
        if at + 9 > len(data):
            raise ValueError("damaged or truncated")
        left, top, wide, high, flags = struct.unpack_from("<HHHHB", data, at)
        width, height = max(width, left + wide), max(height, top + high)
        if len(frames) == max_frames:
            raise ValueError(f"more than {max_frames} frames")
        if (len(frames) + 1) * width * height > max_pixels:
            size = f"{width}x{height} pixels, {len(frames) + 1} frames or more"
            raise ValueError(f"{size}; accepted up to {max_pixels / 1e6:g} million pixels in all frames")
        pixels = at + 9 + _table_bytes(flags)
        if pixels + 1 >= len(data):
            raise ValueError("damaged or truncated")
        end = _end_of_sub_blocks(data, pixels + 1)
        disposal, ticks = control[0] >> 2 & 7, struct.unpack_from("<H", control, 1)[0]
        file = _single_frame(data, at, end, control)
        frames.append(GifFrame(left, top, wide, high, ticks * MS_PER_TICK, disposal, file))
        control, at = _NO_CONTROL, end
    if not frames or not width * height:
        raise ValueError("damaged or truncated")
    return Gif(width, height, loop, tuple(frames))


def _table_bytes(flags: int) -> int:
    """Size of the colour table that a descriptor's flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _end_of_sub_blocks(data: bytes, at: int) -> int:
    """Where a chain of sub-blocks (size, bytes) ends after its empty one; the file's end if it is cut off."""
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return min(at + 1, len(data))


def _single_frame(data: bytes, at: int, end: int, control: bytes) -> bytes:
    """A GIF with one frame at (0, 0), on a screen of its size, and with its transparent index.

    data[at:end] is the frame's descriptor, local colour table and pixels. control: the four bytes of its
    graphic control extension.
    """
    screen = data[:6] + data[at + 4 : at + 8] + data[10 : 13 + _table_bytes(data[10])]
    transparency = b"!\xf9\x04" + bytes([control[0] & 1]) + b"\0\0" + control[3:4] + b"\0"
    return screen + transparency + b",\0\0\0\0" + data[at + 4 : end] + b";"
