"""BMP, TIFF, AVIF and HEIC: the same checks as for the other formats, and right colours."""

import io
import logging
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from pixelpersona.pixel import photo_formats
from pixelpersona.pixel.photo import MAX_FILE_BYTES, PhotoError, open_photo
from pixelpersona.pixel.photo_formats import PHOTO_SUFFIXES, format_hint
from tests.pixel.test_photo import close, encoded, noise, picture, reason_for

HEIC_HEADER = struct.pack(">I", 28) + b"ftypheic" + bytes(16)
KINDS: list[tuple[str, dict[str, object]]] = [
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ("TIFF", {"compression": "packbits"}),
    ("TIFF", {"compression": "jpeg", "quality": 95}),
]
if ".avif" in PHOTO_SUFFIXES:
    KINDS.append(("AVIF", {"quality": 95, "subsampling": "4:4:4"}))
if ".heic" in PHOTO_SUFFIXES:
    KINDS.append(("HEIF", {"quality": 95, "chroma": 444}))

TURNS = {
    1: lambda image: image,
    2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
    4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    6: lambda image: image.transpose(Image.Transpose.ROTATE_90),
    7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    8: lambda image: image.transpose(Image.Transpose.ROTATE_270),
}


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_colours_from_file_and_bytes(kind: str, options: dict[str, object], tmp_path: Path) -> None:
    shown = picture(48, 32)
    data = encoded(shown, kind, **options)
    file = tmp_path / "photo.any"
    file.write_bytes(data)
    for image in (open_photo(file), open_photo(data)):
        assert image.mode == "RGB"
        assert close(image, shown, 6.0)
        assert not image.info


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "options"), [(kind, options) for kind, options in KINDS if kind != "BMP"])
def test_the_orientation_is_applied_once(kind: str, options: dict[str, object], orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = TURNS[orientation](picture(48, 32))
    image = open_photo(encoded(stored, kind, exif=exif.tobytes(), **options))
    assert close(image, picture(48, 32), 9.0)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_modes_of_a_tiff(mode: str) -> None:
    shown = picture().convert(mode)
    assert close(open_photo(encoded(shown, "TIFF")), shown.convert("RGB"), 1.0)


def test_transparency_of_a_tiff_is_composited_over_white() -> None:
    rgba = Image.new("RGBA", (2, 1))
    rgba.putdata([(255, 0, 0, 0), (255, 0, 0, 255)])
    assert np.asarray(open_photo(encoded(rgba, "TIFF")))[0].tolist() == [[255, 255, 255], [255, 0, 0]]


def test_16_bit_grey_is_rounded_as_in_floating_point() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    for kind in ("PNG", "TIFF"):
        image = open_photo(encoded(Image.fromarray(values), kind))
        np.testing.assert_array_equal(np.asarray(image)[..., 0], np.rint(values / 257.0))


def test_16_bit_grey_needs_no_floating_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """float64 would take 8 bytes a pixel: half a gigabyte at 64 million pixels."""
    made: list[np.dtype] = []
    divide = np.divmod

    def recording(*arrays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = divide(*arrays)
        made.extend(part.dtype for part in (*arrays, *parts))
        return parts

    monkeypatch.setattr(np, "divmod", recording)
    open_photo(encoded(Image.fromarray(np.full((4, 4), 1000, np.uint16))))
    assert set(made) == {np.dtype(np.uint16)}


@pytest.mark.parametrize(
    ("image", "options", "reason"),
    [
        (Image.new("F", (4, 4), 0.5), {}, "floating-point values; accepted 8-bit colours"),
        (Image.new("I", (4, 4), 70000), {}, "32-bit values; accepted 8-bit colours"),
        (Image.new("LAB", (4, 4)), {}, "Lab colours; accepted 8-bit colours"),
        (Image.fromarray(np.zeros((4, 4), np.uint16)), {"tiffinfo": {262: 0}}, "12-bit or inverted grey"),
    ],
)
def test_values_that_would_be_read_wrongly_are_refused(
    image: Image.Image, options: dict[str, object], reason: str
) -> None:
    assert reason_for(encoded(image, "TIFF", **options)).startswith(reason)


def test_the_first_page_of_a_tiff_is_read_and_further_ones_are_mentioned_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "scan\x1b.tif"
    pages = [Image.new("RGB", (5, 5)), Image.new("L", (7, 7))]
    file.write_bytes(encoded(picture(), "TIFF", save_all=True, append_images=pages))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert close(open_photo(file), picture(), 0.0)
        open_photo(encoded(picture(), "TIFF"), name="one page.tif")
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}/scan\\x1b.tif: has more than one page; only the first is read"
    ]


def test_a_tiff_with_a_million_pages_is_not_counted() -> None:
    """Each page is an empty directory of 6 bytes that points to the next."""
    data = bytearray(encoded(picture(), "TIFF"))
    first = struct.unpack("<I", data[4:8])[0]
    end = first + 2 + 12 * struct.unpack("<H", data[first : first + 2])[0]
    data[end : end + 4] = struct.pack("<I", len(data))
    start, number = len(data), 1_000_000
    pages = np.zeros(number, np.dtype([("entries", "<u2"), ("next", "<u4")]))
    pages["next"] = start + 6 * np.arange(1, number + 1)
    pages["next"][-1] = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TiffImagePlugin.TiffImageFile, "n_frames", property(lambda _: pytest.fail("counted")))
        assert close(open_photo(bytes(data) + pages.tobytes(), name="many.tif"), picture(), 0.0)


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_the_pixel_limit_is_checked_before_decoding(kind: str, options: dict[str, object]) -> None:
    data = encoded(picture(48, 32), kind, **options)
    assert reason_for(data, max_pixels=1500) == "48x32 pixels, more than 0.0015 million"


def test_the_size_of_a_tiffs_tiles_counts() -> None:
    data = encoded(picture(), "TIFF", tiffinfo={282: 72.0, 283: 72.0})
    for resolution, side in ((282, 322), (283, 323)):  # in place of tags that do not matter
        position = data.index(struct.pack("<HHI", resolution, 5, 1))
        data = data[:position] + struct.pack("<HHII", side, 4, 1, 60000) + data[position + 12 :]
    assert reason_for(data) == "60000x60000 pixels, more than 64 million"


def test_a_file_of_more_than_256_mib_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.tif").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    assert reason_for(tmp_path / "huge.tif") == "is larger than 256 MiB"


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_damaged_files_give_a_photo_error_or_an_image_and_print_nothing(
    kind: str, options: dict[str, object], capfd: pytest.CaptureFixture[str]
) -> None:
    """libtiff prints its errors on file descriptor 2."""
    data = encoded(noise(), kind, **options)
    rng = np.random.default_rng(2)
    outcomes = set()
    for number in range(150):
        broken = bytearray(data)
        near_the_end = number % 2 and kind == "TIFF"  # where its tags are
        for position in rng.integers(0, 400, 3):
            broken[-1 - position if near_the_end else position] = rng.integers(0, 256)
        try:
            outcomes.add(open_photo(bytes(broken[: len(data) - number // 3]), max_pixels=1_000_000).mode)
        except PhotoError as error:
            outcomes.add(type(error).__name__)
    assert outcomes <= {"RGB", "PhotoError"}
    assert "PhotoError" in outcomes
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


# --- formats that this installation does not read -----------------------------------------------------


@pytest.mark.skipif(".heic" in PHOTO_SUFFIXES, reason="the extra heic is installed")
def test_heic_names_its_extra() -> None:
    assert reason_for(HEIC_HEADER) == "HEIC needs a package: pip install 'pixelpersona[heic]'"


def test_a_format_hint_is_told_by_its_first_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo_formats, "HINTS", {".heic": "install", ".avif": "build"})
    assert format_hint(HEIC_HEADER) == "install"
    assert format_hint(HEIC_HEADER.replace(b"heic", b"mif1")) == "install"
    assert format_hint(HEIC_HEADER.replace(b"heic", b"avif")) == "build"
    assert format_hint(HEIC_HEADER.replace(b"heic", b"mp42")) is None
    assert format_hint(io.BytesIO(encoded(picture())).read(12)) is None


@pytest.mark.skipif(".heic" not in PHOTO_SUFFIXES, reason="needs the extra heic")
def test_the_main_image_of_a_heic_with_several_is_read() -> None:
    data = encoded(picture(48, 32), "HEIF", save_all=True, append_images=[Image.new("RGB", (50, 50))])
    assert close(open_photo(data), picture(48, 32), 9.0)
