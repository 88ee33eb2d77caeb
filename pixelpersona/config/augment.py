"""Schema of the group `augment`."""

from dataclasses import dataclass


@dataclass(kw_only=True, slots=True)
class AugmentConfig:
    """Ranges of the random changes in every variant of a pair but the first; see `data.augment.Augmentation`.

    flip: probability of mirroring, 0 to 1.
    degrees: largest rotation, degrees.
    translate: largest shift, share of the side.
    scale: largest relative change of size.
    brightness: largest relative change of brightness.
    contrast: largest relative change of contrast.
    saturation: largest relative change of saturation.
    """

    flip: float
    degrees: float
    translate: float
    scale: float
    brightness: float
    contrast: float
    saturation: float
