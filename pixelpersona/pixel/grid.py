"""The grid of art cells: which pixels belong to which cell, in every stage."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image8 = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Grid:
    """`columns` x `rows` square cells of `cell` pixels; `origin` is the first cell's upper left pixel (x, y).

    Raises ValueError when columns, rows or cell is below 1, or the origin is negative.
    """

    columns: int
    rows: int
    cell: int
    origin: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if min(self.columns, self.rows, self.cell) < 1:
            raise ValueError(f"grid: columns, rows and cell must be at least 1, not {self}")
        if min(self.origin) < 0:
            raise ValueError(f"grid: the origin must not be negative, not {self.origin}")

    @classmethod
    def of(cls, width: int, height: int, cell: int) -> "Grid":
        """The grid that covers an image of width x height pixels exactly.

        Raises ValueError when `cell` does not divide both sides.
        """
        if cell < 1 or width < cell or height < cell or width % cell or height % cell:
            raise ValueError(f"grid: cells of {cell} pixels do not divide {width}x{height} pixels")
        return cls(width // cell, height // cell, cell)

    @property
    def width(self) -> int:
        """Width of all columns, pixels."""
        return self.columns * self.cell

    @property
    def height(self) -> int:
        """Height of all rows, pixels."""
        return self.rows * self.cell

    def crop(self, image: Image8) -> Image8:
        """The part of uint8 [H, W, C] that the grid covers, a view [height, width, C].

        Raises ValueError when the grid does not fit: with the origin at (0, 0) the image must have exactly
        the grid's size, with another origin it may be larger.
        """
        x, y = self.origin
        height, width = image.shape[:2]
        fits = (height, width) == (self.height, self.width)
        if self.origin != (0, 0):
            fits = height >= y + self.height and width >= x + self.width
        if image.ndim != 3 or not fits:
            raise ValueError(
                f"grid: {self.columns}x{self.rows} cells of {self.cell} pixels from {self.origin} "
                f"need an image of {self.width}x{self.height} pixels, not shape {image.shape}"
            )
        return image[y : y + self.height, x : x + self.width]


def cut(image: Image8, grid: Grid) -> Image8:
    """uint8 [H, W, C] -> the pixels of each cell, uint8 [rows, columns, cell, cell, C], a view if possible.

    Raises ValueError when the grid does not fit the image.
    """
    part = grid.crop(image)
    channels = part.shape[2]
    blocks = part.reshape(grid.rows, grid.cell, grid.columns, grid.cell, channels)
    return blocks.transpose(0, 2, 1, 3, 4)


def render(cells: Image8, grid: Grid) -> Image8:
    """uint8 [rows, columns, C] -> uint8 [height, width, C] with cell x cell equal pixels per cell.

    Raises ValueError when the shape does not match the grid.
    """
    if cells.ndim != 3 or cells.shape[:2] != (grid.rows, grid.columns):
        raise ValueError(f"grid: {cells.shape} is not [rows={grid.rows}, columns={grid.columns}, channels]")
    return np.repeat(np.repeat(cells, grid.cell, axis=0), grid.cell, axis=1)
