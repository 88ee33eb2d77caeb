"""Properties of Pyxelate for random images and settings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelpersona.pixel.dither import DITHERS
from pixelpersona.pixel.pyxelate import Pyx

KINDS = ("noise", "flat", "gradient", "two", "grey")


def picture(kind: str, height: int, width: int, channels: int, random_seed: int) -> np.ndarray:
    rng = np.random.default_rng(random_seed)
    image = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
    if kind == "flat":
        image[...] = image[0, 0]
    elif kind == "gradient":
        image[...] = np.linspace(0, 255, width)[None, :, None].astype(np.uint8)
    elif kind == "two":
        image[...] = np.where(image[..., :1] > 127, image[0, 0], image[-1, -1])
    elif kind == "grey":
        image[..., :3] = image[..., :1]
    return image


@st.composite
def pictures(draw: st.DrawFn) -> np.ndarray:
    height, width = draw(st.integers(2, 40)), draw(st.integers(2, 40))
    return picture(
        draw(st.sampled_from(KINDS)), height, width, draw(st.sampled_from((3, 4))), draw(st.integers(0, 99))
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    image=pictures(),
    factor=st.integers(1, 50),
    palette=st.integers(2, 40),
    dither=st.sampled_from(sorted(DITHERS)),
    sobel=st.integers(2, 4),
    svd=st.booleans(),
    fit=st.sampled_from(("fast", "exact")),
)
def test_the_number_of_cells_or_an_error(
    image: np.ndarray, factor: int, palette: int, dither: str, sobel: int, svd: bool, fit: str
) -> None:
    pyx = Pyx(factor=factor, palette=palette, dither=dither, sobel=sobel, svd=svd, fit=fit)  # type: ignore[arg-type]
    hidden = image.shape[2] == 4 and bool((image[..., 3] < 0.6 * 255).all())
    if hidden or min(image.shape[:2]) < factor:
        with pytest.raises(
            ValueError, match=r"^image: no pixel" if hidden else r"^factor=\d+: leaves no cell"
        ):
            pyx.fit_transform(image)
        return
    cells = pyx.fit_transform(image)
    height, width, channels = image.shape
    assert cells.shape == (height // factor, width // factor, channels)
    assert cells.dtype == np.uint8
    assert 1 <= len(pyx.colors) <= palette
    assert {tuple(c) for c in cells[..., :3].reshape(-1, 3)} <= {tuple(c) for c in pyx.colors}
    assert set(np.unique(cells[..., 3:])) <= {0, 255}
    assert np.isfinite(pyx.means).all()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    image=pictures(),
    height=st.none() | st.integers(1, 30),
    width=st.none() | st.integers(1, 30),
    upscale=st.integers(1, 3),
    num_colors=st.integers(2, 9),
    dither=st.sampled_from(sorted(DITHERS)),
)
def test_sizes_and_given_palettes(
    image: np.ndarray, height: int | None, width: int | None, upscale: int, num_colors: int, dither: str
) -> None:
    image = image[..., :3]
    palette = np.random.default_rng(num_colors).integers(0, 256, (num_colors, 3))
    pyx = Pyx(height, width, upscale=upscale, palette=palette, dither=dither).fit(image)  # type: ignore[arg-type]
    high, wide = image.shape[:2]
    asked = (height or int((width or 0) / wide * high), width or int((height or 0) / high * wide))
    if height is None and width is None:
        asked = (high // 6, wide // 6)
    if min(asked) < 1:
        with pytest.raises(ValueError, match=r"^(factor|height|width)=\d+: leaves no cell"):
            pyx.transform(image)
        return
    cells = pyx.transform(image)
    assert cells.shape == (asked[0] * upscale, asked[1] * upscale, 3)
    assert {tuple(c) for c in cells.reshape(-1, 3)} <= {tuple(c) for c in palette.tolist()}


@settings(max_examples=15, deadline=None, derandomize=True)
@given(image=pictures(), dither=st.sampled_from(sorted(DITHERS)))
def test_results_do_not_depend_on_earlier_calls(image: np.ndarray, dither: str) -> None:
    image[..., 3:] |= 192
    first = Pyx(factor=2, palette=6, dither=dither).fit_transform(image)
    Pyx(factor=3, palette=5).fit(image[::-1])
    second = Pyx(factor=2, palette=6, dither=dither).fit_transform(image.copy())
    np.testing.assert_array_equal(first, second)
