"""The downsamplers, each against its definition or another implementation."""

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut
from skimage.filters import sobel
from skimage.measure import block_reduce as zoom_out
from sklearn.cluster import KMeans

from pixelpersona.pixel import downsample
from pixelpersona.pixel.downsample import METHODS, cell_colors
from pixelpersona.pixel.grid import Grid, cut, render
from pixelpersona.pixel.palette import oklab_to_srgb, perceptual, perceptual_to_srgb, srgb_to_oklab
from tests.pixel.snapping import FACE

GRID = Grid(16, 16, 8)


def test_k_centroid_against_scikit_learn() -> None:
    """Cells with two clear clusters of different sizes get the larger one's mean, except for near ties."""
    ours = cell_colors(FACE, GRID, "k_centroid").reshape(-1, 3).astype(int)
    gaps = []
    for cell, color in zip(cut(FACE, GRID).reshape(-1, 64, 3), ours, strict=True):
        points = perceptual(cell / 255.0)
        model = KMeans(2, n_init=4, random_state=0).fit(points)
        share = np.bincount(model.labels_, minlength=2) / 64
        clear = model.inertia_ < 0.15 * ((points - points.mean(axis=0)) ** 2).sum()
        if clear and abs(share[0] - share[1]) > 0.1:
            expected = perceptual_to_srgb(model.cluster_centers_[share.argmax()]) * 255
            gaps.append(np.abs(color - expected).max())
    assert len(gaps) >= 20
    assert np.mean(np.array(gaps) <= 1.0) >= 0.9
    assert max(gaps) <= 8.0


def test_a_cell_on_an_edge_takes_the_larger_side() -> None:
    cell = np.full((8, 8, 3), 240, np.uint8)
    cell[:, :3] = (200, 30, 30)
    for method in ("k_centroid", "dominant", "median"):
        assert cell_colors(cell, Grid(1, 1, 8), method)[0, 0].tolist() == [240, 240, 240], method
    assert 30 < cell_colors(cell, Grid(1, 1, 8), "mean")[0, 0, 1] < 240


def test_dominant_against_counting() -> None:
    image = np.random.default_rng(0).integers(0, 48, (24, 24, 3), dtype=np.uint8)
    image = image // 16 * 16 + image % 3
    grid = Grid(3, 3, 8)
    ours = cell_colors(image, grid, "dominant")
    for row in range(3):
        for column in range(3):
            pixels = [tuple(int(v) for v in p) for p in cut(image, grid)[row, column].reshape(-1, 3)]
            boxes: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
            for pixel in pixels:
                boxes.setdefault(tuple(v // 16 for v in pixel), []).append(pixel)
            expected = np.mean(max(boxes.values(), key=len), axis=0)
            assert np.abs(ours[row, column] - expected).max() <= 0.5


def test_gradient_against_its_definition() -> None:
    ours = cell_colors(FACE, GRID, "gradient")
    for channel in range(3):
        values = FACE[..., channel] / 255.0
        weight = sobel(values)[24:32, 40:48]
        expected = (weight * values[24:32, 40:48]).sum() / weight.sum() * 255
        assert abs(ours[3, 5, channel] - expected) <= 0.51


def test_outline_against_its_definition() -> None:
    """One cell at an outline beside the face, one inside the face, and one without an edge."""
    photo = np.full((96, 96, 3), 200, np.uint8)
    photo[:, :10] = (40, 30, 20)  # 2 of 4 columns of the third cell: as many light as dark pixels
    photo[:, 21:] = (150, 110, 90)  # 1 of 4 columns of the sixth cell
    grid = Grid(24, 24, 4)
    ours = cell_colors(photo, grid, "outline").astype(int)
    assert np.abs(ours[2, 5] - (150, 110, 90)).max() <= 1  # the larger side
    assert np.abs(ours[2, 2] - (40, 30, 20)).max() <= 1  # of two equal sides the dark one
    assert np.abs(ours[2, 15] - (150, 110, 90)).max() <= 1
    photo[44:52, 45:47] = (30, 20, 20)  # an eye: half of a cell in the middle of the face
    colors = srgb_to_oklab(photo / 255.0)
    means = colors.reshape(24, 4, 24, 4, 3).mean(axis=(1, 3))
    around = np.einsum("yxc,y,x->c", means[10:13, 10:13], (0.25, 0.5, 0.25), (0.25, 0.5, 0.25))
    cell = colors[44:48, 44:48].reshape(-1, 3)
    weight = ((cell - around) ** 2).sum(axis=1, keepdims=True) + 0.02
    expected = oklab_to_srgb((weight * cell).sum(axis=0) / weight.sum()) * 255
    np.testing.assert_allclose(cell_colors(photo, grid, "outline")[11, 11], expected, atol=0.6)


def test_detail_against_its_definition() -> None:
    """The weights of one cell (Weber et al. 2016) from scikit-image's block means."""
    ours = cell_colors(FACE, GRID, "detail")
    lab = srgb_to_oklab(FACE / 255.0)
    means = np.stack([zoom_out(lab[..., c], (8, 8), np.mean) for c in range(3)], axis=-1)
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    around = (means[2:5, 4:7] * kernel[..., None]).sum(axis=(0, 1))
    pixels = lab[24:32, 40:48].reshape(-1, 3)
    weight = np.sqrt(((pixels - around) ** 2).sum(axis=1)) + 1e-4
    expected = oklab_to_srgb((pixels * weight[:, None]).sum(axis=0) / weight.sum()) * 255
    assert np.abs(ours[3, 5] - expected).max() <= 0.51


def test_detail_keeps_a_small_dark_eye() -> None:
    face = np.full((24, 24, 3), 220, np.uint8)
    face[11:14, 11:14] = 20
    grid = Grid(3, 3, 8)
    assert cell_colors(face, grid, "detail")[1, 1, 0] < 60 < 120 < cell_colors(face, grid, "mean")[1, 1, 0]


@pytest.mark.parametrize("cell", [2, 4, 5, 8])
def test_nearest_against_pillow(cell: int) -> None:
    grid = Grid(12, 9, cell)
    part = FACE[: grid.height, : grid.width]
    expected = Image.fromarray(part).resize((12, 9), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(cell_colors(part, grid, "nearest"), np.asarray(expected))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cell", [1, 2, 5])
def test_flat_cells_keep_their_colour(method: str, cell: int) -> None:
    cells = np.random.default_rng(1).integers(0, 256, (7, 6, 3), dtype=np.uint8)
    grid = Grid(6, 7, cell)
    np.testing.assert_array_equal(cell_colors(render(cells, grid), grid, method), cells)


@pytest.mark.parametrize("method", METHODS)
def test_cells_are_within_the_range_of_their_pixels(method: str) -> None:
    cells, ours = cut(FACE, GRID), cell_colors(FACE, GRID, method)
    if method in ("k_centroid", "detail"):  # means in OKLab may leave the range of an RGB channel
        ours = np.clip(ours, cells.min(axis=(2, 3)), cells.max(axis=(2, 3)))
    assert (ours >= cells.min(axis=(2, 3))).all()
    assert (ours <= cells.max(axis=(2, 3))).all()


@pytest.mark.parametrize("method", METHODS)
def test_processing_in_bands_gives_the_same_cells(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.ascontiguousarray(astronaut()[:120, 100:220])
    whole = cell_colors(image, Grid(20, 20, 6), method)
    monkeypatch.setattr(downsample, "_BAND", 3 * 120 * 6 * 3)  # three rows of cells
    np.testing.assert_array_equal(cell_colors(image, Grid(20, 20, 6), method), whole)
