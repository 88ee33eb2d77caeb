"""Benchmark images: test images of scikit-image, crops of them, and synthetic ones.

All are uint8 [H, W, 3] of at most 512x512 pixels and need no download.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from skimage import data

Picture = NDArray[np.uint8]


def _cut(image: Picture, top: int = 0, left: int = 0, side: int = 512) -> Picture:
    return np.ascontiguousarray(image[top : top + side, left : left + side, :3])


def _sunset() -> Picture:
    """Smooth colour gradients and a disc: few edges, many colours."""
    y, x = np.mgrid[0:512, 0:512] / 511.0
    rgb = np.stack([0.95 - 0.5 * y, 0.55 - 0.35 * y + 0.1 * x, 0.3 + 0.5 * y], axis=-1)
    rgb[(x - 0.6) ** 2 + (y - 0.45) ** 2 < 0.02] = (1.0, 0.9, 0.6)
    return (rgb * 255).astype(np.uint8)


def _tiles() -> Picture:
    """48 flat tiles with slight noise: many edges."""
    rng = np.random.default_rng(7)
    colors = rng.integers(20, 236, (6, 8, 3))
    tiles = colors.repeat(80, axis=0).repeat(64, axis=1)
    noisy = tiles + rng.normal(0, 3, tiles.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def _bust() -> Picture:
    """A portrait of shaded, noisy ellipses."""
    y, x = np.mgrid[0:512, 0:512] / 512.0
    rgb = np.stack([0.25 + 0.3 * y, 0.45 + 0.2 * x, 0.7 - 0.2 * y], axis=-1)
    parts = (
        (0.50, 1.05, 0.42, 0.30, (0.30, 0.34, 0.52)),
        (0.50, 0.42, 0.27, 0.30, (0.25, 0.16, 0.10)),
        (0.50, 0.50, 0.20, 0.27, (0.90, 0.68, 0.55)),
        (0.42, 0.46, 0.03, 0.02, (0.10, 0.20, 0.25)),
        (0.58, 0.46, 0.03, 0.02, (0.10, 0.20, 0.25)),
        (0.50, 0.65, 0.07, 0.02, (0.70, 0.25, 0.30)),
    )
    for column, row, width, height, color in parts:
        rgb[((x - column) / width) ** 2 + ((y - row) / height) ** 2 < 1] = color
    light = 0.75 + 0.25 * np.cos(3 * (x - 0.3)) * np.cos(2 * (y - 0.4))
    noise = np.random.default_rng(0).normal(0, 0.02, rgb.shape)
    return (np.clip(rgb * light[..., None] + noise, 0, 1) * 255).astype(np.uint8)


PICTURES: dict[str, Callable[[], Picture]] = {
    "astronaut": lambda: _cut(data.astronaut()),
    "coffee": lambda: _cut(data.coffee(), left=60),
    "chelsea": lambda: _cut(data.chelsea()),
    "rocket": lambda: _cut(data.rocket(), left=90),
    "face": lambda: _cut(data.astronaut(), 10, 110, 256),
    "cat": lambda: _cut(data.chelsea(), 20, 80, 256),
    "hubble": lambda: _cut(data.hubble_deep_field(), 200, 200),
    "tissue": lambda: _cut(data.immunohistochemistry()),
    "retina": lambda: _cut(data.retina(), 450, 450),
    "motorcycle": lambda: _cut(data.stereo_motorcycle()[0], 0, 100, 500),
    "suit": lambda: _cut(data.astronaut(), 230, 60, 280),
    "sunset": _sunset,
    "tiles": _tiles,
    "bust": _bust,
}
