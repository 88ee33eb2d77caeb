"""The grid: pixels of cells, and cells as pixels."""

import numpy as np
import pytest

from pixelpersona.pixel.grid import Grid, cut, render


def random_cells(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), dtype=np.uint8)


def test_of_covers_the_image() -> None:
    grid = Grid.of(128, 96, 4)
    assert (grid.columns, grid.rows, grid.cell, grid.origin) == (32, 24, 4, (0, 0))
    assert (grid.width, grid.height) == (128, 96)


@pytest.mark.parametrize(("width", "height", "cell"), [(130, 128, 4), (128, 130, 4), (2, 2, 4), (8, 8, 0)])
def test_of_rejects_a_cell_that_does_not_divide_the_image(width: int, height: int, cell: int) -> None:
    with pytest.raises(ValueError, match=f"{cell} pixels"):
        Grid.of(width, height, cell)


@pytest.mark.parametrize("values", [(0, 4, 4), (4, 0, 4), (4, 4, 0)])
def test_an_empty_grid_raises(values: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Grid(*values)


def test_render_is_the_kronecker_product_with_ones() -> None:
    cells = random_cells(5, 7)
    image = render(cells, Grid(7, 5, 3))
    expected = np.stack([np.kron(cells[..., c], np.ones((3, 3), np.uint8)) for c in range(3)], axis=-1)
    np.testing.assert_array_equal(image, expected)


def test_cut_undoes_render() -> None:
    grid, cells = Grid(7, 5, 3), random_cells(5, 7)
    blocks = cut(render(cells, grid), grid)
    assert blocks.shape == (5, 7, 3, 3, 3)
    assert (blocks == cells[:, :, None, None, :]).all()


def test_an_origin_shifts_the_cells() -> None:
    cells = random_cells(4, 4)
    image = np.pad(render(cells, Grid(4, 4, 4)), ((3, 1), (2, 2), (0, 0)))
    assert (cut(image, Grid(4, 4, 4, origin=(2, 3)))[:, :, 0, 0] == cells).all()
    with pytest.raises(ValueError, match="16x16"):
        cut(image, Grid(4, 4, 4, origin=(8, 8)))


def test_a_grid_of_another_size_raises() -> None:
    with pytest.raises(ValueError, match="12x12"):
        cut(np.zeros((16, 16, 3), np.uint8), Grid(3, 3, 4))
    with pytest.raises(ValueError, match="rows=3"):
        render(random_cells(2, 3), Grid(3, 3, 4))
