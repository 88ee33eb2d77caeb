"""Where the grid of foreign pixel art lies: the cell's size and phase, found from the picture alone.

For pictures from elsewhere only. Where the grid is known - in everything this program draws or prepares - the
known grid is used, never a detected one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from pixelpersona.pixel.grid import Grid

_SMALLEST, _LARGEST = 2, 64  # pixels per cell
_FEWEST_LINES = 3  # inside the picture, on each axis: two edges lie at some distance by chance
_MARGIN = 0.1  # outside the first and last step above this share of the largest, the picture is empty


@dataclass(frozen=True, slots=True)
class DetectedGrid:
    """A grid of whole cells inside the picture, and how sure that is, 0-1.

    1 = every step of colour lies on a grid line and every line has one; a photo stays below 0.3.
    """

    grid: Grid
    confidence: float

    def crop(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Grid]:
        """The whole cells of a picture [H, W, C], and the same grid with its origin at their corner."""
        x, y = self.grid.origin
        part = image[y : y + self.grid.height, x : x + self.grid.width]
        return part, Grid(self.grid.columns, self.grid.rows, self.grid.cell)


def detect_grid(image: NDArray[np.uint8], min_confidence: float = 0.5) -> DetectedGrid | None:
    """The grid of square cells that art enlarged by a whole number was drawn on, or None.

    For cells of 2 to 64 pixels and every phase, on each axis: the share of all steps between neighbouring
    pixels that lies on the grid's lines, beyond what chance would put there, times how surely a step on a
    line is larger than one beside it. The first falls for grids that are too coarse, the second for those
    that are too fine, both for a wrong phase. Stands mild JPEG noise; does not find cells of a fractional
    size, enlargements that were smoothed, or art at its true size. Never used where the grid is known.

    image: uint8 [H, W, 3] sRGB. The grid begins at the first whole cell, so its origin is below the cell's
    size; what is left over at the far edges is not part of it.
    Raises ValueError for another shape, or min_confidence outside 0-1.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image: must be uint8 [H, W, 3], not {image.dtype} {image.shape}")
    if not 0.0 <= min_confidence <= 1.0:
        raise ValueError(f"min_confidence: {min_confidence} is not from 0 to 1")
    height, width = image.shape[:2]
    steps = [_steps(image, axis) for axis in (1, 0)]
    best: DetectedGrid | None = None
    for cell in range(_SMALLEST, min(_LARGEST, min(height, width) // (_FEWEST_LINES + 1)) + 1):
        (x, score_x), (y, score_y) = (_best_phase(step, cell) for step in steps)
        confidence = min(1.0, float(np.sqrt(score_x * score_y)))
        if confidence > (0.0 if best is None else best.confidence):
            grid = Grid((width - x) // cell, (height - y) // cell, cell, (x, y))
            best = DetectedGrid(grid, confidence)
    return best if best is not None and best.confidence >= min_confidence else None


def _steps(image: NDArray[np.uint8], axis: int) -> NDArray[np.float64]:
    """How much changes between pixel i and i + 1 along an axis, averaged over the other: float64 [N - 1].

    The root keeps one strong edge, such as an outline, from deciding alone. Empty margins are marked with -1:
    they say nothing about the grid.
    """
    difference = np.abs(np.diff(image.astype(np.int16), axis=axis)).sum(axis=2)
    steps = np.sqrt(difference.mean(axis=1 - axis))
    drawn = np.flatnonzero(steps > _MARGIN * steps.max(initial=0.0))
    marked = np.full(len(steps), -1.0)
    if len(drawn):
        marked[drawn[0] : drawn[-1] + 1] = steps[drawn[0] : drawn[-1] + 1]
    return marked


def _best_phase(steps: NDArray[np.float64], cell: int) -> tuple[int, float]:
    """The first whole cell's start, 0 to cell - 1, and the score 0-1 of that phase."""
    drawn = np.flatnonzero(steps >= 0.0)
    scores = np.zeros(cell)
    if len(drawn) < _FEWEST_LINES * cell + 1:
        return 0, 0.0
    values = steps[drawn]
    ranks = rankdata(values)
    phase = (drawn + 1) % cell  # step i lies before pixel i + 1
    for start in range(cell):
        on = phase == start
        num_on, num_off = int(on.sum()), int((~on).sum())
        # What changes beside the lines is the noise that lies on them as well.
        excess = np.maximum(values - np.median(values[~on]), 0.0)
        if num_on <= _FEWEST_LINES or not excess.any():
            continue
        share, chance = float(excess[on].sum() / excess.sum()), num_on / len(values)
        # Mann-Whitney: the chance that a step on a line is larger than one beside it, 0.5 for a blind guess.
        larger = (float(ranks[on].sum()) - num_on * (num_on + 1) / 2) / (num_on * num_off)
        scores[start] = max(0.0, (share - chance) / (1.0 - chance)) * max(0.0, 2.0 * larger - 1.0)
    start = int(scores.argmax())
    return start, float(scores[start])
