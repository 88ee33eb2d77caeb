"""Pyxelate's downsampling: a photo to the colour of every art cell, before any palette."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.ndimage import distance_transform_edt
from sklearn.utils.extmath import randomized_svd

from pixelpersona.pixel.clahe import equalize
from pixelpersona.pixel.pyxelate_kernels import edge_weighted, hsv_to_rgb, median_3x3, rgb_to_hsv
from pixelpersona.pixel.resample import resize_linear

Floats = NDArray[np.float64]

_BRIGHTNESS = 1.19  # saturation and value after the local contrast
_RANK = 32  # of the low-rank copy that makes shapes blockier
_EXACT_SVD_SIDE = 512  # up to here the wanted eigenvectors are found sooner than by random projection
_SVD_SEED, _SVD_ITERATIONS = 1234, 16


def cell_colors(
    image: NDArray[np.uint8], rows: int, columns: int, side: int, depth: int, svd: bool, exact: bool
) -> Floats:
    """uint8 [H, W, 3] -> float64 [rows, columns, 3] of 0-1.

    The picture is brought to side ** depth pixels per cell, and blocks of side x side are reduced depth times
    to their mean weighted by the Sobel magnitude, which keeps edges where a plain mean would blur them.
    """
    reduction = side**depth
    rgb = resize_linear(image, rows * reduction, columns * reduction, anti_aliasing=True)
    if svd:
        _lower_rank(rgb, exact)
    for step in range(depth):
        hsv = rgb_to_hsv(rgb)
        if step == 0:
            _local_contrast(hsv)
        for plane in hsv:
            plane[...] = median_3x3(plane)
        hsv_to_rgb(hsv)
        rgb = np.stack([edge_weighted(plane, side) for plane in hsv], axis=-1)
    return rgb


def reveal(image: NDArray[np.uint8], alpha: float) -> NDArray[np.uint8]:
    """RGB of an RGBA picture with hidden pixels showing the colour of the nearest visible one."""
    hidden = image[..., 3] < alpha * 255.0
    if hidden.all() or not hidden.any():
        return image[..., :3]
    nearest = distance_transform_edt(hidden, return_distances=False, return_indices=True)
    revealed: NDArray[np.uint8] = image[..., :3][tuple(nearest)]
    return revealed


def _lower_rank(rgb: Floats, exact: bool) -> None:
    """Each channel's best approximation of rank 32, in place; small pictures stay as they are.

    exact: by upstream's random projection; the two differ by less than a part in 1,000.
    """
    if max(rgb.shape[:2]) - 1 <= _RANK:
        return
    small = min(rgb.shape[:2]) <= _EXACT_SVD_SIDE
    for c in range(3):
        channel = np.ascontiguousarray(rgb[..., c])
        rgb[..., c] = _principal(channel) if small and not exact else _projected(channel)
    # Upstream divides by 255 once too often. The local contrast stretches the range again, but has only 257
    # levels of value left, and its histograms show that: the division belongs to the look.
    rgb /= 255.0
    np.clip(rgb, 0.0, 1.0, out=rgb)


def _principal(channel: Floats) -> Floats:
    """Rank 32 by the leading eigenvectors of the smaller Gram matrix."""
    tall = channel if channel.shape[0] >= channel.shape[1] else channel.T
    size = tall.shape[1]
    first = max(0, size - _RANK)
    _, vectors = eigh(tall.T @ tall, subset_by_index=[first, size - 1], driver="evr", check_finite=False)
    low_rank: Floats = (tall @ vectors) @ vectors.T
    return low_rank if tall is channel else low_rank.T


def _projected(channel: Floats) -> Floats:
    """Rank 32 by random projection (Halko et al. 2011)."""
    left, values, right = randomized_svd(channel, _RANK, n_iter=_SVD_ITERATIONS, random_state=_SVD_SEED)
    low_rank: Floats = (left * values) @ right
    return low_rank


def _local_contrast(hsv: Floats) -> None:
    """Equalise the value of [3, H, W] locally (CLAHE), then raise saturation and value, in place."""
    hsv[2] = equalize(hsv[2])
    hsv[1:] *= _BRIGHTNESS
    np.minimum(hsv, 1.0, out=hsv)
    hsv[:, hsv[2] == 0.0] = 0.0  # black has neither hue nor saturation
