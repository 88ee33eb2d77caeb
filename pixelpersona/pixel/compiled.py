"""Compile the engine's numba kernels ahead of time: python -m pixelpersona.pixel.compiled

numba compiles a kernel on its first call and caches it on disk, about 20 s once per machine. `make setup`
does this during installation, and an evaluation does it before it times its variants.
"""

import numpy as np

from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pixelator import Pixelator

_CLEANED = Pixelation(
    factor=4, palette=4, fit="kmeans", downsample="detail", levels=0.5, flatness=0.1, local_contrast=0.5,
    saturation=1.1, min_distance=0.01, coherence=0.1, cleanup=True,
)  # fmt: skip
_DOWNSAMPLED = [Pixelation(factor=4, palette=4, downsample=name) for name in ("k_centroid", "dominant")]


def compile_kernels() -> None:
    """Pixelate a small image with settings that together call every kernel of the presets."""
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for recipe in (Pixelation(factor=4, palette=4), _CLEANED, *_DOWNSAMPLED):
        Pixelator(recipe).fit_apply(image)


if __name__ == "__main__":
    compile_kernels()
