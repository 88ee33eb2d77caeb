"""Opening untrusted GIF files: their frames as displayed, decoded one at a time, or a PhotoError."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelpersona.pixel.gif_blocks import Gif, GifFrame, read_gif
from pixelpersona.pixel.photo import MAX_PIXELS, PhotoError, read_image, readable
from pixelpersona.pixel.photo_formats import CLIP_PLUGINS

_MAX_BYTES = 64_000_000
_MAX_FRAMES = 1000
_MAX_CANVAS = 40_000_000  # pixels: with several copies of a frame, drawing then needs less than 1 GB
_BAND = 2**22  # pixels drawn at a time


class Frames:
    """The frames of a clip, uint8 [H, W, 3] or [H, W, 4] sRGB; they are decoded anew by each iteration.

    Together, decoded frames need up to 256 MB, and each step of drawing them as much again.
    """

    def __init__(self, gif: Gif, file: str, *, has_alpha: bool, kept: frozenset[int]) -> None:
        self._gif, self._file, self._has_alpha, self._kept = gif, file, has_alpha, kept

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for number, canvas in enumerate(_displayed(self._gif, self._file)):
            if number in self._kept:
                yield canvas.copy() if self._has_alpha else np.ascontiguousarray(canvas[..., :3])

    def only(self, numbers: frozenset[int]) -> "Frames":
        """The frames with these numbers, counted from 0, in order."""
        return Frames(self._gif, self._file, has_alpha=self._has_alpha, kept=self._kept & numbers)


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Frames of one size and number of channels, their durations in milliseconds, and the number of loops.

    loop: 0 for endless, None to play once.
    """

    frames: Frames
    durations: tuple[int, ...]
    loop: int | None


def open_clip(source: Path | bytes) -> Clip:
    """The clip in a GIF file, or in its bytes, checked by decoding every frame.

    All frames have the size of the canvas, which holds the GIF's screen and every frame. What no frame has
    drawn yet, and what a frame's disposal clears, is transparent, as in browsers. Frames have an alpha
    channel if a pixel of any is transparent. Durations are in milliseconds, 0 if the file has none. A still
    GIF gives one frame. Limits, checked before a pixel is decoded: 1000 frames, 64 million bytes, 40 million
    pixels in a frame and 64 million in all frames together.
    Raises PhotoError if the clip is missing, empty, in another format, damaged, truncated or too large.
    """
    file = str(source) if isinstance(source, Path) else "clip"
    readable(source, file)
    try:
        num_bytes = source.stat().st_size if isinstance(source, Path) else len(source)
        if num_bytes > _MAX_BYTES:
            raise PhotoError(f"{num_bytes} bytes; accepted {_MAX_BYTES} or less", file)
        data = source.read_bytes() if isinstance(source, Path) else source
        gif = read_gif(data, max_frames=_MAX_FRAMES, max_pixels=MAX_PIXELS)
        if gif.width * gif.height > _MAX_CANVAS:
            size = f"{gif.width}x{gif.height} pixels"
            raise PhotoError(f"{size}; accepted up to {_MAX_CANVAS / 1e6:g} million in a frame", file)
        is_opaque = [bool((canvas[..., 3] == 255).all()) for canvas in _displayed(gif, file)]
    except ValueError as error:
        raise PhotoError(str(error), file) from error
    except OSError as error:
        raise PhotoError(f"cannot be read ({error.strerror})", file) from error
    except MemoryError as error:
        raise PhotoError("not enough memory to decode it", file) from error
    frames = Frames(gif, file, has_alpha=not all(is_opaque), kept=frozenset(range(len(gif.frames))))
    return Clip(frames, tuple(frame.duration for frame in gif.frames), gif.loop)


def _displayed(gif: Gif, file: str) -> Iterator[NDArray[np.uint8]]:
    """The canvas after each frame, uint8 [H, W, 4]: one array, which the next frame changes."""
    canvas = np.zeros((gif.height, gif.width, 4), dtype=np.uint8)
    for frame in gif.frames:
        area = canvas[frame.top : frame.top + frame.height, frame.left : frame.left + frame.width]
        before = area.copy() if frame.disposal == 3 else None
        if area.size:
            _draw_over(area, frame, file)
        yield canvas
        if frame.disposal == 2:
            area[:] = 0
        elif before is not None:
            area[:] = before


def _draw_over(area: NDArray[np.uint8], frame: GifFrame, file: str) -> None:
    """Decode a frame and draw it, without its transparent pixels, into its area of the canvas."""
    rows = max(1, _BAND // frame.width)

    def draw(opened: Image.Image) -> None:
        for top in range(0, frame.height, rows):  # as RGBA, a large frame needs four times the memory
            band = opened.crop((0, top, frame.width, min(top + rows, frame.height)))
            pixels = np.asarray(band.convert("RGBA"))
            np.copyto(area[top : top + rows], pixels, where=pixels[..., 3:] > 0)

    read_image(frame.file, file, CLIP_PLUGINS, "GIF", MAX_PIXELS, draw)
