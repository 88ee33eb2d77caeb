"""Pyxelate's palette: the colour mixture fitted to an image, freely or for given colours."""

import numpy as np
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.transform import resize
from sklearn.cluster import KMeans

from pixelpersona.pixel.color_cells import ColorCells, color_cells, morton_order
from pixelpersona.pixel.kmeans import first_centers, kmeans
from pixelpersona.pixel.mixture import Mixture, Moments, Prior, fit_mixture, label_sums
from pixelpersona.pixel.resample import resize_linear
from pixelpersona.pixel.transparency import check_visible

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

FIT_SIDE = 256  # the palette is fitted to at most 256x256 pixels
_CHUNK = 2**20  # pixels
_CONTRAST = 1.07  # factor on the difference from middle grey, in the fit and the transform
_SEED = 1234567
_MARGIN = {True: 30.0, False: 11.0}  # of the mixture, in bits; by `exact`
_TRANSFER_CONCENTRATION = 1e-7
_TRANSFER_HUE, _TRANSFER_LIGHTNESS = 3.0, 2.0  # kH and kL of CIEDE2000


def boost(rgb: Floats) -> Floats:
    """Increase the contrast: move values away from middle grey."""
    return (rgb - 0.5) * _CONTRAST + 0.5


def fit_pixels(image: NDArray[np.uint8], alpha: float, exact: bool) -> Floats:
    """At most 256x256 colours of the image, float64 [N, 3] of 0-1; of an RGBA image only opaque pixels.

    exact: bit-identical to upstream, because the last bit decides between equally near centres.
    Raises ValueError when no pixel is opaque.
    """
    if image.shape[2] == 3:
        height, width = min(image.shape[0], FIT_SIDE), min(image.shape[1], FIT_SIDE)
        if exact:
            small: Floats = resize(image, (height, width), order=1, anti_aliasing=False)
            return small.reshape(-1, 3)
        return resize_linear(image, height, width, anti_aliasing=False).reshape(3, -1).T.copy()
    check_visible(image, alpha)
    return _opaque_sample(image.reshape(-1, 4), alpha) / 255.0


def _opaque_sample(pixels: NDArray[np.uint8], alpha: float) -> NDArray[np.uint8]:
    """At most 256x256 of the opaque pixels, evenly spaced, uint8 [N, 4] -> [M, 3].

    Sampled, not interpolated: interpolation would mix in hidden colours at the edges. In chunks, because
    numpy needs 16 bytes of index for each pixel that a mask selects. At least one pixel must be opaque.
    """
    threshold = alpha * 255.0
    num_opaque = int(np.count_nonzero(pixels[:, 3] >= threshold))
    pick = np.linspace(0, num_opaque - 1, min(num_opaque, FIT_SIDE**2)).round().astype(np.int64)
    picked, num_seen = [], 0
    for start in range(0, len(pixels), _CHUNK):
        chunk = pixels[start : start + _CHUNK]
        opaque = chunk[chunk[:, 3] >= threshold, :3]
        first, last = np.searchsorted(pick, (num_seen, num_seen + len(opaque)))
        picked.append(opaque[pick[first:last] - num_seen])
        num_seen += len(opaque)
    return np.concatenate(picked)


def find_palette(pixels: Floats, num_colors: int, exact: bool) -> Mixture:
    """Fit at most `num_colors` components to pixels, float64 [N, 3] of 0-1; the means are in boosted colours.

    exact: scikit-learn's k-means and the mixture on all pixels, as upstream. Otherwise the k-means of
    `kmeans`, also on all pixels because the mixture depends on its start, and the mixture on fine colour
    cells.
    """
    cells = color_cells(np.ascontiguousarray(pixels.T))
    num_clusters = min(num_colors, len(cells.counts))
    if not exact:
        return _fast_palette(pixels, cells, num_clusters)
    boosted = boost(pixels)
    moments = _moments(boosted)
    model = KMeans(num_clusters, n_init=1, random_state=np.random.RandomState(_SEED))
    labels = _without_gaps(model.fit(boosted).labels_[cells.order])
    points, counts = boosted[cells.order], np.ones(len(pixels))
    sums = label_sums(points, counts, labels, moments, int(labels.max()) + 1)
    return fit_mixture(points, counts, sums, moments, margin=_MARGIN[exact])


def _fast_palette(pixels: Floats, cells: ColorCells, num_clusters: int) -> Mixture:
    """The mixture on colour cells. Colours are columns, [3, N], relative to the mean."""
    columns = boost(np.ascontiguousarray(pixels.T))
    mean = columns.mean(axis=1)
    columns -= mean[:, None]
    moments = Moments(len(pixels), mean, columns @ columns.T / len(pixels))
    colors = boost(cells.colors)
    start = first_centers(columns, colors - mean[:, None], cells.counts, num_clusters, _SEED)
    _, sums = kmeans(columns[:, cells.order], start)
    alive = sums[:, 0] > 0.0
    return fit_mixture(colors.T, cells.counts, sums[alive], moments, margin=_MARGIN[False])


def transfer_palette(pixels: Floats, palette: NDArray[np.uint8], exact: bool) -> Mixture:
    """Fit one component for each given colour, uint8 [K, 3]: the image's colours that it represents.

    Components start from the pixels nearest to their colour (CIEDE2000); a Dirichlet process prior suppresses
    colours that the image does not need. pixels: float64 [N, 3] of 0-1.
    """
    size = len(palette)
    prior = Prior(_TRANSFER_CONCENTRATION, 1.0 / size, process=True, mean=palette.mean(axis=0) / 255.0)
    if exact:
        points = pixels[morton_order(np.ascontiguousarray(pixels.T))]
        counts = np.ones(len(points))
    else:
        cells = color_cells(np.ascontiguousarray(pixels.T))
        points, counts = np.ascontiguousarray(cells.colors.T), cells.counts
    moments = _moments(pixels)
    sums = label_sums(points, counts, _nearest_given(points, palette), moments, size)
    return fit_mixture(points, counts, sums, moments, prior=prior, margin=_MARGIN[exact])


def _nearest_given(points: Floats, palette: NDArray[np.uint8]) -> Labels:
    """Index of the given colour nearest to each point, int64 [N]; the first of a tie."""
    lab = rgb2lab(points)
    labels = np.zeros(len(points), dtype=np.int64)
    least = np.full(len(points), np.inf)
    for k, color in enumerate(rgb2lab(palette / 255.0)):
        distance = deltaE_ciede2000(lab, color[None], kH=_TRANSFER_HUE, kL=_TRANSFER_LIGHTNESS)
        labels[distance < least] = k
        np.minimum(least, distance, out=least)
    return labels


def _moments(pixels: Floats) -> Moments:
    mean = pixels.mean(axis=0)
    centered = pixels - mean
    return Moments(len(pixels), mean, centered.T @ centered / len(pixels))


def _without_gaps(labels: NDArray[np.integer]) -> Labels:
    """The labels renumbered without gaps, in case a cluster is empty."""
    used = np.bincount(labels) > 0
    renumbered: Labels = (np.cumsum(used) - 1)[labels].astype(np.int64)
    return renumbered
