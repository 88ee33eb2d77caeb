"""Each corruption of portraits worsens the metrics that measure it, and leaves others unchanged.

The uncorrupted pictures are the pixel art of the photos, which is also the reference art.
"""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from pixelpersona.assets.locate import path as asset
from pixelpersona.evaluation.compare import Benchmark, differences, score_variant
from pixelpersona.evaluation.distribution import fid, kid
from pixelpersona.evaluation.result import METRICS, Difference, EvalResults
from pixelpersona.models.features import PersonaFeatures
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pixelator import pixelize

NUM, CELL = 20, 4
ALIGNED = Pixelation(
    factor=CELL, palette=16, fit="kmeans", downsample="detail", levels=0.6, flatness=0.07,
    local_contrast=0.7, saturation=1.25, min_distance=0.05, coherence=0.12, cleanup=True,
)  # fmt: skip

Pictures = NDArray[np.uint8]


@pytest.fixture(scope="module")
def photos() -> Pictures:
    files = sorted(asset("portraits").glob("*.webp"))[:NUM]
    return np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])


@pytest.fixture(scope="module")
def art(photos: Pictures) -> Pictures:
    return np.stack([pixelize(photo, ALIGNED)[0] for photo in photos])


@pytest.fixture(scope="module")
def features() -> PersonaFeatures:
    return PersonaFeatures()


@pytest.fixture(scope="module")
def benchmark_set(photos: Pictures, art: Pictures, features: PersonaFeatures) -> Benchmark:
    return Benchmark(
        [Image.fromarray(photo) for photo in photos],
        [str(i) for i in range(NUM)],
        list(range(NUM)),
        [Image.fromarray(picture) for picture in art],
        features,
        cell=CELL,
        num_colors=16,
        base_sha256="base",
    )


def untouched(pictures: Pictures) -> Pictures:
    return pictures


def blur(pictures: Pictures) -> Pictures:
    return gaussian_filter(pictures, (0, 3, 3, 0))


def shifted_grid(pictures: Pictures) -> Pictures:
    return np.roll(pictures, (CELL // 2, CELL // 2), axis=(1, 2))


def wrong_palette(pictures: Pictures) -> Pictures:
    """Red and blue swapped: the same number of colours, but others."""
    return np.ascontiguousarray(pictures[..., ::-1])


def wrong_person(pictures: Pictures) -> Pictures:
    return np.roll(pictures, 1, axis=0)


# Metrics that must get worse, with an interval of the paired difference that excludes 0.
SEEN_BY = {
    blur: {"grid_contrast_raw", "palette_error_raw"},
    shifted_grid: {"grid_contrast_raw"},
    wrong_palette: {"delta_e_raw"},
    wrong_person: {"likeness_raw", "likeness_top1_raw", "structure_raw"},
}
# Metrics of something else, which must not change at all.
NOT_SEEN_BY = {
    blur: set[str](),
    shifted_grid: {"palette_error_raw"},
    wrong_palette: {"grid_contrast_raw"},
    wrong_person: {"grid_contrast_raw", "palette_error_raw"},
}
# Whether KID and FID must get worse or must not; None: no expectation.
SET_SEES = {blur: True, shifted_grid: None, wrong_palette: True, wrong_person: False}


def compared(
    benchmark_set: Benchmark, art: Pictures, corrupt: Callable[[Pictures], Pictures]
) -> tuple[dict[str, Difference], dict[str, tuple[float, float]]]:
    """Differences of corrupted minus original pictures; before and lower bound after of KID and FID."""

    def score(name: str, pictures: Pictures):  # type: ignore[no-untyped-def]
        images = [Image.fromarray(picture) for picture in pictures]
        return score_variant(name, images, images, benchmark_set)

    before, after = score("base", art), score("corrupted", corrupt(art))
    sets = {
        name: (before.metrics[name].mean, after.metrics[name].low)
        for name in ("kid_persona_raw", "fid_persona_raw")
    }
    return {d.metric: d for d in differences(EvalResults([before, after], []))}, sets


@pytest.mark.parametrize("corrupt", SEEN_BY, ids=lambda corrupt: corrupt.__name__)
def test_each_corruption_worsens_its_metrics_and_no_others(
    benchmark_set: Benchmark, art: Pictures, corrupt: Callable[[Pictures], Pictures]
) -> None:
    found, sets = compared(benchmark_set, art, corrupt)
    for metric in SEEN_BY[corrupt]:
        estimate = found[metric].estimate
        worse = estimate.high < 0 if METRICS[metric].better == "higher" else estimate.low > 0
        assert worse, (metric, estimate)
    for metric in NOT_SEEN_BY[corrupt]:
        assert found[metric].estimate.mean == pytest.approx(0.0, abs=1e-9), metric
    for metric, (before, after_low) in sets.items():
        if SET_SEES[corrupt] is not None:
            assert (after_low > before + 1e-3) == SET_SEES[corrupt], (metric, before, after_low)


def test_kid_does_not_distinguish_two_halves_of_one_set_of_portraits(
    photos: Pictures, art: Pictures, features: PersonaFeatures
) -> None:
    """20 draws of 32 + 32 of the 256 packaged portraits; about one 95 % interval in 20 may exclude 0."""
    everyone = [
        np.asarray(Image.open(file).convert("RGB")) for file in sorted(asset("portraits").glob("*.webp"))
    ]
    seen = features.features(np.stack(everyone))
    held = 0
    for draw in range(20):
        chosen = np.random.default_rng(draw).permutation(len(seen))[:64]
        estimate = kid(seen[chosen[:32]], seen[chosen[32:]])
        held += estimate.low <= 0.0 <= estimate.high
    assert held >= 18
    half = NUM // 2
    assert kid(features.features(photos[:half]), features.features(art[half:])).low > 0.0


def test_kid_and_fid_of_portraits_equal_the_formulas_in_float64(
    photos: Pictures, art: Pictures, features: PersonaFeatures
) -> None:
    """Formulas written with NumPy and SciPy, in the features that evaluations use."""
    a, b = (features.features(pictures).double().numpy() for pictures in (photos, art))
    num, width = a.shape

    def kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        return (x @ y.T / width + 1.0) ** 3

    off = ~np.eye(num, dtype=bool)
    mmd = kernel(a, a)[off].mean() + kernel(b, b)[off].mean() - 2 * kernel(a, b).mean()
    assert kid(torch.from_numpy(a), torch.from_numpy(b)).mean == pytest.approx(mmd, rel=1e-6)
    # tr sqrt(S_a S_b) from the singular values of the centred features, because S_a S_b is singular.
    root_a, root_b = ((x - x.mean(axis=0)) / np.sqrt(num - 1) for x in (a, b))
    trace = scipy.linalg.svdvals(root_a @ root_b.T).sum()
    distance = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + (root_a**2).sum() + (root_b**2).sum()
    assert fid(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(distance - 2 * trace, rel=1e-6)
