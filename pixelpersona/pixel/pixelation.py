"""The settings of pixelization: what a recipe may say, and what it may not.

Light to import, because commands take it for their schema; `pixelator` does the work.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pixelpersona.pixel.clarify import Clarity
    from pixelpersona.pixel.palette import Palette
    from pixelpersona.pixel.pyxelate import Pyx

AUTO = "auto"
FITS = ("pyxelate", "exact", "kmeans", "median_cut")


@dataclass(kw_only=True, slots=True)
class Pixelation:
    """How a picture becomes pixel art; also the schema of the group `pixelate`.

    factor: source pixels per cell; or height and width: cells, where one of the two may be left to the
    picture's shape. palette: number of colours (2 to 256), auto, the name of a palette
    (`palette_files.PALETTE_NAMES`) or a list of "#rrggbb"; palette_file: .hex .gpl .pal .act .png instead.
    fit: pyxelate, exact (as upstream, slower), kmeans (OKLab) or median_cut. locked: "#rrggbb" that must be
    in a fitted palette. dither: none, naive, bayer, floyd, atkinson, blue_noise. downsample: gradient
    (Pyxelate's), detail, k_centroid, dominant, median, mean, inner, nearest. svd, sobel, depth: see `Pyx`.
    alpha: opacity 0-1 from which a cell is drawn. levels, flatness, local_contrast, saturation: see
    `clarify.Clarity`. min_distance, cleanup: see `cleanup.merge_similar` and `remove_orphans`; coherence:
    `coherence.coherent`.
    """

    factor: int | None = 6
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
    levels: float = 0.0
    flatness: float = 0.0
    local_contrast: float = 0.0
    saturation: float = 1.0
    min_distance: float = 0.0
    coherence: float = 0.0
    cleanup: bool = False

    def check(self) -> None:
        """Raises ValueError naming the key of the first value that is not accepted; reads palette_file."""
        from pixelpersona.pixel.dither import DITHERS
        from pixelpersona.pixel.downsample import METHODS

        for key, accepted in (
            ("fit", FITS),
            ("dither", tuple(DITHERS)),
            ("downsample", METHODS),
        ):
            if getattr(self, key) not in accepted:
                raise ValueError(f"pixelate.{key}={getattr(self, key)}: accepted {', '.join(accepted)}")
        self.clarity().check("pixelate")
        for key in ("min_distance", "coherence"):
            if not 0.0 <= getattr(self, key) <= 1.0:
                raise ValueError(f"pixelate.{key}={getattr(self, key)}: accepted 0 to 1")
        if self.coherence > 0.0 and self.dither != "none":
            raise ValueError("pixelate.coherence: it would undo a dither; accepted with pixelate.dither=none")
        colors = self.given_palette()
        locked = self.locked_colors()
        if locked is not None and colors is not None:
            raise ValueError("pixelate.locked: a given palette has its colours; accepted with a fitted one")
        if locked is not None and self.palette != AUTO and len(locked) > whole(self.palette):
            raise ValueError(f"pixelate.locked: {len(locked)} colours do not fit a palette of {self.palette}")
        self.pyx()

    def clarity(self) -> "Clarity":
        from pixelpersona.pixel.clarify import Clarity

        return Clarity(
            levels=self.levels,
            flatness=self.flatness,
            local_contrast=self.local_contrast,
            saturation=self.saturation,
        )

    def given_palette(self) -> "Palette | None":
        """The palette that is named, listed or in a file; None when it is to be fitted."""
        from pixelpersona.pixel.palette import MAX_COLORS, Palette
        from pixelpersona.pixel.palette_files import named_palette, read_palette

        if self.palette_file is not None:
            return read_palette(self.palette_file)
        if isinstance(self.palette, str) and self.palette != AUTO:
            return named_palette(self.palette)
        if isinstance(self.palette, list | tuple):
            return Palette(_hex_colors("palette", self.palette))
        if self.palette != AUTO and not 2 <= whole(self.palette) <= MAX_COLORS:
            raise ValueError(f"pixelate.palette={self.palette}: accepted 2 to {MAX_COLORS}")
        return None

    def locked_colors(self) -> "NDArray[np.uint8] | None":
        """uint8 [L, 3]; None when there are none. Raises ValueError naming what is no colour."""
        return _hex_colors("locked", self.locked) if self.locked else None

    def pyx(self, palette: "Palette | None" = None) -> "Pyx":
        """Pyxelate with these settings and this palette, or with its own fit."""
        from pixelpersona.pixel.pyxelate import Pyx

        number = 32 if self.palette == AUTO or not isinstance(self.palette, int) else self.palette
        sized = self.height is not None or self.width is not None
        try:
            return Pyx(
                height=self.height,
                width=self.width,
                factor=None if sized else self.factor,
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
        """Whether cells, palette and mixture are all Pyxelate's."""
        plain = self.palette != AUTO and not self.locked
        return self.downsample == "gradient" and self.fit in ("pyxelate", "exact") and plain


def whole(value: Any) -> int:
    """A number of colours that was given as such. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"pixelate.palette={value}: accepted a number, auto, a name or a list of #rrggbb")
    return value


def _hex_colors(key: str, values: Sequence[Any]) -> "NDArray[np.uint8]":
    """["#rrggbb", ...] -> uint8 [K, 3]."""
    import numpy as np

    colors = []
    for value in values:
        digits = str(value).removeprefix("#")
        if len(digits) != 6 or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
            raise ValueError(f"pixelate.{key}: {value} is no colour; accepted #rrggbb")
        colors.append(list(bytes.fromhex(digits)))
    return np.array(colors, dtype=np.uint8)
