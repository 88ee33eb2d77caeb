"""Which score a corruption moves, which way, and which not; and the newer scores by their definitions."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2lab
from skimage.data import astronaut

from pixelpersona.pixel.cleanup import orphans
from pixelpersona.pixel.downsample import cell_colors
from pixelpersona.pixel.grid import Grid, render
from pixelpersona.pixel.palette import Palette, oklab_to_srgb, srgb_to_oklab, to_uint8
from pixelpersona.pixel.score import (
    delta_e,
    edge_agreement,
    grid_contrast,
    num_colors,
    orphan_rate,
    palette_adherence,
    palette_error,
    structure,
)
from pixelpersona.pixel.snap import snap

GRID = Grid(32, 32, 4)
PHOTO = np.ascontiguousarray(astronaut()[:256:2, 96:352:2])
SNAPPED = snap(PHOTO, GRID)
ART, PALETTE = SNAPPED.image(), SNAPPED.palette

SCORES: dict[str, Callable[[np.ndarray], float]] = {
    "num_colors": num_colors,
    "palette_error": palette_error,
    "palette_adherence": lambda image: palette_adherence(image, PALETTE),
    "grid_contrast": lambda image: grid_contrast(image, GRID),
    "orphan_rate": lambda image: orphan_rate(image, GRID),
    "structure": lambda image: structure(PHOTO, image, GRID),
    "edge_agreement": lambda image: edge_agreement(PHOTO, image, GRID),
    "delta_e": lambda image: delta_e(PHOTO, image, GRID),
}
SAME = {"structure": 0.03, "edge_agreement": 0.03, "delta_e": 0.4}  # how much still counts as unchanged


def blur(art: np.ndarray) -> np.ndarray:
    return gaussian_filter(art, (4, 4, 0))


def shift(art: np.ndarray) -> np.ndarray:
    return np.roll(art, (2, 2), axis=(0, 1))


def noise(art: np.ndarray) -> np.ndarray:
    noisy = art.astype(int) + np.random.default_rng(0).integers(-8, 9, art.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def wrong_palette(art: np.ndarray) -> np.ndarray:
    """Every colour becomes another of the same lightness: a and b of OKLab change places."""
    colors = to_uint8(oklab_to_srgb(srgb_to_oklab(PALETTE.rgb / 255)[:, [0, 2, 1]]))
    return render(colors[SNAPPED.indices], GRID)


def wrong_cells(art: np.ndarray) -> np.ndarray:
    """One cell in ten takes a random colour of the palette: the drawing suffers, grid and palette do not."""
    rng = np.random.default_rng(0)
    wrong = rng.random((32, 32)) < 0.1
    return render(PALETTE.rgb[np.where(wrong, rng.integers(0, 16, (32, 32)), SNAPPED.indices)], GRID)


# + up, - down, = unchanged; in the order of SCORES
EXPECTED = {
    blur: "++--+--+",
    shift: "===-+--+",
    noise: "++--+===",
    wrong_palette: "==-====+",
    wrong_cells: "====+--+",
}


@pytest.mark.parametrize("corrupt", EXPECTED, ids=lambda corrupt: corrupt.__name__)
@pytest.mark.parametrize("score", SCORES)
def test_corruptions_move_each_score_only_as_they_should(
    corrupt: Callable[[np.ndarray], np.ndarray], score: str
) -> None:
    before, after = SCORES[score](ART), SCORES[score](corrupt(ART))
    tolerance = SAME.get(score, 1e-9)
    found = "=" if abs(after - before) <= tolerance else "+" if after > before else "-"
    assert found == EXPECTED[corrupt][list(SCORES).index(score)], (before, after)


def ciede2000(first: np.ndarray, second: np.ndarray) -> float:
    """Sharma, Wu and Dalal 2005, equations 2 to 22, word for word."""
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
    [  # from the paper's table of test data
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ],
)
def test_our_reading_of_the_paper(
    first: tuple[float, ...], second: tuple[float, ...], difference: float
) -> None:
    assert ciede2000(np.array(first), np.array(second)) == pytest.approx(difference, abs=1e-4)


def test_delta_e_by_the_paper() -> None:
    photo, art = (rgb2lab(cell_colors(image, GRID, "mean")).reshape(-1, 3) for image in (PHOTO, ART))
    expected = np.mean([ciede2000(a, b) for a, b in zip(photo, art, strict=True)])
    assert delta_e(PHOTO, ART, GRID) == pytest.approx(expected, rel=1e-9)
    assert delta_e(PHOTO, PHOTO, GRID) == 0.0
    black, white = np.zeros_like(PHOTO), np.full_like(PHOTO, 255)
    assert delta_e(black, white, GRID) == pytest.approx(100.0, abs=0.01)


def test_orphan_rate_is_the_share_of_orphans() -> None:
    assert orphan_rate(ART, GRID) == pytest.approx(orphans(SNAPPED.indices).mean())
    assert orphan_rate(np.zeros((4, 4, 3), np.uint8), Grid(1, 1, 4)) == 0.0
    assert orphan_rate(PHOTO, GRID) > 0.9


def test_palette_adherence_by_counting() -> None:
    assert palette_adherence(ART, PALETTE, 0.0) == 1.0
    one = Palette(PALETTE.rgb[3:4])
    assert palette_adherence(ART, one, 0.0) == pytest.approx((SNAPPED.indices == 3).mean())
    assert palette_adherence(ART, one, 2.0) == 1.0
    with pytest.raises(ValueError, match="tolerance"):
        palette_adherence(ART, PALETTE, -0.1)


def test_edge_agreement_of_known_pictures() -> None:
    assert edge_agreement(PHOTO, PHOTO, GRID) == pytest.approx(1.0)
    grey = np.repeat(PHOTO.mean(axis=2, keepdims=True), 3, axis=2)
    paler = to_uint8(0.5 + 0.4 * (grey / 255 - 0.5))
    assert edge_agreement(to_uint8(grey / 255), paler, GRID) > 0.97  # contrast is not seen
    assert edge_agreement(PHOTO, 255 - PHOTO, GRID) < -0.9
    assert abs(edge_agreement(PHOTO, np.ascontiguousarray(PHOTO[:, ::-1]), GRID)) < 0.5
    assert edge_agreement(PHOTO, np.zeros_like(PHOTO), GRID) == 0.0


@pytest.mark.parametrize("score", [edge_agreement, delta_e])
def test_another_grid_is_refused(score: Callable[..., float]) -> None:
    with pytest.raises(ValueError, match="grid"):
        score(PHOTO, PHOTO, Grid(31, 32, 4))
