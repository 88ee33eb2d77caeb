"""Pyxelate: a photo to pixel art with a fitted palette (the algorithm of github.com/sedthh/pyxelate, 2.1).

The palette comes from a Bayesian mixture over the photo's colours, the cells from 3x3 blocks averaged with
their Sobel magnitude as weight, which keeps edges where a plain mean would blur them. Upstream's mixture sees
every pixel; here it sees the mean colour and the number of pixels of every 7-bit cell of the colour cube,
which is far faster and moves the palette by a fraction of one 8-bit step (now and then, where upstream's own
result hangs on a hair, to another palette that fits the photo as well).
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from skimage.color import hsv2rgb, rgb2hsv
from skimage.exposure import equalize_adapthist
from skimage.filters import sobel as sobel_magnitude
from skimage.transform import resize
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.utils.extmath import randomized_svd

from pixelpersona.pixel.mixture import Mixture, Moments, fit_mixture
from pixelpersona.pixel.pyxelate_kernels import median_3x3

Floats = NDArray[np.float64]

DITHERS = ("none",)

_FIT_SIDE = 256  # the palette is fitted on at most 256x256 pixels
_CONTRAST = 1.07  # colours are moved away from grey by this much, in the fit, the transform and the palette
_BRIGHTNESS = 1.19  # saturation and value after the local contrast
_PALETTE_STEP = 8  # palette colours are whole multiples of this
_RANK = 32  # of the low-rank copy that makes shapes blockier
_EXACT_SVD_SIDE = 256  # up to here all singular values are found sooner than 32 by random projection
_SEED, _SVD_SEED = 1234567, 1234
_KMEANS_ITERATIONS = 300
_MANY_CELLS = 4096


class Pyx:
    """`Pyx(factor=6, palette=32).fit(image).transform(image)`.

    factor: source pixels per art cell. palette: number of colours, 2 to 256. dither: "none".
    svd: draw from a copy of rank 32. sobel: side of the blocks that become a cell, 2 or more. depth: how many
    times blocks are reduced. alpha: opacity 0-1 from which a cell of an RGBA picture is drawn.
    Raises ValueError naming the parameter for anything else.
    """

    def __init__(
        self,
        factor: int = 6,
        palette: int = 32,
        dither: str = "none",
        svd: bool = True,
        sobel: int = 3,
        depth: int = 1,
        alpha: float = 0.6,
    ) -> None:
        if dither not in DITHERS:
            raise ValueError(f"dither: {dither!r} is not one of {', '.join(DITHERS)}")
        for name, value, low, high in (
            ("factor", factor, 1, 1024),
            ("palette", palette, 2, 256),
            ("sobel", sobel, 2, 16),
            ("depth", depth, 1, 4),
        ):
            if not low <= value <= high:
                raise ValueError(f"{name}: {value} is not from {low} to {high}")
        if not 0.0 < alpha <= 1.0:
            raise ValueError(f"alpha: {alpha} is not above 0 and at most 1")
        self.factor, self.palette, self.dither = factor, palette, dither
        self.svd, self.sobel, self.depth, self.alpha = svd, sobel, depth, alpha
        self._mixture: Mixture | None = None

    @property
    def mixture(self) -> Mixture:
        """The fitted colour model. Raises ValueError before fit()."""
        if self._mixture is None:
            raise ValueError("Pyx: call fit(image) first")
        return self._mixture

    @property
    def means(self) -> Floats:
        """Means of the components, float64 [K, 3] sRGB, about 0-1: the palette before boosts and rounding."""
        return self.mixture.means

    @property
    def colors(self) -> NDArray[np.uint8]:
        """The palette, uint8 [K, 3]; K is below `palette` only for pictures of fewer colours."""
        hsv = rgb2hsv(self.means)
        hsv[:, 1:] *= _CONTRAST
        levels = np.clip(hsv2rgb(hsv) * 255 // _PALETTE_STEP * _PALETTE_STEP, 0, 255)
        levels[levels < 2 * _PALETTE_STEP] = 0
        levels[levels > 255 - 2 * _PALETTE_STEP] = 255
        colors: NDArray[np.uint8] = levels.astype(np.uint8)
        return colors

    def fit(self, image: NDArray[np.uint8]) -> Self:
        """Find the palette of a picture, uint8 [H, W, 3] or [H, W, 4]; hidden colours do not count.

        Raises ValueError for another shape or dtype, or when no pixel is opaque.
        """
        _check(image)
        pixels = _boost(_fit_pixels(image, self.alpha))
        moments = Moments(len(pixels), pixels.mean(axis=0), np.cov(pixels.T, bias=True))
        points, counts = _color_cells(pixels)
        labels = _first_clusters(pixels, points, counts, self.palette)
        self._mixture = fit_mixture(points, counts, labels, moments)
        return self

    def transform(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture in cells: uint8 [H // factor, W // factor, 3], every colour one of `colors`.

        image: uint8 [H, W, 3], or [H, W, 4], which gives a fourth channel of 0 and 255.
        Raises ValueError for another shape or dtype, for a picture smaller than one cell, or before fit().
        """
        _check(image)
        rows, columns = image.shape[0] // self.factor, image.shape[1] // self.factor
        if min(rows, columns) < 1:
            raise ValueError(f"factor: {self.factor} pixels per cell leave no cell of {image.shape}")
        mixture = self.mixture
        reduction = self.sobel**self.depth
        source = image[..., :3] if image.shape[2] == 3 else _reveal(image, self.alpha)
        rgb = resize(source, (rows * reduction, columns * reduction), order=1, anti_aliasing=True)
        if self.svd:
            rgb = _low_rank(rgb)
        hsv = _local_contrast(rgb)
        for step in range(self.depth):
            if step:
                hsv = rgb2hsv(rgb)
            rgb = hsv2rgb(np.stack([median_3x3(hsv[..., c]) for c in range(3)], axis=-1))
            rgb = np.stack([_edge_weighted(rgb[..., c], self.sobel) for c in range(3)], axis=-1)
        cells = self.colors[mixture.most_probable(_boost(rgb))]
        if image.shape[2] == 3:
            return cells
        opacity = resize(image[..., 3], (rows, columns), order=1, anti_aliasing=True)
        return np.dstack([cells, np.where(opacity >= self.alpha, 255, 0).astype(np.uint8)])


def _check(image: NDArray[np.uint8]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4) or image.size == 0:
        raise ValueError(f"image: must be uint8 [H, W, 3] or [H, W, 4], not {image.dtype} {image.shape}")


def _boost(rgb: Floats) -> Floats:
    """Move values away from the middle grey."""
    return (rgb - 0.5) * _CONTRAST + 0.5


def _fit_pixels(image: NDArray[np.uint8], alpha: float) -> Floats:
    """At most 256x256 of the picture's colours, float64 [N, 3] 0-1; of RGBA the opaque pixels."""
    height, width = min(image.shape[0], _FIT_SIDE), min(image.shape[1], _FIT_SIDE)
    if image.shape[2] == 3:
        if image.shape[:2] == (height, width):
            return image.reshape(-1, 3) / 255.0
        small: Floats = resize(image, (height, width), order=1, anti_aliasing=False)
        return small.reshape(-1, 3)
    opaque = image[image[..., 3] >= alpha * 255.0]
    if len(opaque) == 0:
        raise ValueError(f"image: no pixel reaches the opacity alpha={alpha}")
    # Picked, not interpolated: a mean over an edge would bring hidden colours back.
    pick = np.linspace(0, len(opaque) - 1, min(len(opaque), _FIT_SIDE**2)).round().astype(np.int64)
    return opaque[pick, :3] / 255.0


def _color_cells(pixels: Floats) -> tuple[Floats, Floats]:
    """Pixels [N, 3] -> mean colours [M, 3] and numbers [M] of the members of each cell of the colour cube.

    7 bits per channel; 8 where that still gives few cells, as in grey pictures, whose palette is finer.
    """
    keys = _cell_keys(pixels, 8)
    _, cell, counts = np.unique(keys, return_inverse=True, return_counts=True)
    if len(counts) > _MANY_CELLS:
        _, cell, counts = np.unique(_cell_keys(pixels, 7), return_inverse=True, return_counts=True)
    sums = np.column_stack([np.bincount(cell, pixels[:, c], minlength=len(counts)) for c in range(3)])
    return sums / counts[:, None], counts.astype(np.float64)


def _cell_keys(pixels: Floats, bits: int) -> NDArray[np.int32]:
    """The number of each pixel's cell, with 2**bits cells per channel."""
    levels = np.clip(pixels * (1 << bits), 0, (1 << bits) - 1).astype(np.int32)
    keys: NDArray[np.int32] = (levels[:, 0] << 2 * bits) | (levels[:, 1] << bits) | levels[:, 2]
    return keys


def _first_clusters(pixels: Floats, points: Floats, counts: Floats, num_colors: int) -> NDArray[np.int64]:
    """k-means labels [M] of the colour cells; the first centres are drawn from the pixels as in upstream."""
    num_clusters = min(num_colors, len(points))
    middle = pixels.mean(axis=0)
    centers, _ = kmeans_plusplus(pixels - middle, num_clusters, random_state=_SEED)
    model = KMeans(num_clusters, init=centers, n_init=1, max_iter=_KMEANS_ITERATIONS)
    labels = model.fit(points - middle, sample_weight=counts).labels_
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)  # no gaps, should a cluster have died


def _reveal(image: NDArray[np.uint8], alpha: float) -> NDArray[np.uint8]:
    """RGB of an RGBA picture with hidden pixels showing the colour of the nearest visible one."""
    hidden = image[..., 3] < alpha * 255.0
    if hidden.all():
        return image[..., :3]
    nearest = distance_transform_edt(hidden, return_distances=False, return_indices=True)
    revealed: NDArray[np.uint8] = image[..., :3][tuple(nearest)]
    return revealed


def _low_rank(rgb: Floats) -> Floats:
    """Each channel's best approximation of rank 32; small pictures stay as they are."""
    if max(rgb.shape[:2]) - 1 <= _RANK:
        return rgb
    channels = []
    for c in range(3):
        if min(rgb.shape[:2]) <= _EXACT_SVD_SIDE:
            left, values, right = np.linalg.svd(rgb[..., c], full_matrices=False)
        else:
            left, values, right = randomized_svd(rgb[..., c], _RANK, n_iter=16, random_state=_SVD_SEED)
        channels.append((left[:, :_RANK] * values[:_RANK]) @ right[:_RANK])
    # Upstream divides by 255 once too often. The local contrast stretches the range again, but has only 257
    # levels of value left, and its histograms show that: the division belongs to the look.
    return np.clip(np.stack(channels, axis=-1) / 255.0, 0.0, 1.0)


def _local_contrast(rgb: Floats) -> Floats:
    """RGB -> HSV with the value equalised locally (CLAHE), then saturation and value raised."""
    hsv: Floats = rgb2hsv(rgb)
    hsv[..., 2] = equalize_adapthist(hsv[..., 2])
    hsv[..., 1:] *= _BRIGHTNESS
    np.clip(hsv, 0.0, 1.0, out=hsv)
    hsv[hsv[..., 2] == 0.0] = 0.0  # black has neither hue nor saturation
    return hsv


def _edge_weighted(channel: Floats, side: int) -> Floats:
    """Mean of every side x side block weighted by Sobel magnitude: [H, W] -> [H // side, W // side]."""
    rows, columns = channel.shape[0] // side, channel.shape[1] // side
    weight = sobel_magnitude(channel) + 1e-8  # a flat block is its plain mean
    blocks = (rows, side, columns, side)
    total = weight.reshape(blocks).sum(axis=(1, 3))
    mean: Floats = (weight * channel).reshape(blocks).sum(axis=(1, 3)) / total
    return mean
