"""The engine's kernels, compiled ahead: python -m pixelpersona.pixel.compiled

numba compiles a kernel on its first call and keeps it on disk: some 20 s once per machine. `make setup` has
it done with the installation, and an evaluation before it takes the time of its variants.
"""

import numpy as np

from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pixelator import Pixelator

_CLEAR = Pixelation(
    factor=4, palette=4, fit="kmeans", downsample="detail", levels=0.5, flatness=0.1, local_contrast=0.5,
    saturation=1.1, min_distance=0.01, coherence=0.1, cleanup=True,
)  # fmt: skip
_CROWDS = [Pixelation(factor=4, palette=4, downsample=name) for name in ("k_centroid", "dominant", "median")]


def compile_kernels() -> None:
    """Draw one small picture by every recipe that has kernels of its own."""
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for recipe in (Pixelation(factor=4, palette=4), _CLEAR, *_CROWDS):
        Pixelator(recipe).fit_apply(picture)


if __name__ == "__main__":
    compile_kernels()
