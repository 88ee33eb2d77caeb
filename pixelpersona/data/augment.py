"""Photo augmentation: flip, affine transform, colour jitter.

Photos are augmented before pixelation, so that the pixel art stays on its grid and palette.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
from PIL import Image, ImageEnhance


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Strengths of the augmentations; all 0 changes nothing.

    flip: probability of mirroring, 0 to 1. degrees: largest rotation in either direction, 0 to 180.
    translate: largest shift, as a share of the side, 0 to 0.5.
    scale, brightness, contrast, saturation: a value of v draws factors from [1 - v, 1 + v]; scale 0 to 0.5,
    the others 0 to 1. Raises ValueError naming what is out of range.
    """

    flip: float
    degrees: float
    translate: float
    scale: float
    brightness: float
    contrast: float
    saturation: float

    def __post_init__(self) -> None:
        limits = {"degrees": 180.0, "translate": 0.5, "scale": 0.5}
        for key, value in asdict(self).items():
            limit = limits.get(key, 1.0)
            if not 0 <= value <= limit:
                raise ValueError(f"augment.{key} must be in [0, {limit:g}], got {value}")

    def geometry(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """Flip and affine transform about the centre, same size; beyond its edges the picture is mirrored.

        The number of draws does not depend on the settings, so that switching one off does not change the
        others.
        """
        flip = rng.random() < self.flip
        angle = math.radians(rng.uniform(-1, 1) * self.degrees)
        shift_x, shift_y = rng.uniform(-1, 1, size=2) * self.translate
        zoom = 1 + rng.uniform(-1, 1) * self.scale
        if flip:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if angle == 0 and shift_x == 0 and shift_y == 0 and zoom == 1:
            return image.copy()
        width, height = image.size
        return _affine(image, angle, (shift_x * width, shift_y * height), zoom)

    def color(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """Brightness, contrast and saturation, in this order, as Pillow and torchvision define them."""
        limits = np.array([self.brightness, self.contrast, self.saturation])
        brightness, contrast, saturation = (1 + rng.uniform(-1, 1, size=3) * limits).tolist()
        image = ImageEnhance.Brightness(image).enhance(brightness)
        image = ImageEnhance.Contrast(image).enhance(contrast)
        return ImageEnhance.Color(image).enhance(saturation)


def _affine(image: Image.Image, angle: float, shift: tuple[float, float], zoom: float) -> Image.Image:
    """Rotate by `angle` (radians, clockwise on the screen), zoom, then shift by pixels; bicubic."""
    width, height = image.size
    radius = math.hypot(width, height) / 2
    reach = math.hypot(*shift) / zoom + radius * (abs(1 / zoom - 1) + min(2.0, abs(angle)) / zoom)
    margin = math.ceil(reach) + 2
    padded = np.pad(np.asarray(image), ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    center_x, center_y = width / 2, height / 2
    # Pillow expects the inverse transform, from output to input pixels.
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    from_x = center_x + margin - cos * (center_x + shift[0]) - sin * (center_y + shift[1])
    from_y = center_y + margin + sin * (center_x + shift[0]) - cos * (center_y + shift[1])
    return Image.fromarray(padded).transform(
        (width, height),
        Image.Transform.AFFINE,
        (cos, sin, from_x, -sin, cos, from_y),
        resample=Image.Resampling.BICUBIC,
    )
