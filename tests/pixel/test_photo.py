"""Opening images: every file becomes a correct RGB image or a PhotoError with one reason."""

import io
import os
import pickle
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from pixelpersona.pixel.photo import PhotoError, open_photo


def picture(width: int = 24, height: int = 16) -> Image.Image:
    """Four flat quarters, which survive JPEG and show rotations and flips."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (240, 20, 20)
    pixels[: height // 2, width // 2 :] = (20, 200, 40)
    pixels[height // 2 :, : width // 2] = (30, 40, 220)
    pixels[height // 2 :, width // 2 :] = (230, 230, 60)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def close(image: Image.Image, expected: Image.Image, tolerance: float = 4.0) -> bool:
    assert image.size == expected.size
    difference = np.abs(np.asarray(image).astype(int) - np.asarray(expected.convert("RGB")))
    return bool(difference.mean() <= tolerance)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("WEBP", {"lossless": True}), ("JPEG", {"quality": 95, "subsampling": 0})],
)
def test_all_formats_from_file_and_bytes(kind: str, options: dict[str, object], tmp_path: Path) -> None:
    data = encoded(picture(), kind, **options)
    file = tmp_path / "내 사진, (1) [a=b].jpg"
    file.write_bytes(data)
    for image in (open_photo(file), open_photo(data)):
        assert image.mode == "RGB"
        assert close(image, picture())
    file.unlink()  # the file is closed and no longer needed
    assert not image.info


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_applied_once(orientation: int, kind: str) -> None:
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = picture() if orientation == 1 else picture().transpose(turn[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = open_photo(encoded(stored, kind, exif=exif, **({} if kind == "PNG" else {"quality": 95})))
    assert close(image, picture(), 9.0)
    assert not image.getexif()


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0"])
def test_unreadable_metadata_is_ignored(exif: bytes) -> None:
    assert close(open_photo(encoded(picture(), "JPEG", exif=exif, quality=95, subsampling=0)), picture())


def test_transparency_is_composited_over_white() -> None:
    """Red with alpha 0 becomes white, with alpha 128 pink."""
    rgba = Image.new("RGBA", (3, 1))
    rgba.putdata([(255, 0, 0, 0), (255, 0, 0, 128), (255, 0, 0, 255)])
    for data in (encoded(rgba), encoded(rgba, "WEBP", lossless=True, exact=True)):
        np.testing.assert_allclose(
            np.asarray(open_photo(data))[0], [(255, 255, 255), (255, 127, 127), (255, 0, 0)], atol=1
        )


def test_transparency_of_grey_indexed_and_colour_key_images() -> None:
    grey = Image.new("LA", (2, 1))
    grey.putdata([(10, 0), (10, 255)])
    assert np.asarray(open_photo(encoded(grey)))[0].tolist() == [[255] * 3, [10] * 3]

    indexed = Image.new("P", (3, 1))
    indexed.putpalette([0, 0, 0, 200, 0, 0, 0, 0, 200])
    indexed.putdata([0, 1, 2])
    one = open_photo(encoded(indexed, transparency=1))
    assert np.asarray(one)[0].tolist() == [[0, 0, 0], [255, 255, 255], [0, 0, 200]]
    many = open_photo(encoded(indexed, transparency=bytes([255, 0, 0])))
    assert np.asarray(many)[0].tolist() == [[0, 0, 0], [255, 255, 255], [255, 255, 255]]

    key = open_photo(encoded(picture(), transparency=(240, 20, 20)))
    assert np.asarray(key)[0, 0].tolist() == [255, 255, 255]
    assert np.asarray(key)[0, -1].tolist() == [20, 200, 40]


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    image = open_photo(encoded(Image.fromarray(ramp)))
    np.testing.assert_array_equal(np.asarray(image)[..., 0], np.arange(256).reshape(16, 16))


def test_grey_and_bilevel() -> None:
    assert np.asarray(open_photo(encoded(Image.new("L", (2, 2), 77))))[0, 0].tolist() == [77] * 3
    assert np.asarray(open_photo(encoded(Image.new("1", (2, 2), 1))))[0, 0].tolist() == [255] * 3


def test_cmyk_is_converted() -> None:
    image = open_photo(encoded(picture().convert("CMYK"), "JPEG", quality=95, subsampling=0))
    assert close(image, picture(), 6.0)


def swapped_profile() -> bytes:
    """A matrix profile with exchanged red and blue primaries, whose conversion is obvious."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", data[128:132])[0]
    for entry in range(132, 132 + 12 * count, 12):
        tag = bytes(data[entry : entry + 4])
        data[entry : entry + 4] = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}.get(tag, tag)
    return bytes(data)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_profile_is_converted_to_srgb(mode: str) -> None:
    image = open_photo(encoded(picture().convert(mode), icc_profile=swapped_profile()))
    red, green, blue = picture().convert(mode).convert("RGB").split()
    assert close(image, Image.merge("RGB", (blue, green, red)), 3.0)
    assert "icc_profile" not in image.info


def test_the_profile_is_kept_when_the_image_is_rotated() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = picture().transpose(Image.Transpose.ROTATE_180)
    image = open_photo(encoded(turned, icc_profile=swapped_profile(), exif=exif))
    assert np.asarray(image)[0, 0, 2] > 200


def test_srgb_profile_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert close(open_photo(encoded(picture(), icc_profile=profile)), picture(), 1.0)


@pytest.mark.parametrize("profile", [b"not a profile", swapped_profile()[:200]])
def test_a_damaged_profile_is_ignored(profile: bytes) -> None:
    assert close(open_photo(encoded(picture(), icc_profile=profile)), picture(), 0.0)


def test_a_profile_for_another_mode_is_ignored() -> None:
    image = open_photo(encoded(Image.new("L", (4, 4), 90), icc_profile=swapped_profile()))
    assert np.asarray(image)[0, 0].tolist() == [90] * 3


def test_text_and_comments_are_removed() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "somebody")
    assert not open_photo(encoded(picture(), pnginfo=text)).info
    assert not open_photo(encoded(picture(), "JPEG", comment=b"at home")).info


def test_the_main_image_of_a_multi_picture_file() -> None:
    preview = Image.new("RGB", (6, 4), (9, 9, 9))
    data = encoded(picture(), "MPO", save_all=True, append_images=[preview], quality=95, subsampling=0)
    assert close(open_photo(data), picture())


def reason_for(source: bytes | Path, **options: int) -> str:
    with pytest.raises(PhotoError) as caught:
        open_photo(source, name="me.jpg", **options)
    error = caught.value
    assert str(error) == f"me.jpg: {error.reason}"
    assert "\n" not in str(error)
    return error.reason


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_animations_are_rejected(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), (value, 0, 0)) for value in (0, 90, 180)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
    assert "3 frames" in reason_for(data)


@pytest.mark.parametrize("kind", ["GIF", "PPM", "ICO", "JPEG2000"])
def test_other_formats_are_rejected(kind: str) -> None:
    assert reason_for(encoded(picture(), kind)) == "not a JPEG, PNG, WebP, BMP, TIFF, AVIF or HEIC picture"


@pytest.mark.parametrize(
    "data", [b"hello", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"\0" * 99]
)
def test_other_bytes_are_rejected(data: bytes) -> None:
    assert reason_for(data) in (
        "not a JPEG, PNG, WebP, BMP, TIFF, AVIF or HEIC picture",
        "damaged or truncated",
    )


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_files_are_rejected(kind: str, share: float) -> None:
    data = encoded(noise(), kind)
    assert reason_for(data[: int(len(data) * share)])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_damaged_files_give_a_photo_error_or_an_image(kind: str) -> None:
    data = encoded(noise(), kind)
    rng = np.random.default_rng(1)
    outcomes = set()
    for _ in range(60):
        broken = bytearray(data)
        for position in rng.integers(0, len(data), 4):
            broken[position] = rng.integers(0, 256)
        try:
            image = open_photo(bytes(broken), max_pixels=1_000_000)
            outcomes.add(image.mode)
        except PhotoError as error:
            outcomes.add(type(error).__name__)
    assert outcomes <= {"RGB", "PhotoError"}


def bomb(side: int) -> bytes:
    """A PNG that announces side x side pixels and has little data."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 9999)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8_001, 12_000, 60_000])
def test_huge_images_are_rejected_before_decoding(side: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "64 million" in reason_for(bomb(side))


def test_the_limit_can_be_set() -> None:
    assert reason_for(encoded(picture()), max_pixels=100) == "24x16 pixels, more than 0.0001 million"
    assert open_photo(encoded(picture()), max_pixels=24 * 16).size == (24, 16)


def test_missing_empty_and_special_files(tmp_path: Path) -> None:
    assert reason_for(tmp_path / "missing.jpg") == "no such file"
    assert reason_for(tmp_path) == "is a folder, not a photo"
    empty = tmp_path / "empty.png"
    empty.touch()
    assert reason_for(empty) == "is empty"
    assert reason_for(b"") == "is empty"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert reason_for(pipe) == "not a regular file"
    assert reason_for(tmp_path / ("a" * 300)).startswith(("cannot be read", "no such file"))
    assert reason_for(Path("a\0b.png")).startswith(("cannot be read", "no such file"))


def test_the_error_names_the_path_and_can_be_pickled(tmp_path: Path) -> None:
    with pytest.raises(PhotoError) as caught:
        open_photo(tmp_path / "missing.jpg")
    error = caught.value
    assert str(error) == f"{tmp_path / 'missing.jpg'}: no such file"
    again = pickle.loads(pickle.dumps(error))
    assert (again.reason, again.file, str(again)) == (error.reason, error.file, str(error))
