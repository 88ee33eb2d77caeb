"""Pyxelate's downsampling to one colour per cell, before any palette."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from sklearn.utils.extmath import randomized_svd

from pixelpersona.pixel.clahe import equalize
from pixelpersona.pixel.pyxelate_kernels import edge_weighted, hsv_to_rgb, median_3x3, rgb_to_hsv
from pixelpersona.pixel.resample import resize_linear

Floats = NDArray[np.float64]

_BRIGHTNESS = 1.19  # factor on saturation and value after the local contrast
_RANK = 32  # of the low-rank approximation, which makes shapes blockier
_EXACT_SVD_SIDE = 512  # up to this side an eigendecomposition is faster than random projection
_SVD_SEED, _SVD_ITERATIONS = 1234, 16


def sobel_cells(
    image: NDArray[np.uint8], rows: int, columns: int, side: int, depth: int, svd: bool, exact: bool
) -> Floats:
    """uint8 [H, W, 3] sRGB -> float64 [rows, columns, 3] of 0-1.

    The image is resized to side ** depth pixels per cell; then blocks of side x side are reduced `depth`
    times to their mean weighted by Sobel magnitude, which keeps edges sharper than a plain mean. svd, exact:
    as in `pyxelate.Pyx`.
    The steps work in place, because one copy of the planes of a photo of 64 million pixels takes 400 MB.
    """
    reduction = side**depth
    planes = resize_linear(image, rows * reduction, columns * reduction, anti_aliasing=True)
    if svd:
        _lower_rank(planes, exact)
    for step in range(depth):
        rgb_to_hsv(planes)
        if step == 0:
            _local_contrast(planes)
        for plane in planes:
            median_3x3(plane)
        hsv_to_rgb(planes)
        planes = np.stack([edge_weighted(plane, side) for plane in planes])
    return np.stack(list(planes), axis=-1)


def _lower_rank(rgb: Floats, exact: bool) -> None:
    """Replace each plane of [3, H, W] by its best approximation of rank 32, in place, unless it is small.

    exact: by upstream's random projection, which differs by less than 0.1 %.
    """
    height, width = rgb.shape[1:]
    if max(height, width) - 1 <= _RANK:
        return
    small = min(height, width) <= _EXACT_SVD_SIDE
    for plane in rgb:
        if small and not exact:
            plane[...] = _principal(plane)
        else:
            _project(plane)
    # Upstream divides by 255 once more than needed. The local contrast stretches the range again, but from
    # only 257 levels, which is part of upstream's look.
    rgb /= 255.0
    np.clip(rgb, 0.0, 1.0, out=rgb)


def _principal(channel: Floats) -> Floats:
    """Rank-32 approximation by the leading eigenvectors of the smaller Gram matrix."""
    tall = channel if channel.shape[0] >= channel.shape[1] else channel.T
    size = tall.shape[1]
    first = max(0, size - _RANK)
    _, vectors = eigh(tall.T @ tall, subset_by_index=[first, size - 1], driver="evr", check_finite=False)
    low_rank: Floats = (tall @ vectors) @ vectors.T
    return low_rank if tall is channel else low_rank.T


def _project(channel: Floats) -> None:
    """Replace a plane by its rank-32 approximation by random projection (Halko et al. 2011)."""
    left, values, right = randomized_svd(channel, _RANK, n_iter=_SVD_ITERATIONS, random_state=_SVD_SEED)
    np.matmul(left * values, right, out=channel)


def _local_contrast(hsv: Floats) -> None:
    """CLAHE of the value in HSV [3, H, W], then raise saturation and value, in place."""
    equalize(hsv[2], out=hsv[2])
    hsv[1:] *= _BRIGHTNESS
    np.minimum(hsv, 1.0, out=hsv)
    hsv[:, hsv[2] == 0.0] = 0.0  # black has neither hue nor saturation
