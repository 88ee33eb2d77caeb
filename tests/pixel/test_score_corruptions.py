"""Which metrics a corruption changes, and in which direction; CIEDE2000 against the paper."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2lab

from pixelpersona.pixel.downsample import cell_colors
from pixelpersona.pixel.grid import Grid, render
from pixelpersona.pixel.palette import oklab_to_srgb, srgb_to_oklab, to_uint8
from pixelpersona.pixel.score import delta_e, grid_contrast, palette_error, structure
from tests.pixel.snapping import FACE, snap

GRID = Grid(32, 32, 4)
SNAPPED = snap(FACE, GRID)
ART, PALETTE = SNAPPED.image(), SNAPPED.palette

SCORES: dict[str, Callable[[np.ndarray], float]] = {
    "palette_error": palette_error,
    "grid_contrast": lambda image: grid_contrast(image, GRID),
    "structure": lambda image: structure(FACE, image, GRID),
    "delta_e": lambda image: delta_e(FACE, image, GRID),
}
SAME = {"structure": 0.03, "delta_e": 0.4}  # differences up to this count as unchanged


def blur(art: np.ndarray) -> np.ndarray:
    return gaussian_filter(art, (4, 4, 0))


def shift(art: np.ndarray) -> np.ndarray:
    return np.roll(art, (2, 2), axis=(0, 1))


def noise(art: np.ndarray) -> np.ndarray:
    noisy = art.astype(int) + np.random.default_rng(0).integers(-8, 9, art.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def wrong_palette(art: np.ndarray) -> np.ndarray:
    """Other colours of the same lightness: a and b of OKLab are exchanged."""
    colors = to_uint8(oklab_to_srgb(srgb_to_oklab(PALETTE.rgb / 255)[:, [0, 2, 1]]))
    return render(colors[SNAPPED.indices], GRID)


def wrong_cells(art: np.ndarray) -> np.ndarray:
    """One cell in ten gets a random colour of the palette: still on grid and palette."""
    rng = np.random.default_rng(0)
    wrong = rng.random((32, 32)) < 0.1
    return render(PALETTE.rgb[np.where(wrong, rng.integers(0, 16, (32, 32)), SNAPPED.indices)], GRID)


# + higher, - lower, = unchanged; in the order of SCORES
EXPECTED = {
    blur: "+--+",
    shift: "=--+",
    noise: "+-==",
    wrong_palette: "===+",
    wrong_cells: "==-+",
}


@pytest.mark.parametrize("corrupt", EXPECTED, ids=lambda corrupt: corrupt.__name__)
@pytest.mark.parametrize("score", SCORES)
def test_the_direction_of_every_metric(corrupt: Callable[[np.ndarray], np.ndarray], score: str) -> None:
    before, after = SCORES[score](ART), SCORES[score](corrupt(ART))
    tolerance = SAME.get(score, 1e-9)
    found = "=" if abs(after - before) <= tolerance else "+" if after > before else "-"
    assert found == EXPECTED[corrupt][list(SCORES).index(score)], (before, after)


def ciede2000(first: np.ndarray, second: np.ndarray) -> float:
    """Sharma, Wu & Dalal 2005, equations 2 to 22."""
    l1, a1, b1 = first
    l2, a2, b2 = second
    c_bar = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    g = 0.5 * (1 - math.sqrt(c_bar**7 / (c_bar**7 + 25**7)))
    c1, c2 = math.hypot((1 + g) * a1, b1), math.hypot((1 + g) * a2, b2)
    h1 = math.degrees(math.atan2(b1, (1 + g) * a1)) % 360
    h2 = math.degrees(math.atan2(b2, (1 + g) * a2)) % 360
    turn = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    dh = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn / 2))
    l_bar, c_bar = (l1 + l2) / 2, (c1 + c2) / 2
    h_bar = h1 + h2 if c1 * c2 == 0 else h1 + turn / 2
    t = 1 - 0.17 * math.cos(math.radians(h_bar - 30)) + 0.24 * math.cos(math.radians(2 * h_bar))
    t += 0.32 * math.cos(math.radians(3 * h_bar + 6)) - 0.2 * math.cos(math.radians(4 * h_bar - 63))
    s_l = 1 + 0.015 * (l_bar - 50) ** 2 / math.sqrt(20 + (l_bar - 50) ** 2)
    s_c, s_h = 1 + 0.045 * c_bar, 1 + 0.015 * c_bar * t
    theta = 30 * math.exp(-((((h_bar % 360) - 275) / 25) ** 2))
    r_t = -2 * math.sqrt(c_bar**7 / (c_bar**7 + 25**7)) * math.sin(math.radians(2 * theta))
    l_term, c_term, h_term = (l2 - l1) / s_l, (c2 - c1) / s_c, dh / s_h
    return math.sqrt(l_term**2 + c_term**2 + h_term**2 + r_t * c_term * h_term)


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ],
)
def test_our_ciede2000_against_the_papers_test_data(
    first: tuple[float, ...], second: tuple[float, ...], difference: float
) -> None:
    assert ciede2000(np.array(first), np.array(second)) == pytest.approx(difference, abs=1e-4)


def test_delta_e_is_the_mean_ciede2000() -> None:
    photo, art = (rgb2lab(cell_colors(image, GRID, "mean")).reshape(-1, 3) for image in (FACE, ART))
    expected = np.mean([ciede2000(a, b) for a, b in zip(photo, art, strict=True)])
    assert delta_e(FACE, ART, GRID) == pytest.approx(expected, rel=1e-9)
    assert delta_e(FACE, FACE, GRID) == 0.0
    black, white = np.zeros_like(FACE), np.full_like(FACE, 255)
    assert delta_e(black, white, GRID) == pytest.approx(100.0, abs=0.01)


def test_delta_e_rejects_another_grid() -> None:
    with pytest.raises(ValueError, match="grid"):
        delta_e(FACE, FACE, Grid(31, 32, 4))
