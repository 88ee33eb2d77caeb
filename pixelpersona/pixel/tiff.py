"""Checks of untrusted TIFF files that Pillow does not make, and decoding without libtiff's messages."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL.TiffImagePlugin import TiffImageFile

_BITS, _PHOTOMETRIC, _TILE_WIDTH, _TILE_LENGTH = 0x0102, 0x0106, 0x0142, 0x0143  # tags
_BLACK_IS_ZERO = 1

_stderr_lock = threading.Lock()

# Pillow logs some errors besides raising them; without a handler Python prints them on stderr.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def decoded_size(opened: TiffImageFile) -> tuple[int, int]:
    """Width and height that are decoded, pixels: a tile is decoded whole, even if the image is smaller."""
    width, height = opened.size
    tags = opened.tag_v2
    return max(width, tags.get(_TILE_WIDTH, 0)), max(height, tags.get(_TILE_LENGTH, 0))


def is_odd_grey(opened: TiffImageFile) -> bool:
    """Whether the image is 12-bit or white-is-zero grey, which Pillow would read as plain 16-bit grey."""
    stored = opened.tag_v2.get(_BITS), opened.tag_v2.get(_PHOTOMETRIC)
    return opened.mode.startswith("I;16") and stored != ((16,), _BLACK_IS_ZERO)


def load_quietly(opened: TiffImageFile) -> None:
    """Decode the first page without libtiff's messages on stderr."""
    with _stderr_discarded():
        opened.load()


@contextmanager
def _stderr_discarded() -> Iterator[None]:
    """Discard what is written to file descriptor 2, where libtiff prints errors that it also returns."""
    with _stderr_lock:
        try:
            stderr = os.dup(2)
        except OSError:  # closed: nothing is printed anyway
            yield
            return
        try:
            with open(os.devnull, "wb") as null:
                os.dup2(null.fileno(), 2)
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
