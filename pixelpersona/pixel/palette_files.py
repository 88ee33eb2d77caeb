"""Palettes by name and in files: .hex, .gpl (GIMP), .pal (JASC; RIFF for reading only), .act (Adobe), .png.

The named palettes are .hex files in assets/palettes, in the order of the machine's colour numbers, without
repeated colours; a comment in each file names its source. Machines with a television signal have no RGB
values of their own, so the source says whose conversion it is. cga_0, cga_1 and cga_2 are the four-colour
modes, in low and "_high" intensity.
"""

import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelpersona.assets.locate import path as asset
from pixelpersona.files import whole, write_whole
from pixelpersona.pixel.palette import MAX_COLORS, Palette
from pixelpersona.pixel.photo import PhotoError, open_photo

Colors = NDArray[np.uint8]

PALETTE_NAMES: tuple[str, ...] = (
    "amstrad_cpc",
    "apple_ii",
    "c64",
    "cga_0",
    "cga_0_high",
    "cga_1",
    "cga_1_high",
    "cga_2",
    "cga_2_high",
    "ega",
    "gameboy",
    "gameboy_pocket",
    "mono",
    "mono_amber",
    "mono_green",
    "msx",
    "nes",
    "pico8",
    "teletext",
    "zx_spectrum",
)
PALETTE_SUFFIXES: tuple[str, ...] = (".hex", ".gpl", ".pal", ".act", ".png")

_MAX_BYTES = 4_000_000  # text formats need a few kilobytes, an image more
_MAX_PIXELS = 4_000_000  # of an image read as a palette
_ACT_BYTES = (3 * MAX_COLORS, 3 * MAX_COLORS + 4)  # without and with the number of colours


def named_palette(name: str) -> Palette:
    """The palette of a classic machine or PICO-8, one of `PALETTE_NAMES`.

    Raises ValueError listing the accepted names for any other.
    """
    if name not in PALETTE_NAMES:
        raise ValueError(f"palette={name}: accepted {', '.join(PALETTE_NAMES)}")
    return read_palette(asset("palettes") / f"{name}.hex")


def read_palette(path: Path | str) -> Palette:
    """Read a palette file in the format of its suffix. The palette's name is the one in the file or its stem.

    .hex: one RRGGBB per line, with or without #; lines starting with ; or // are comments. .gpl: GIMP's, also
    with an alpha channel, whose fully transparent colours are skipped. .pal: JASC-PAL or RIFF. .act: 256
    colours, or the number in its last four bytes. .png: the pixels of an image one pixel high and at most 256
    wide; of any other image its distinct colours in raster order, at most 256.
    Raises ValueError naming the file if it is missing, damaged, in another format or has too many colours.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path}: accepted suffixes are {', '.join(PALETTE_SUFFIXES)}")
    try:
        name, colors = reader(_read_bytes(path))
    except (OSError, ValueError, PhotoError, struct.error) as error:
        reason = error.reason if isinstance(error, PhotoError) else error
        raise ValueError(f"{path}: {reason}") from error
    if not 1 <= len(colors) <= MAX_COLORS:
        raise ValueError(f"{path}: {len(colors)} colours; accepted 1 to {MAX_COLORS}")
    return Palette(colors, name or path.stem)


def write_palette(palette: Palette, path: Path | str) -> None:
    """Write a palette in the format of the suffix: .hex, .gpl, .pal (JASC), .act or .png.

    `read_palette` returns the same colours in the same order; only .gpl stores the name. .png: one row with
    one pixel per colour. Raises ValueError for another suffix, or when the system refuses to write.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    writer = _WRITERS.get(suffix)
    if writer is not None:
        write_whole(path, writer(palette))
    elif suffix == ".png":
        with whole(path) as draft:
            Image.fromarray(palette.rgb[None]).save(draft, format="PNG")
    else:
        raise ValueError(f"{path}: accepted suffixes are {', '.join(PALETTE_SUFFIXES)}")


# --- reading ----------------------------------------------------------------------------------------

_Read = tuple[str, Colors]  # name ("" for none) and colours uint8 [K, 3]


def _read_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise ValueError("no such file" if not path.exists() else "not a regular file")
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"more than {_MAX_BYTES} bytes")
    return path.read_bytes()


def _lines(data: bytes) -> list[str]:
    """Lines without surrounding whitespace. Raises ValueError when the bytes are not UTF-8."""
    try:
        return [line.strip() for line in data.decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError("not a UTF-8 text file") from error


def _as_colors(rows: list[tuple[int, ...]]) -> Colors:
    values = np.array(rows, dtype=np.int64).reshape(-1, 3)
    if len(values) and (values.min() < 0 or values.max() > 255):
        raise ValueError("colour values must be 0 to 255")
    return values.astype(np.uint8)


def _read_hex(data: bytes) -> _Read:
    colors = []
    for number, line in enumerate(_lines(data), start=1):
        if not line or line.startswith((";", "//")):
            continue
        if not re.fullmatch(r"#?[0-9a-fA-F]{6}", line):
            raise ValueError(f"line {number} is {line[:40]!r}; accepted RRGGBB")
        colors.append(tuple(bytes.fromhex(line.lstrip("#"))))
    return "", _as_colors(colors)


def _read_gpl(data: bytes) -> _Read:
    lines = _lines(data)
    if not lines or lines[0] != "GIMP Palette":
        raise ValueError("the first line must be 'GIMP Palette'")
    name, channels, colors = "", 3, []
    for number, line in enumerate(lines[1:], start=2):
        key, _, value = line.partition(":")
        if key == "Name":
            name = value.strip()
        elif key == "Channels":
            channels = len(value.strip())
        elif line and not line.startswith("#") and key != "Columns":
            numbers = re.match(r"\d+\s+" * (channels - 1) + r"\d+", line)
            if numbers is None:
                raise ValueError(f"line {number} is {line[:40]!r}; accepted R G B")
            values = tuple(int(part) for part in numbers.group().split())
            if len(values) < 4 or values[3] > 0:
                colors.append(values[:3])
    return name, _as_colors(colors)


def _read_pal(data: bytes) -> _Read:
    if data[:4] == b"RIFF":
        return _read_riff(data)
    lines = _lines(data)
    if lines[:2] != ["JASC-PAL", "0100"]:
        raise ValueError("neither a RIFF palette nor JASC-PAL, which begins with 'JASC-PAL' and '0100'")
    if len(lines) < 3 or not lines[2].isdecimal():
        raise ValueError("line 3 must be the number of colours")
    rows = [line.split() for line in lines[3:] if line]
    if len(rows) != int(lines[2]) or any(len(r) < 3 or not "".join(r[:3]).isdecimal() for r in rows):
        raise ValueError(f"line 3 announces {lines[2]} lines of R G B")
    return "", _as_colors([tuple(int(value) for value in row[:3]) for row in rows])


def _read_riff(data: bytes) -> _Read:
    """Microsoft's format: RIFF form "PAL ", whose chunk "data" has version, number, then R G B flags."""
    if data[8:12] != b"PAL ":
        raise ValueError(f"a RIFF file of form {data[8:12]!r}, not a palette")
    start = 12
    while start + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, start)
        if kind == b"data":
            _, num_colors = struct.unpack_from("<HH", data, start + 8)
            entries = data[start + 12 : start + 12 + 4 * num_colors]
            if len(entries) != 4 * num_colors:
                raise ValueError(f"truncated: it announces {num_colors} colours")
            return "", np.frombuffer(entries, dtype=np.uint8).reshape(-1, 4)[:, :3].copy()
        start += 8 + size + size % 2
    raise ValueError("a RIFF palette without a data chunk")


def _read_act(data: bytes) -> _Read:
    if len(data) not in _ACT_BYTES:
        raise ValueError(f"{len(data)} bytes; a .act file has 768 or 772")
    table = np.frombuffer(data[: 3 * MAX_COLORS], dtype=np.uint8).reshape(-1, 3)
    num_colors = struct.unpack_from(">H", data, 3 * MAX_COLORS)[0] if len(data) > 3 * MAX_COLORS else 0
    return "", table[: num_colors or MAX_COLORS].copy()


def _read_png(data: bytes) -> _Read:
    pixels = np.asarray(open_photo(data, max_pixels=_MAX_PIXELS))
    strip = pixels.reshape(-1, 3)
    if pixels.shape[0] == 1 and len(strip) <= MAX_COLORS:
        return "", strip.copy()
    colors, first = np.unique(strip, axis=0, return_index=True)
    return "", colors[np.argsort(first)]


# --- writing ----------------------------------------------------------------------------------------


def _write_hex(palette: Palette) -> bytes:
    return "".join(f"{r:02x}{g:02x}{b:02x}\n" for r, g, b in palette.rgb).encode()


def _write_gpl(palette: Palette) -> bytes:
    name = " ".join(palette.name.split()) or "Untitled"
    rows = "".join(f"{r:3d} {g:3d} {b:3d}\t{r:02x}{g:02x}{b:02x}\n" for r, g, b in palette.rgb)
    return f"GIMP Palette\nName: {name}\nColumns: 16\n#\n{rows}".encode()


def _write_pal(palette: Palette) -> bytes:
    rows = "".join(f"{r} {g} {b}\r\n" for r, g, b in palette.rgb)
    return f"JASC-PAL\r\n0100\r\n{len(palette)}\r\n{rows}".encode()


def _write_act(palette: Palette) -> bytes:
    table = np.zeros((MAX_COLORS, 3), dtype=np.uint8)
    table[: len(palette)] = palette.rgb
    return table.tobytes() + struct.pack(">HH", len(palette), 0xFFFF)  # no transparent colour


_READERS: dict[str, Callable[[bytes], _Read]] = {
    ".hex": _read_hex,
    ".gpl": _read_gpl,
    ".pal": _read_pal,
    ".act": _read_act,
    ".png": _read_png,
}
_WRITERS: dict[str, Callable[[Palette], bytes]] = {
    ".hex": _write_hex,
    ".gpl": _write_gpl,
    ".pal": _write_pal,
    ".act": _write_act,
}
