"""The filter against scikit-image's: bit-identical in float64, and close to it in float32."""

import numpy as np
import pytest
from skimage.data import astronaut, coffee
from skimage.restoration import denoise_tv_chambolle

from pixelpersona.pixel.palette import srgb_to_oklab
from pixelpersona.pixel.total_variation import flatten

FACE = srgb_to_oklab(astronaut()[:128, 96:224] / 255.0)
PLANES = {
    "lightness": FACE[..., 0],
    "chroma": FACE[..., 1],
    "a larger picture": srgb_to_oklab(coffee() / 255.0)[..., 2],
    "noise": np.random.default_rng(0).random((37, 51)),
    "a row": FACE[:1, :, 0],
    "a column": FACE[:, :1, 0],
    "a pixel": np.full((1, 1), 0.3),
    "one tone": np.full((9, 7), 0.4),
}


@pytest.mark.parametrize("weight", [0.02, 0.07, 0.5])
@pytest.mark.parametrize("name", PLANES)
def test_bit_identical_to_scikit_image(name: str, weight: float) -> None:
    plane = np.ascontiguousarray(PLANES[name])
    before = plane.copy()
    flat = flatten(plane, weight)
    assert flat.dtype == np.float64
    np.testing.assert_array_equal(flat, denoise_tv_chambolle(plane, weight=weight))
    np.testing.assert_array_equal(plane, before)


@pytest.mark.parametrize("name", ["lightness", "chroma", "a larger picture"])
def test_float32_differs_by_far_less_than_an_8_bit_level(name: str) -> None:
    plane = np.ascontiguousarray(PLANES[name])
    flat = flatten(plane.astype(np.float32), 0.07)
    assert flat.dtype == np.float32
    np.testing.assert_allclose(flat, denoise_tv_chambolle(plane, weight=0.07), atol=0.1 / 255)
