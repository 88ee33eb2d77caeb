"""Named palettes and palette files."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import GimpPaletteFile, Image

from pixelpersona.assets.locate import path as asset
from pixelpersona.pixel.palette import Palette
from pixelpersona.pixel.palette_files import (
    PALETTE_NAMES,
    PALETTE_SUFFIXES,
    named_palette,
    read_palette,
    write_palette,
)

SIZES = {
    **{"gameboy": 4, "gameboy_pocket": 4, "nes": 55, "c64": 16, "zx_spectrum": 15, "ega": 16, "msx": 15},
    **{"apple_ii": 15, "amstrad_cpc": 27, "teletext": 8, "mono": 2, "mono_amber": 2, "mono_green": 2},
    **{f"cga_{number}{light}": 4 for number in range(3) for light in ("", "_high")},
    "pico8": 16,
}


@pytest.mark.parametrize("name", PALETTE_NAMES)
def test_named_palettes(name: str) -> None:
    palette = named_palette(name)
    assert palette.name == name
    assert len(palette) == len(np.unique(palette.rgb, axis=0)) == SIZES[name]


def test_every_packaged_file_has_a_name_and_every_name_a_file() -> None:
    assert sorted(file.stem for file in asset("palettes").iterdir()) == sorted(PALETTE_NAMES) == sorted(SIZES)


def hexes(name: str) -> list[str]:
    return [bytes(color).hex() for color in named_palette(name).rgb]


def test_known_colours() -> None:
    assert hexes("gameboy") == ["0f380f", "306230", "8bac0f", "9bbc0f"]
    assert hexes("pico8")[8:10] == ["ff004d", "ffa300"]
    assert hexes("c64")[2] == "68372b"
    assert hexes("cga_1_high") == ["000000", "55ffff", "ff55ff", "ffffff"]
    assert "aa5500" in hexes("ega")  # brown: the monitor halves the green of dark yellow
    assert "fcfcfc" in hexes("nes")


def test_levels_of_the_machines_with_digital_colours() -> None:
    assert set(np.unique(named_palette("amstrad_cpc").rgb)) == {0, 128, 255}
    assert set(np.unique(named_palette("zx_spectrum").rgb)) == {0, 0xD7, 255}
    assert set(np.unique(named_palette("teletext").rgb)) == {0, 255}
    assert set(np.unique(named_palette("ega").rgb)) == {0, 0x55, 0xAA, 255}


def test_every_packaged_file_names_its_source() -> None:
    for file in asset("palettes").iterdir():
        assert file.read_text(encoding="utf-8").startswith("; "), file.name


def test_apple_ii_against_its_voltages() -> None:
    """Converted here from the source's table of Y, Pb, Pr; the second grey repeats the first."""
    rows = [(0, 0, 0), (1, 0, 2), (1, 2, 0), (2, 4, 4), (1, 0, -2), (2, 0, 0), (2, 4, -4), (3, 2, 0)]
    rows += [(4 - y, -pb, -pr) for y, pb, pr in reversed(rows)]
    y, pb, pr = np.array(rows, dtype=float).T / 4
    pb, pr = 0.56 * pb / 2, 0.56 * pr / 2
    rgb = np.stack([y + 1.402 * pr, y - 0.344136 * pb - 0.714136 * pr, y + 1.772 * pb], axis=1)
    expected = np.delete(np.clip(rgb, 0, 1) * 255, 10, axis=0)
    assert np.abs(named_palette("apple_ii").rgb - expected).max() <= 1


def test_msx_against_the_data_sheet() -> None:
    """The greys are the luminances, 0 for black to 1 for white (TMS9918A data book, page 2-17)."""
    grey = named_palette("msx").rgb[[0, 13, 14]]
    np.testing.assert_array_equal(grey, np.rint(np.array([0.0, 0.8, 1.0])[:, None] * 255).repeat(3, axis=1))


def test_ega_against_its_colour_codes() -> None:
    """Codes are rgbRGB, two bits per channel; CGA's modes are subsets."""
    codes = [0, 1, 2, 3, 4, 5, 20, 7, *range(56, 64)]
    levels = [[85 * (2 * (code >> bit & 1) + (code >> bit + 3 & 1)) for bit in (2, 1, 0)] for code in codes]
    ega = named_palette("ega").rgb
    np.testing.assert_array_equal(ega, levels)
    for name, numbers in {
        "cga_0": (0, 2, 4, 6), "cga_0_high": (0, 10, 12, 14), "cga_1": (0, 3, 5, 7),
        "cga_1_high": (0, 11, 13, 15), "cga_2": (0, 3, 4, 7), "cga_2_high": (0, 11, 12, 15),
    }.items():  # fmt: skip
        np.testing.assert_array_equal(named_palette(name).rgb, ega[list(numbers)])


def test_an_unknown_name_lists_the_accepted_ones() -> None:
    with pytest.raises(ValueError, match=r"palette=snes: accepted .*gameboy.*zx_spectrum"):
        named_palette("snes")


@pytest.mark.parametrize("suffix", PALETTE_SUFFIXES)
@given(rgb=st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=256))
def test_every_format_round_trips_any_palette(
    suffix: str, rgb: list[tuple[int, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / f"내 색 (1){suffix}"
    palette = Palette(np.array(rgb, dtype=np.uint8), "mine")
    write_palette(palette, file)
    again = read_palette(file)
    np.testing.assert_array_equal(again.rgb, palette.rgb)  # duplicates and order included
    assert again.name == ("mine" if suffix == ".gpl" else "내 색 (1)")


def test_gimp_palettes_against_pillow(tmp_path: Path) -> None:
    write_palette(named_palette("nes"), tmp_path / "nes.gpl")
    with (tmp_path / "nes.gpl").open("rb") as file:
        colors, _ = GimpPaletteFile.GimpPaletteFile(file).getpalette()
    np.testing.assert_array_equal(
        np.frombuffer(colors, np.uint8)[: 3 * 55].reshape(-1, 3), named_palette("nes").rgb
    )


def test_variants_written_by_other_programs(tmp_path: Path) -> None:
    red_blue = [[255, 0, 0], [0, 0, 255]]
    for name, data in {
        "crlf.hex": b"\xef\xbb\xbf#FF0000\r\n\r\n; a remark\r\n0000ff",
        "aseprite.gpl": b"GIMP Palette\nChannels: RGBA\n#\n 0 0 0 0 none\n255 0 0 255 Red\n0 0 255 255\n",
        "gimp.GPL": b"GIMP Palette\nName: two\nColumns: 2\n# hello\n255   0   0\tUntitled\n  0   0 255\n\n",
        "alpha.pal": b"JASC-PAL\n0100\n2\n255 0 0 255\n0 0 255 255\n",
        "riff.pal": b"RIFF" + struct.pack("<I", 0) + b"PAL junk" + struct.pack("<I", 1) + b"x\0"
        b"data" + struct.pack("<IHH", 12, 0x300, 2) + bytes([255, 0, 0, 0, 0, 0, 255, 4]),
    }.items():
        (tmp_path / name).write_bytes(data)
        assert read_palette(tmp_path / name).rgb.tolist() == red_blue, name
    (tmp_path / "all.act").write_bytes(bytes(range(256)) * 3)
    assert len(read_palette(str(tmp_path / "all.act"))) == 256


def test_an_image_gives_its_colours_in_raster_order(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[2, 2, 0], [1, 0, 2]], np.uint8)).convert("P")
    picture.putpalette([9, 9, 9, 7, 7, 7, 8, 8, 8])
    picture.save(tmp_path / "art.png")
    assert read_palette(tmp_path / "art.png").rgb[:, 0].tolist() == [8, 9, 7]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.ase", b"", r"\.hex, \.gpl, \.pal, \.act, \.png"),
        ("a.hex", b"", "0 colours"),
        ("a.hex", b"ff00", "line 1"),
        ("a.hex", b"000000\n" * 257, "257 colours"),
        ("a.hex", b"\xff\xfe\x00", "UTF-8"),
        ("a.gpl", b"0 0 0\n", "GIMP Palette"),
        ("a.gpl", b"GIMP Palette\n0 0\n", "line 2"),
        ("a.gpl", b"GIMP Palette\n0 0 256\n", "0 to 255"),
        ("a.pal", b"JASC\n", "JASC-PAL"),
        ("a.pal", b"JASC-PAL\n0100\nmany\n", "line 3"),
        ("a.pal", b"JASC-PAL\n0100\n2\n0 0 0\n", "announces 2 lines"),
        ("a.pal", b"RIFF\0\0\0\0WAVE", "not a palette"),
        ("a.pal", b"RIFF\0\0\0\0PAL ", "without a data chunk"),
        ("a.pal", b"RIFF\0\0\0\0PAL data\x04\0\0\0\0\x03\x10\0", "truncated"),
        ("a.act", b"\0" * 700, "768 or 772"),
        ("a.png", b"GIF89a", "not a JPEG, PNG, WebP, BMP, TIFF, AVIF or HEIC picture"),
    ],
)
def test_invalid_files_are_named(name: str, data: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=rf"{name}: .*{reason}"):
        read_palette(tmp_path / name)


def test_a_photo_has_too_many_colours(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    with pytest.raises(ValueError, match="1600 colours"):
        read_palette(tmp_path / "photo.png")


def test_missing_files_and_unknown_suffixes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        read_palette(tmp_path / "none.hex")
    (tmp_path / "folder.hex").mkdir()
    with pytest.raises(ValueError, match="not a regular file"):
        read_palette(tmp_path / "folder.hex")
    with pytest.raises(ValueError, match="accepted suffixes"):
        write_palette(named_palette("mono"), tmp_path / "mono.txt")
