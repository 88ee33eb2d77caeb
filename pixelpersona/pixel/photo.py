"""Opening untrusted image files: a validated sRGB image, or a PhotoError with one reason."""

import io
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from pixelpersona.pixel.gif_blocks import Gif, GifFrame, read_gif
from pixelpersona.pixel.photo_formats import CLIP_PLUGINS, PHOTO_FORMATS, PHOTO_PLUGINS, missing_format
from pixelpersona.pixel.tiff import decoded_size, is_odd_grey, load_quietly
from pixelpersona.terminal import escape

MAX_PIXELS = 64_000_000  # of an image, or of all frames of a clip together
MAX_FILE_BYTES = 256 * 2**20

_MAX_CLIP_BYTES = 64_000_000
_MAX_FRAMES = 1000
_ORIENTATION = 0x0112
# Modes without a conversion to RGB that is right for every file.
_REFUSED_MODES = {"F": "floating-point values", "I": "32-bit values", "LAB": "Lab colours"}
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class PhotoError(Exception):
    """An image that cannot be used: `reason` in one line, `file` its name; str() is "file: reason"."""

    def __init__(self, reason: str, file: str) -> None:
        super().__init__(reason, file)  # both arguments, so that it can be pickled
        self.reason = reason
        self.file = file

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Frames of one mode (RGB or RGBA) and size, their durations in milliseconds, and the number of loops.

    loop: 0 for endless, None to play once.
    """

    frames: tuple[Image.Image, ...]
    durations: tuple[int, ...]
    loop: int | None


_Opened = TypeVar("_Opened")
_log = logging.getLogger(__name__)


def open_photo(
    source: Path | bytes,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    keep_alpha: bool = False,
) -> Image.Image:
    """Read a photo's file, or its bytes, as an upright sRGB image of mode RGB without metadata.

    Formats: JPEG, PNG, WebP, BMP, TIFF; AVIF where Pillow has it, HEIC with the extra `heic`. EXIF
    orientation is applied, an ICC profile is converted to sRGB, transparency is composited over white, 16-bit
    grey is scaled (not clipped) to 8 bits. A phone's multi-picture JPEG or HEIC gives its main image, a TIFF
    its first page, with one line in the log when it has more.
    name: what errors call the image (default: its path, or "photo"). max_pixels: checked before decoding.
    keep_alpha: return an image with transparency as RGBA, hidden colours included, instead of over white.
    Raises PhotoError if the image is missing, empty, in another format, damaged, truncated, animated, too
    large, or a file of more than 256 MiB.
    """
    file = name if name is not None else str(source) if isinstance(source, Path) else "photo"

    def read(opened: Image.Image) -> Image.Image:
        _check_header(opened, file, max_pixels)
        if isinstance(opened, TiffImageFile):
            if opened.is_animated:
                _report_pages(file)
            load_quietly(opened)
        opened.load()
        image = _to_srgb(_upright(opened))
        return _plain_copy(image if keep_alpha else _over_white(image))

    return _read(source, file, PHOTO_PLUGINS, f"{PHOTO_FORMATS} picture", max_pixels, read)


@cache  # one line for each file, although some commands read a file twice
def _report_pages(file: str) -> None:
    _log.warning("%s: has more than one page; only the first is read", escape(file))


def open_clip(source: Path | bytes) -> Clip:
    """Read all frames of a GIF file, or of its bytes, as displayed, without metadata.

    All frames have the size of the canvas, which holds the GIF's screen and every frame. What no frame has
    drawn yet, and what a frame's disposal clears, is transparent, as browsers show it. Frames are RGBA if a
    pixel of any is transparent, else RGB. Durations are in milliseconds, 0 if the file has none. A still GIF
    gives one frame. Limits, checked before a pixel is decoded: 1000 frames, 64 million bytes, and 64 million
    pixels in all frames together. Raises PhotoError if the clip is missing, empty, in another format,
    damaged, truncated or too large.
    """
    file = str(source) if isinstance(source, Path) else "clip"
    _readable(source, file)
    try:
        num_bytes = source.stat().st_size if isinstance(source, Path) else len(source)
        if num_bytes > _MAX_CLIP_BYTES:
            raise PhotoError(f"{num_bytes} bytes; accepted {_MAX_CLIP_BYTES} or less", file)
        data = source.read_bytes() if isinstance(source, Path) else source
        gif = read_gif(data, max_frames=_MAX_FRAMES, max_pixels=MAX_PIXELS)
        frames = _displayed(gif, file)
    except ValueError as error:
        raise PhotoError(str(error), file) from error
    except OSError as error:
        raise PhotoError(f"cannot be read ({error.strerror})", file) from error
    except MemoryError as error:
        raise PhotoError("not enough memory to decode it", file) from error
    return Clip(frames, tuple(frame.duration for frame in gif.frames), gif.loop)


def _displayed(gif: Gif, file: str) -> tuple[Image.Image, ...]:
    """The canvas after each frame, RGBA if a pixel of any is transparent, else RGB."""
    canvas = Image.new("RGBA", (gif.width, gif.height))
    frames: list[Image.Image] = []
    for frame in gif.frames:
        before = canvas.copy() if frame.disposal == 3 else None
        if frame.width and frame.height:
            _draw_over(canvas, frame, file)
        is_opaque = canvas.getchannel("A").getextrema()[0] == 255
        frames.append(canvas.convert("RGB") if is_opaque else canvas.copy())
        if frame.disposal == 2:
            right, bottom = frame.left + frame.width, frame.top + frame.height
            canvas.paste((0, 0, 0, 0), (frame.left, frame.top, right, bottom))
        canvas = canvas if before is None else before
    if any(frame.mode == "RGBA" for frame in frames):
        frames = [frame.convert("RGBA") for frame in frames]
    return tuple(frames)


def _draw_over(canvas: Image.Image, frame: GifFrame, file: str) -> None:
    """Decode a frame and paste it, without its transparent pixels, in its place."""
    drawn = _read(frame.file, file, CLIP_PLUGINS, "GIF", MAX_PIXELS, lambda opened: opened.convert("RGBA"))
    canvas.paste(drawn, (frame.left, frame.top), drawn)


def _read(
    source: Path | bytes,
    file: str,
    formats: tuple[str, ...],
    kind: str,
    max_pixels: int,
    read: Callable[[Image.Image], _Opened],
) -> _Opened:
    """Open with these Pillow plugins only and read; any failure becomes a PhotoError."""
    with warnings.catch_warnings():
        # Pillow only warns about decompression bombs; the size is checked here before decoding.
        warnings.simplefilter("ignore")
        try:
            with Image.open(_readable(source, file), formats=formats) as opened:
                return read(opened)
        except PhotoError:
            raise
        except UnidentifiedImageError as error:
            missing = missing_format(_start(source))
            raise PhotoError(f"not a {kind}" if missing is None else missing, file) from error
        except Image.DecompressionBombError as error:
            raise PhotoError(f"more than {max_pixels / 1e6:g} million pixels", file) from error
        except MemoryError as error:
            raise PhotoError("not enough memory to decode it", file) from error
        except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, ...
            raise PhotoError("damaged or truncated", file) from error


def _readable(source: Path | bytes, file: str) -> Path | io.BytesIO:
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


def _upright(opened: Image.Image) -> Image.Image:
    """Apply the EXIF or XMP orientation."""
    try:
        orientation = opened.getexif().get(_ORIENTATION, 1)
    except Exception:  # ignore unreadable metadata: the pixels are fine
        orientation = 1
    transpose = _TRANSPOSE.get(orientation) if isinstance(orientation, int) else None
    return opened if transpose is None else _keep_info(opened.transpose(transpose), opened)


def _keep_info(image: Image.Image, source: Image.Image) -> Image.Image:
    """Copy the colour profile and transparent colour, which transpose() and convert() may drop."""
    for key in ("icc_profile", "transparency"):
        if key in source.info and key not in image.info:
            image.info[key] = source.info[key]
    return image


def _to_srgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB or RGBA in sRGB."""
    if image.mode.startswith("I;16"):
        return _from_16_bit_grey(image)
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    profile = image.info.get("icc_profile")
    if image.mode in ("LA", "La"):
        image = _keep_info(image.convert("L"), image)
    elif image.mode not in ("L", "RGB", "CMYK"):
        image = _keep_info(image.convert("RGBA").convert("RGB"), image)
    rgb = _apply_profile(image, profile) if profile else image.convert("RGB")
    if alpha is not None:
        rgb.putalpha(alpha)
    return rgb


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert to sRGB; a profile that is damaged or for another mode is ignored."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        converted = None
    return image.convert("RGB") if converted is None else converted


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


def _plain_copy(image: Image.Image) -> Image.Image:
    """A copy of the pixels without metadata or an open file."""
    return Image.fromarray(np.asarray(image, dtype=np.uint8).copy())
