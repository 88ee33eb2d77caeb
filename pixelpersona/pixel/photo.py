"""Opening untrusted image files: a validated sRGB image, or a PhotoError with one reason."""

import io
import logging
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from pixelpersona.pixel.photo_formats import PHOTO_FORMATS, PHOTO_PLUGINS, format_hint
from pixelpersona.pixel.tiff import decoded_size, is_odd_grey, load_quietly
from pixelpersona.terminal import escape

MAX_PIXELS = 64_000_000  # of an image, or of all frames of a clip together
MAX_FILE_BYTES = 256 * 2**20
_MAX_WITH_ALPHA = 40_000_000  # where transparency is kept, so that drawing needs less than 1 GB

_ORIENTATION = 0x0112
# Modes without a conversion to RGB that is right for every file.
_REFUSED_MODES = {"F": "floating-point values", "I": "32-bit values", "LAB": "Lab colours"}
_Pixels = NDArray[np.uint8]
_UPRIGHT: dict[int, Callable[[_Pixels], _Pixels]] = {  # EXIF orientation -> what makes it upright
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: np.rot90,
}
_BAND = 2**22  # pixels converted at a time, because a copy of a whole photo may need 256 MB


class PhotoError(Exception):
    """An image that cannot be used: `reason` in one line, `file` its name; str() is "file: reason"."""

    def __init__(self, reason: str, file: str) -> None:
        super().__init__(reason, file)  # both arguments, so that it can be pickled
        self.reason = reason
        self.file = file

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


_Opened = TypeVar("_Opened")
_log = logging.getLogger(__name__)


def open_photo(
    source: Path | bytes,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    keep_alpha: bool = False,
) -> Image.Image:
    """The same as `read_photo`, as an image of mode RGB, or RGBA with `keep_alpha`."""
    return Image.fromarray(read_photo(source, name=name, max_pixels=max_pixels, keep_alpha=keep_alpha))


def read_photo(
    source: Path | bytes,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    keep_alpha: bool = False,
) -> _Pixels:
    """The upright sRGB pixels of a photo's file, or of its bytes, uint8 [H, W, 3].

    Formats: JPEG, PNG, WebP, BMP, TIFF; AVIF where Pillow has it, HEIC with the extra `heic`. EXIF
    orientation is applied, an ICC profile is converted to sRGB, transparency is composited over white, 16-bit
    grey is scaled (not clipped) to 8 bits. A phone's multi-picture JPEG or HEIC gives its main image, a TIFF
    its first page, with one line in the log when it has more.
    name: of the image in errors (default: its path, or "photo"). max_pixels: checked before decoding.
    keep_alpha: return an image with transparency as [H, W, 4], hidden colours included, not over white; it
    may have up to 40 million pixels.
    Raises PhotoError if the image is missing, empty, in another format, damaged, truncated, animated, too
    large, or if its file is larger than 256 MiB.
    """
    file = name if name is not None else str(source) if isinstance(source, Path) else "photo"

    def read(opened: Image.Image) -> tuple[_Pixels, int]:
        _check_header(opened, file, max_pixels)
        if keep_alpha and opened.has_transparency_data and opened.width * opened.height > _MAX_WITH_ALPHA:
            size = f"{opened.width}x{opened.height} pixels with transparency"
            raise PhotoError(f"{size}; accepted up to {_MAX_WITH_ALPHA / 1e6:g} million", file)
        if isinstance(opened, TiffImageFile):
            if opened.is_animated:
                _report_pages(file)
            load_quietly(opened)
        opened.load()
        return _srgb_pixels(opened, keep_alpha), _orientation(opened)

    kind = f"{PHOTO_FORMATS} picture"
    pixels, orientation = read_image(source, file, PHOTO_PLUGINS, kind, max_pixels, read)
    return np.ascontiguousarray(_UPRIGHT[orientation](pixels)) if orientation in _UPRIGHT else pixels


@cache  # one line for each file, although some commands read a file twice
def _report_pages(file: str) -> None:
    _log.warning("%s: has more than one page; only the first is read", escape(file))


def read_image(
    source: Path | bytes,
    file: str,
    formats: tuple[str, ...],
    kind: str,
    max_pixels: int,
    read: Callable[[Image.Image], _Opened],
) -> _Opened:
    """The result of `read` for an image opened with these Pillow plugins only.

    file, kind, max_pixels: for the messages: name of the file, what is accepted, and the size limit, which
    `read` enforces. Raises PhotoError for any failure.
    """
    with warnings.catch_warnings():
        # Pillow only warns about decompression bombs; the size is checked here before decoding.
        warnings.simplefilter("ignore")
        try:
            with Image.open(readable(source, file), formats=formats) as opened:
                return read(opened)
        except PhotoError:
            raise
        except UnidentifiedImageError as error:
            raise PhotoError(format_hint(_start(source)) or f"not a {kind}", file) from error
        except Image.DecompressionBombError as error:
            raise PhotoError(f"more than {max_pixels / 1e6:g} million pixels", file) from error
        except MemoryError as error:
            raise PhotoError("not enough memory to decode it", file) from error
        except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, ...
            raise PhotoError("damaged or truncated", file) from error


def readable(source: Path | bytes, file: str) -> Path | io.BytesIO:
    """A readable, non-empty regular file, or the bytes as a stream. Raises PhotoError for anything else."""
    if isinstance(source, bytes):
        if not source:
            raise PhotoError("is empty", file)
        return io.BytesIO(source)
    try:
        if source.is_dir():
            raise PhotoError("is a folder, not a photo", file)
        if not source.exists():
            raise PhotoError("no such file", file)
        if not source.is_file():
            raise PhotoError("not a regular file", file)
        num_bytes = source.stat().st_size
        if num_bytes == 0:
            raise PhotoError("is empty", file)
        if num_bytes > MAX_FILE_BYTES:
            raise PhotoError(f"is larger than {MAX_FILE_BYTES // 2**20} MiB", file)
        with source.open("rb"):
            return source
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PhotoError(f"cannot be read ({reason})", file) from error


def _start(source: Path | bytes) -> bytes:
    """The first 12 bytes."""
    if isinstance(source, bytes):
        return source[:12]
    with source.open("rb") as stream:
        return stream.read(12)


def _check_header(opened: Image.Image, file: str, max_pixels: int) -> None:
    """Check size, mode and number of frames before pixels are decoded."""
    width, height = opened.size
    refused = _REFUSED_MODES.get(opened.mode)
    num_frames = 1
    if isinstance(opened, TiffImageFile):
        width, height = decoded_size(opened)
        refused = "12-bit or inverted grey" if is_odd_grey(opened) else refused
    elif opened.format not in ("MPO", "HEIF"):
        num_frames = getattr(opened, "n_frames", 1)
    if width * height > max_pixels:
        raise PhotoError(f"{width}x{height} pixels, more than {max_pixels / 1e6:g} million", file)
    if refused is not None:
        raise PhotoError(f"{refused}; accepted 8-bit colours, 8-bit or 16-bit grey", file)
    if num_frames > 1:
        raise PhotoError(f"animated ({num_frames} frames); accepted still images", file)


def _orientation(opened: Image.Image) -> int:
    """The EXIF or XMP orientation; 1 where there is none."""
    try:
        orientation = opened.getexif().get(_ORIENTATION, 1)
    except Exception:  # ignore unreadable metadata: the pixels are fine
        return 1
    return orientation if isinstance(orientation, int) else 1


def _srgb_pixels(opened: Image.Image, keep_alpha: bool) -> _Pixels:
    """sRGB pixels of a decoded image of any mode, uint8 [H, W, 3], or [H, W, 4] with transparency."""
    width, height = opened.size
    to_srgb = _profile_transform(opened)
    pixels: _Pixels | None = None
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        band = _to_srgb(opened.crop((0, top, width, min(top + rows, height))), to_srgb)
        converted = np.asarray(band if keep_alpha else _over_white(band))
        if pixels is None:
            pixels = np.empty((height, width, converted.shape[2]), dtype=np.uint8)
        pixels[top : top + rows] = converted
    assert pixels is not None  # an image has at least one row
    return pixels


def _to_srgb(image: Image.Image, transform: ImageCms.ImageCmsTransform | None) -> Image.Image:
    """Convert any mode to RGB or RGBA in sRGB. transform: from `_profile_transform`."""
    if image.mode.startswith("I;16"):
        return _from_16_bit_grey(image)
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    image = _of_profile_mode(image)
    rgb = image.convert("RGB") if transform is None else transform.apply(image)
    if alpha is not None:
        rgb.putalpha(alpha)
    return rgb


def _of_profile_mode(image: Image.Image) -> Image.Image:
    """The image in a mode that a colour profile can describe: L, RGB or CMYK."""
    if image.mode in ("LA", "La"):
        return image.convert("L")
    if image.mode not in ("L", "RGB", "CMYK"):
        return image.convert("RGBA").convert("RGB")
    return image


def _profile_transform(opened: Image.Image) -> ImageCms.ImageCmsTransform | None:
    """The transform from the image's colour profile to sRGB; None without a profile.

    A profile that is damaged or for another mode is ignored.
    """
    profile = opened.info.get("icc_profile")
    if not profile or opened.mode.startswith("I;16"):
        return None
    mode = _of_profile_mode(opened.crop((0, 0, 1, 1))).mode
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _from_16_bit_grey(image: Image.Image) -> Image.Image:
    """Scale 0-65535 to 0-255, rounded; Pillow's own conversion clips values above 255."""
    values = np.asarray(image).astype(np.uint16, copy=False)
    scaled, remainder = np.divmod(values, np.uint16(257))
    scaled += remainder > 128
    grey = Image.fromarray(scaled.astype(np.uint8)).convert("RGB")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def _over_white(image: Image.Image) -> Image.Image:
    """Composite over white, so that hidden colours do not appear."""
    if image.mode != "RGBA":
        return image
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")
