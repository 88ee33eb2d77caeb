"""From a drawn picture to a finished one: clearer colours, then the grid, then a tidy palette."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.palette import MAX_COLORS, oklab_to_srgb, srgb_to_oklab, to_uint8
from pixelpersona.pixel.snap import Snapped, snap

_MIDDLE_LIGHTNESS = 0.6  # of OKLab: about that of the middle grey, sRGB 128


@dataclass(kw_only=True, slots=True)
class Finish:
    """What is done to every portrait after it is drawn; also the schema of the group `finish`.

    num_colors: at most so many, 2 to 256. contrast, saturation: factors on OKLab's distance from middle grey
    and on its chroma, 1 leaves them. min_distance: palette colours closer than this become one (0 none; black
    to white is 1, 0.02 just visible). cleanup: cells whose colour no neighbour shares join their neighbours,
    but for strong accents.
    """

    num_colors: int = 16
    contrast: float = 1.0
    saturation: float = 1.0
    min_distance: float = 0.0
    cleanup: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.num_colors <= MAX_COLORS:
            raise ValueError(f"finish.num_colors={self.num_colors}: accepted 2 to {MAX_COLORS}")
        for name in ("contrast", "saturation"):
            if not 0.0 <= getattr(self, name) <= 4.0:
                raise ValueError(f"finish.{name}={getattr(self, name)}: accepted 0 to 4")
        if not 0.0 <= self.min_distance <= 1.0:
            raise ValueError(f"finish.min_distance={self.min_distance}: accepted 0 to 1")

    def apply(self, image: NDArray[np.uint8], cell: int) -> Snapped:
        """uint8 [H, W, 3] sRGB → the grid of `cell` pixels. ValueError when the cells do not divide it."""
        grid = Grid.of(image.shape[1], image.shape[0], cell)
        clear = vivid(image, self.contrast, self.saturation)
        return snap(clear, grid, self.num_colors, cleanup=self.cleanup, min_distance=self.min_distance)


def vivid(image: NDArray[np.uint8], contrast: float, saturation: float) -> NDArray[np.uint8]:
    """uint8 [H, W, 3] sRGB with lightness moved away from middle grey and chroma raised, hue kept, in OKLab.

    Factors of 1 return the picture as it is; what no screen can show is clipped.
    """
    if contrast == 1.0 and saturation == 1.0:
        return image
    lab = srgb_to_oklab(image / 255.0)
    lab[..., 0] = _MIDDLE_LIGHTNESS + (lab[..., 0] - _MIDDLE_LIGHTNESS) * contrast
    lab[..., 1:] *= saturation
    return to_uint8(oklab_to_srgb(lab))
