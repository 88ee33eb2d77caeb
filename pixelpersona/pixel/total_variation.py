"""Total-variation denoising: flat surfaces with sharp outlines.

Chambolle 2004, "An algorithm for total variation minimization and applications". Bit-identical to
scikit-image's `denoise_tv_chambolle` in float64, with three temporary arrays of the image's size instead of a
dozen.
"""

import numpy as np
from numpy.typing import NDArray

from pixelpersona.pixel.kernel import kernel

Plane = NDArray[np.float32] | NDArray[np.float64]
Real = np.float32 | np.float64

_TOLERANCE = 2e-4  # converged when the cost changes by less than this fraction of the first cost
_MAX_STEPS = 200
_STEP = 0.25  # 1 / (2 * number of dimensions), which guarantees convergence


def flatten(plane: Plane, weight: float) -> Plane:
    """The plane u that minimises sum(weight * |gradient of u| + (u - plane)² / 2), as a new array.

    plane: float32 or float64 [H, W], contiguous; computed in its precision. weight: above 0; variations far
    below it are flattened.
    """
    of = plane.dtype.type
    flat: Plane = _minimum(plane, weight, of(1.0), of(_STEP), of(_STEP / weight))
    return flat


@kernel(error_model="numpy")
def _minimum(plane: Plane, weight: float, one: Real, step: Real, share: Real) -> Plane:
    """plane minus the divergence of the dual field (down, right), found by fixed-point iterations.

    one, step, share: in the plane's precision, because numba would otherwise compute in float64.
    """
    height, width = plane.shape
    flat, down, right = np.empty_like(plane), np.zeros_like(plane), np.zeros_like(plane)
    rows = np.empty((4, width), plane.dtype)
    moved, below, beside, slope = rows[0], rows[1], rows[2], rows[3]
    first = previous = 0.0
    for number in range(_MAX_STEPS):
        distance, variation = 0.0, 0.0
        for y in range(height + 1):
            # A row of `flat` needs the field before its update, in this row and in the one above.
            if y < height:
                _divergence(down, right, y, moved)
                for x in range(width):
                    flat[y, x] = plane[y, x] + moved[x]
                distance += _sum_of_squares(moved)
            if y > 0:
                _gradient(flat, y - 1, below, beside)
                _push(down[y - 1], right[y - 1], below, beside, slope, one, step, share)
                variation += _sum(slope)
        cost = (distance + weight * variation) / (height * width)
        if number == 0:
            first = cost
        elif abs(previous - cost) < _TOLERANCE * first:
            break
        previous = cost
    return flat


@kernel
def _divergence(down: Plane, right: Plane, y: int, moved: Plane) -> None:
    """Write minus the divergence in row y to moved [W]."""
    width = down.shape[1]
    for x in range(width):
        moved[x] = -(down[y, x] + right[y, x])
    if y > 0:
        for x in range(width):
            moved[x] += down[y - 1, x]
    for x in range(1, width):
        moved[x] += right[y, x - 1]


@kernel
def _gradient(flat: Plane, y: int, below: Plane, beside: Plane) -> None:
    """Write the differences to the next row and column to below and beside [W]; 0 at the edge."""
    height, width = flat.shape
    below[:] = 0.0
    if y < height - 1:
        for x in range(width):
            below[x] = flat[y + 1, x] - flat[y, x]
    for x in range(width - 1):
        beside[x] = flat[y, x + 1] - flat[y, x]
    beside[width - 1] = 0.0


@kernel(error_model="numpy")
def _push(
    down: Plane,
    right: Plane,
    below: Plane,
    beside: Plane,
    slope: Plane,
    one: Real,
    step: Real,
    share: Real,
) -> None:
    """Update the field in one row in place; write the gradient's magnitude to slope [W]."""
    for x in range(down.shape[0]):
        slope[x] = np.sqrt(below[x] * below[x] + beside[x] * beside[x])
    for x in range(down.shape[0]):
        scale = slope[x] * share + one
        down[x] = (down[x] - step * below[x]) / scale
        right[x] = (right[x] - step * beside[x]) / scale


# Sums in raster order, separate from the loops above, so that those can be vectorised.


@kernel
def _sum(values: Plane) -> float:
    total = 0.0
    for x in range(values.shape[0]):
        total += values[x]
    return total


@kernel
def _sum_of_squares(values: Plane) -> float:
    total = 0.0
    for x in range(values.shape[0]):
        total += np.float64(values[x]) * values[x]
    return total
