"""The one gate through which every outside picture enters: a checked RGB image, or one clear reason."""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

PHOTO_SUFFIXES: frozenset[str] = frozenset({".jpg", ".jpeg", ".png", ".webp"})
CLIP_SUFFIXES: frozenset[str] = frozenset({".gif"})

# The plugins that are allowed to see outside bytes. "JPEG" covers the multi-picture files of phones as well.
_FORMATS = ("JPEG", "PNG", "WEBP")
_CLIP_FORMATS = ("GIF",)
_ORIENTATION = 0x0112
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
    """A picture that cannot be used. `reason` says why in one line, `file` which; str() is "file: reason"."""

    def __init__(self, reason: str, file: str) -> None:
        super().__init__(reason, file)  # both, so that it can be pickled from one process to another
        self.reason = reason
        self.file = file

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Frames of one mode, RGB or RGBA, and size, each with its milliseconds; loop: 0 for ever, None once."""

    frames: tuple[Image.Image, ...]
    durations: tuple[int, ...]
    loop: int | None


_Opened = TypeVar("_Opened")


def open_photo(
    source: Path | bytes,
    *,
    name: str | None = None,
    max_pixels: int = 64_000_000,
    keep_alpha: bool = False,
) -> Image.Image:
    """Read a JPEG, PNG or WebP file, or its bytes, as an upright sRGB picture of mode RGB without metadata.

    EXIF orientation is applied once, an ICC profile is converted to sRGB, transparency is laid over white,
    16-bit grey is scaled (not clipped) to 8 bits. Of a phone's multi-picture JPEG the main picture is taken.
    name: what the error calls the picture (default: its path, or "photo").
    max_pixels: larger pictures are refused before they are decoded. keep_alpha: a picture with transparency
    comes as RGBA, its hidden colours untouched, instead of over white.
    Raises PhotoError for everything that does not end in a picture: missing, empty, of another format,
    damaged or cut short, animated, too large.
    """
    file = name if name is not None else str(source) if isinstance(source, Path) else "photo"

    def read(opened: Image.Image) -> Image.Image:
        _check_header(opened, file, max_pixels)
        opened.load()
        picture = _to_srgb(_upright(opened))
        return _plain_copy(picture if keep_alpha else _over_white(picture))

    return _read_or_say_why(source, file, _FORMATS, "JPEG, PNG or WebP picture", max_pixels, read)


def open_clip(
    source: Path | bytes,
    *,
    name: str | None = None,
    max_pixels: int = 64_000_000,
    max_frames: int = 1000,
    max_bytes: int = 64_000_000,
    keep_alpha: bool = False,
) -> Clip:
    """Read a GIF, or its bytes: all frames as they are shown, complete, over white, without metadata.

    Durations are the file's, in milliseconds; 0 where it names none. A still GIF is a clip of one frame.
    max_pixels: of all frames together. Frames are counted as they are read, so that a file that announces
    too many costs no more than the limit. keep_alpha: frames of a clip that shows nothing in places come as
    RGBA instead of over white. Raises PhotoError for everything that does not end in frames: missing, empty,
    of another format, damaged or cut short, too large, too many frames.
    """
    file = name if name is not None else str(source) if isinstance(source, Path) else "clip"
    num_bytes = len(source) if isinstance(source, bytes) else 0
    readable = _readable(source, file)
    if isinstance(readable, Path):
        num_bytes = readable.stat().st_size
    if num_bytes > max_bytes:
        raise PhotoError(f"{num_bytes} bytes, more than {max_bytes}", file)

    def read(opened: Image.Image) -> Clip:
        return _read_frames(opened, file, max_pixels, max_frames, keep_alpha)

    return _read_or_say_why(source, file, _CLIP_FORMATS, "GIF", max_pixels, read)


def _read_frames(opened: Image.Image, file: str, max_pixels: int, max_frames: int, keep_alpha: bool) -> Clip:
    width, height = opened.size
    frames: list[Image.Image] = []
    durations: list[int] = []
    while True:
        if (len(frames) + 1) * width * height > max_pixels:
            size = f"{width}x{height} pixels, {len(frames) + 1} frames or more"
            raise PhotoError(f"{size}: above {max_pixels / 1e6:g} million", file)
        if len(frames) == max_frames:
            raise PhotoError(f"more than {max_frames} frames", file)
        opened.load()
        shown = _to_srgb(opened)
        frames.append(_plain_copy(shown if keep_alpha else _over_white(shown)))
        durations.append(int(opened.info.get("duration", 0)))
        try:
            opened.seek(len(frames))
        except EOFError:
            break
    loop = opened.info.get("loop")
    # Frames that only store what changed use transparency as well: what counts is what is shown.
    see_through = any(frame.mode == "RGBA" and np.asarray(frame)[..., 3].min() < 255 for frame in frames)
    frames = [frame.convert("RGBA" if see_through else "RGB") for frame in frames]
    return Clip(tuple(frames), tuple(durations), None if loop is None else int(loop))


def _read_or_say_why(
    source: Path | bytes,
    file: str,
    formats: tuple[str, ...],
    kind: str,
    max_pixels: int,
    read: Callable[[Image.Image], _Opened],
) -> _Opened:
    """Open with these plugins alone and read; whatever goes wrong becomes a PhotoError."""
    with warnings.catch_warnings():
        # Pillow only warns of a decompression bomb; the size is checked here before anything is decoded.
        warnings.simplefilter("ignore")
        try:
            with Image.open(_readable(source, file), formats=formats) as opened:
                return read(opened)
        except PhotoError:
            raise
        except UnidentifiedImageError as error:
            raise PhotoError(f"not a {kind}", file) from error
        except Image.DecompressionBombError as error:
            raise PhotoError(f"more than {max_pixels / 1e6:g} million pixels", file) from error
        except MemoryError as error:
            raise PhotoError("too large for this machine's memory", file) from error
        except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, ...
            raise PhotoError("damaged or cut short", file) from error


def _readable(source: Path | bytes, file: str) -> Path | io.BytesIO:
    """A non-empty regular file or bytes, else PhotoError."""
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
        if source.stat().st_size == 0:
            raise PhotoError("is empty", file)
        with source.open("rb"):
            return source
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PhotoError(f"cannot be read ({reason})", file) from error


def _check_header(opened: Image.Image, file: str, max_pixels: int) -> None:
    """Refuse by what the header says, before pixels are decoded."""
    width, height = opened.size
    if width * height > max_pixels:
        raise PhotoError(f"{width}x{height} pixels, more than {max_pixels / 1e6:g} million", file)
    num_frames = getattr(opened, "n_frames", 1)
    if opened.format != "MPO" and num_frames > 1:
        raise PhotoError(f"animated ({num_frames} frames), a still photo is needed", file)


def _upright(opened: Image.Image) -> Image.Image:
    """Turn the picture as its EXIF or XMP orientation says."""
    try:
        orientation = opened.getexif().get(_ORIENTATION, 1)
    except Exception:  # unreadable metadata says nothing; the pixels are good
        orientation = 1
    transpose = _TRANSPOSE.get(orientation) if isinstance(orientation, int) else None
    return opened if transpose is None else _keep_info(opened.transpose(transpose), opened)


def _keep_info(image: Image.Image, source: Image.Image) -> Image.Image:
    """transpose() and convert() drop what the later steps read: profile and transparent colour."""
    for key in ("icc_profile", "transparency"):
        if key in source.info and key not in image.info:
            image.info[key] = source.info[key]
    return image


def _to_srgb(image: Image.Image) -> Image.Image:
    """Any mode -> RGB or RGBA in sRGB."""
    if image.mode.startswith("I"):
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
    """Convert to sRGB; a profile that is broken or made for another mode says nothing about these pixels."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        converted = None
    return image.convert("RGB") if converted is None else converted


def _from_16_bit_grey(image: Image.Image) -> Image.Image:
    """0-65535 -> 0-255 by scaling; Pillow's own conversion clips everything above 255 to white."""
    values = np.asarray(image).astype(np.float64).clip(0, 65535)
    grey = Image.fromarray(np.rint(values / 257.0).astype(np.uint8)).convert("RGB")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def _over_white(image: Image.Image) -> Image.Image:
    """Colours hidden under transparency must not appear: lay the picture over white."""
    if image.mode != "RGBA":
        return image
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def _plain_copy(image: Image.Image) -> Image.Image:
    """The pixels alone: no EXIF, no profile, no comment, no open file."""
    return Image.fromarray(np.asarray(image, dtype=np.uint8).copy())
