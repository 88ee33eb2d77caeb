"""The settings of a pixelation and their validation; `pixelator` carries it out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelpersona.pixel.clarify import Clarity
from pixelpersona.pixel.cleanup import Cleanup
from pixelpersona.pixel.dither import DITHERS
from pixelpersona.pixel.downsample import METHODS
from pixelpersona.pixel.palette import MAX_COLORS, Palette
from pixelpersona.pixel.palette_files import named_palette, read_palette
from pixelpersona.pixel.pyxelate import Pyx

AUTO = "auto"
_MOST_SKIN_TONES = 16
FITS = ("pyxelate", "exact", "kmeans", "median_cut")


@dataclass(frozen=True, kw_only=True)
class Pixelation(Clarity, Cleanup):
    """How an image becomes pixel art; the inherited settings are those of `clarify` and `clean_up`.

    factor: source pixels per cell; 6 unless height or width is given. height, width: number of cells, instead
    of factor; if only one is given the other follows from the aspect ratio. palette: number of colours (2 to
    256), auto, a name of `palette_files.PALETTE_NAMES`, or a list of "#rrggbb". palette_file: .hex .gpl .pal
    .act .png, instead of palette. fit: pyxelate, exact (as upstream, slower), kmeans (perceptual OKLab) or
    median_cut. locked: "#rrggbb" colours that a fitted palette must contain. dither: one of `dither.DITHERS`.
    downsample: one of `downsample.METHODS`; gradient is Pyxelate's. svd, sobel, depth: see `Pyx`. alpha:
    opacity 0-1 from which a cell is drawn. features: in a head-and-shoulders portrait, find the landmarks of
    the face; the cells of its eyes and mouth count more in the palette and are not smoothed. skin_tones: with
    features and a number of colours, how many of them are for skin, which then gets no others; None for any.
    """

    factor: int | None = None
    height: int | None = None
    width: int | None = None
    palette: Any = 32
    palette_file: Path | None = None
    fit: str = "pyxelate"
    locked: list[str] = field(default_factory=list)
    dither: str = "none"
    downsample: str = "gradient"
    svd: bool = True
    sobel: int = 3
    depth: int = 1
    alpha: float = 0.6
    features: bool = False
    skin_tones: int | None = None

    def check(self) -> None:
        """Raise ValueError "pixelate.key=value: accepted ..." for an invalid value; reads palette_file."""
        for key, accepted in (("fit", FITS), ("dither", tuple(DITHERS)), ("downsample", METHODS)):
            if getattr(self, key) not in accepted:
                raise ValueError(f"pixelate.{key}={getattr(self, key)}: accepted {', '.join(accepted)}")
        self.check_clarity("pixelate")
        self.check_cleanup("pixelate")
        if self.coherence > 0.0 and self.dither != "none":
            raise ValueError(
                f"pixelate.coherence={self.coherence}: accepted 0 with a dither, which smoothing would undo"
            )
        if self.features and self.is_pyxelate:
            raise ValueError(
                "pixelate.features=true: accepted with another downsample than gradient, or with fit=kmeans"
            )
        if self.skin_tones is not None and not 1 <= self.skin_tones <= _MOST_SKIN_TONES:
            raise ValueError(
                f"pixelate.skin_tones={self.skin_tones}: accepted null or 1 to {_MOST_SKIN_TONES}"
            )
        for key in ("height", "width"):
            if self.factor is not None and getattr(self, key) is not None:
                raise ValueError(f"pixelate.factor={self.factor}: accepted without pixelate.{key}")
        given = self.given_palette()
        num_colors = None if given is not None else self.num_colors
        if self.locked_colors() is not None and given is not None:
            raise ValueError(f"pixelate.locked={self.locked}: accepted with a fitted palette only")
        if num_colors is not None and len(self.locked) > num_colors:
            raise ValueError(f"pixelate.locked={self.locked}: accepted {num_colors} colours at most")
        self.pyx()

    def given_palette(self) -> Palette | None:
        """The palette that is named, listed or in a file; None when it is to be fitted.

        Raises ValueError naming the key.
        """
        if self.palette_file is not None:
            return read_palette(self.palette_file)
        if isinstance(self.palette, str) and self.palette != AUTO:
            try:
                return named_palette(self.palette)
            except ValueError as error:
                raise ValueError(f"pixelate.{error}") from error
        if isinstance(self.palette, list | tuple):
            return Palette(_hex_colors("palette", self.palette))
        return None

    @property
    def num_colors(self) -> int | None:
        """The number of colours to fit; None for "auto". Raises ValueError when it is out of range."""
        if self.palette == AUTO:
            return None
        if isinstance(self.palette, bool) or not isinstance(self.palette, int):
            raise ValueError(
                f"pixelate.palette={self.palette}: accepted a number, auto, a name or a list of #rrggbb"
            )
        if not 2 <= self.palette <= MAX_COLORS:
            raise ValueError(f"pixelate.palette={self.palette}: accepted 2 to {MAX_COLORS}")
        return self.palette

    def locked_colors(self) -> NDArray[np.uint8] | None:
        """The locked colours, uint8 [L, 3]; None without any. Raises ValueError naming an invalid one."""
        return _hex_colors("locked", self.locked) if self.locked else None

    def pyx(self, palette: Palette | None = None) -> Pyx:
        """A `Pyx` with these settings, and with this palette or one to be fitted."""
        # Any number does when the palette is fitted elsewhere.
        number = self.palette if isinstance(self.palette, int) else 32
        try:
            return Pyx(
                height=self.height,
                width=self.width,
                factor=self.factor,
                palette=number if palette is None else palette,
                dither=self.dither,
                svd=self.svd,
                sobel=self.sobel,
                depth=self.depth,
                alpha=self.alpha,
                fit="exact" if self.fit == "exact" else "fast",
            )
        except ValueError as error:
            raise ValueError(f"pixelate.{error}") from error

    @property
    def is_pyxelate(self) -> bool:
        """Whether Pyxelate alone finds the cells, the palette and the colour of each cell."""
        plain = self.palette != AUTO and not self.locked
        return self.downsample == "gradient" and self.fit in ("pyxelate", "exact") and plain


def _hex_colors(key: str, values: Sequence[Any]) -> NDArray[np.uint8]:
    """["#rrggbb", ...] -> uint8 [K, 3]."""
    colors = []
    for value in values:
        digits = str(value).removeprefix("#")
        if len(digits) != 6 or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
            raise ValueError(f"pixelate.{key}={value}: accepted #rrggbb")
        colors.append(list(bytes.fromhex(digits)))
    return np.array(colors, dtype=np.uint8)
