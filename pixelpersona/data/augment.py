"""The original project's augmentations of a photo: flip, affine, colour jitter.

All of them come before pixelization, so that the art stays on its grid and keeps its palette.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance

__all__ = ["Augmentation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How far a photo may be changed; 0 everywhere changes nothing.

    flip: probability of mirroring. degrees: rotation, up to this much either way. translate: shift, as a
    share of the picture's side. scale, brightness, contrast, saturation: factors in [1 - v, 1 + v].
    """

    flip: float = 0.5
    degrees: float = 5.0
    translate: float = 0.03
    scale: float = 0.05
    brightness: float = 0.1
    contrast: float = 0.1
    saturation: float = 0.1

    def __post_init__(self) -> None:
        limits = {"flip": 1.0, "degrees": 180.0, "translate": 0.5, "scale": 0.5}
        for key in ("flip", "degrees", "translate", "scale", "brightness", "contrast", "saturation"):
            value, limit = getattr(self, key), limits.get(key, 1.0)
            if not 0 <= value <= limit:
                raise ValueError(f"augment.{key} must be in [0, {limit:g}], got {value}")

    def geometry(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """Flip and affine about the centre; the same size, mirrored where the picture ends.

        Every draw is made whatever the settings, so that switching one off leaves the others as they were.
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
        """Brightness, contrast and saturation, in this order, by Pillow's (torchvision's) definitions."""
        brightness, contrast, saturation = 1 + rng.uniform(-1, 1, size=3) * (
            self.brightness,
            self.contrast,
            self.saturation,
        )
        image = ImageEnhance.Brightness(image).enhance(float(brightness))
        image = ImageEnhance.Contrast(image).enhance(float(contrast))
        return ImageEnhance.Color(image).enhance(float(saturation))


def _affine(image: Image.Image, angle: float, shift: tuple[float, float], zoom: float) -> Image.Image:
    """Rotates by `angle` (radians, clockwise on the screen), zooms, then shifts by pixels; bicubic."""
    width, height = image.size
    radius = math.hypot(width, height) / 2
    reach = math.hypot(*shift) / zoom + radius * (abs(1 / zoom - 1) + min(2.0, abs(angle)) / zoom)
    margin = math.ceil(reach) + 2
    padded = np.pad(np.asarray(image), ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    center_x, center_y = width / 2, height / 2
    # Pillow asks for the inverse: where an output pixel comes from.
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    from_x = center_x + margin - cos * (center_x + shift[0]) - sin * (center_y + shift[1])
    from_y = center_y + margin + sin * (center_x + shift[0]) - cos * (center_y + shift[1])
    return Image.fromarray(padded).transform(
        (width, height),
        Image.Transform.AFFINE,
        (cos, sin, from_x, -sin, cos, from_y),
        resample=Image.Resampling.BICUBIC,
    )
