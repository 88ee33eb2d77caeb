"""The blocks of a GIF file, read without decoding a pixel (GIF89a specification, CompuServe 1990)."""

import re
import struct
from dataclasses import dataclass

_BLOCK = re.compile(rb"[!,;]")  # first byte of an extension, an image, the trailer
_GRAPHIC_CONTROL, _APPLICATION = 0xF9, 0xFF
_LOOP = b"NETSCAPE2.0"
_MILLISECONDS = 10  # a GIF counts hundredths of a second


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
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + _table_bytes(flags)
    table = data[13:at]
    control, loop = b"\0\0\0\0", None
    frames: list[GifFrame] = []
    while (block := _BLOCK.search(data, at)) and block.group() != b";":
        at = block.end()
        if block.group() == b"!":
            label, start = data[at : at + 1], at + 1
            at = _end_of_sub_blocks(data, start)
            if label == bytes([_GRAPHIC_CONTROL]) and data[start : start + 1] >= b"\x04":
                control = data[start + 1 : start + 5].ljust(4, b"\0")
            elif label == bytes([_APPLICATION]) and not frames:
                loop = _loop(data[start:at], loop)
            continue
        if at + 9 > len(data):
            raise ValueError("damaged or truncated")
        left, top, wide, high, local = struct.unpack_from("<HHHHB", data, at)
        width, height = max(width, left + wide), max(height, top + high)
        if len(frames) == max_frames:
            raise ValueError(f"more than {max_frames} frames")
        if (len(frames) + 1) * width * height > max_pixels:
            size = f"{width}x{height} pixels, {len(frames) + 1} frames or more"
            raise ValueError(f"{size}; accepted {max_pixels / 1e6:g} million pixels")
        pixels = at + 9 + _table_bytes(local)
        if pixels + 1 >= len(data):
            raise ValueError("damaged or truncated")
        end = _end_of_sub_blocks(data, pixels + 1)
        screen = data[:6] + struct.pack("<HHB", wide, high, flags) + data[11:13] + table
        transparent = b"!\xf9\x04" + bytes([control[0] & 1]) + b"\0\0" + control[3:4] + b"\0"
        place = struct.pack("<BHHHHB", ord(","), 0, 0, wide, high, local)
        file = screen + transparent + place + data[at + 9 : end] + b";"
        disposal, ticks = control[0] >> 2 & 7, struct.unpack_from("<H", control, 1)[0]
        frames.append(GifFrame(left, top, wide, high, ticks * _MILLISECONDS, disposal, file))
        control, at = b"\0\0\0\0", end
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


def _loop(extension: bytes, loop: int | None) -> int | None:
    """The number of loops in the sub-blocks of an application extension, or `loop` if it is another one."""
    block = extension[1 + len(_LOOP) :]
    if extension[1 : 1 + len(_LOOP)] != _LOOP or len(block) < 4 or block[0] < 3 or block[1] != 1:
        return loop
    return int(struct.unpack_from("<H", block, 2)[0])
