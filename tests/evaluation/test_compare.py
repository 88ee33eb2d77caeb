"""Scores of known pictures, differences between variants, and refused inputs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from pixelpersona.evaluation.compare import Benchmark, differences, score_variant
from pixelpersona.evaluation.distribution import kid
from pixelpersona.evaluation.intervals import paired_difference
from pixelpersona.evaluation.result import METRICS, EvalResult, EvalResults
from pixelpersona.inference.direct import DirectStylizer, Draw, unchanged
from pixelpersona.models.features import PersonaFeatures
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pixelator import pixelize
from pixelpersona.pixel.postprocess import Postprocess
from pixelpersona.pixel.score import delta_e, grid_contrast, structure

SIZE, CELL, NUM = 32, 4, 6
GRID = Grid.of(SIZE, SIZE, CELL)


def picture(seed: int) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((SIZE, SIZE), Image.Resampling.BICUBIC)


def pixelated(photo: Image.Image) -> Image.Image:
    return Image.fromarray(Postprocess().apply(np.asarray(photo), CELL).image())


def score(name: str, draw: Draw, benchmark: Benchmark) -> EvalResult:
    portraits = DirectStylizer(draw, cell=CELL).portraits(benchmark.photos, benchmark.seeds)
    snapped = [Image.fromarray(portrait.snapped.image()) for portrait in portraits]
    return score_variant(name, [portrait.image for portrait in portraits], snapped, benchmark)


def target(batch: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(pixelated(Image.fromarray(photo))) for photo in batch])


def blur(batch: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(Image.fromarray(p).filter(ImageFilter.GaussianBlur(2))) for p in batch])


@pytest.fixture(scope="module")
def features() -> PersonaFeatures:
    return PersonaFeatures()


def benchmark_of(features: PersonaFeatures, num: int = NUM, num_others: int = 0) -> Benchmark:
    photos = [picture(seed) for seed in range(num)]
    return Benchmark(
        photos,
        [f"photo-{i}" for i in range(num)],
        list(range(num)),
        [pixelated(photo) for photo in photos],
        features,
        cell=CELL,
        num_colors=16,
        base_sha256="base",
        others={f"photo-{seed}": picture(seed) for seed in range(num, num + num_others)},
    )


@pytest.fixture(scope="module")
def benchmark_set(features: PersonaFeatures) -> Benchmark:
    return benchmark_of(features)


@pytest.fixture(scope="module")
def results(benchmark_set: Benchmark) -> dict[str, EvalResult]:
    draws = {"photo": unchanged, "pyxelate": target, "base": blur}
    return {name: score(name, draw, benchmark_set) for name, draw in draws.items()}


@pytest.mark.parametrize("num", [4, 5])
def test_values_of_a_photo_do_not_depend_on_how_many_are_measured(
    features: PersonaFeatures, results: dict[str, EvalResult], num: int
) -> None:
    part = score("base", blur, benchmark_of(features, num, NUM - num))
    for metric, values in results["base"].per_photo.items():
        assert part.per_photo[metric] == values[:num], metric


def test_identical_photos_give_finite_numbers(features: PersonaFeatures) -> None:
    """Of 12 identical photos none is recognised better than by chance, except for ties."""
    photos = [picture(0)] * 12
    art = [pixelated(photo) for photo in photos]
    ids = [f"photo-{i}" for i in range(12)]
    same = Benchmark(photos, ids, list(range(12)), art, features, CELL, num_colors=16, base_sha256="base")
    found = {name: score(name, draw, same) for name, draw in (("base", blur), ("lora-r4", target))}
    for result in found.values():  # EvalResult refuses numbers that are not finite
        assert result.metrics["layout_top1_raw"].mean == pytest.approx(1 / 12)
    compared = differences(EvalResults(list(found.values()), []))
    style = next(d.estimate for d in compared if (d.variant, d.metric) == ("lora-r4", "grid_contrast_raw"))
    assert style.low == pytest.approx(style.high)


def test_every_staged_metric_is_measured_and_known(results: dict[str, EvalResult]) -> None:
    staged = [name for name in METRICS if METRICS[name].stage and "inception" not in name]
    for result in results.values():
        assert sorted(result.metrics) == sorted(staged)
        for name, estimate in result.metrics.items():
            assert METRICS[name].low <= estimate.low <= estimate.mean <= estimate.high, name
            assert estimate.mean <= METRICS[name].high + 1e-9, name
        assert sorted(set(staged) - set(result.per_photo)) == [
            "fid_persona_raw",
            "fid_persona_snapped",
            "kid_persona_raw",
            "kid_persona_snapped",
        ]


def test_values_per_photo_are_those_of_the_single_metrics(
    results: dict[str, EvalResult], benchmark_set: Benchmark
) -> None:
    photos = [np.asarray(photo) for photo in benchmark_set.photos]
    drawn = blur(np.stack(photos))
    base = results["base"]
    assert base.per_photo["grid_contrast_raw"] == [grid_contrast(d, GRID) for d in drawn]
    assert base.per_photo["structure_raw"] == [
        structure(photo, d, GRID) for photo, d in zip(photos, drawn, strict=True)
    ]
    assert base.per_photo["delta_e_raw"] == [
        delta_e(photo, d, GRID) for photo, d in zip(photos, drawn, strict=True)
    ]
    assert base.metrics["structure_raw"].mean == pytest.approx(np.mean(base.per_photo["structure_raw"]))


def test_control_variants_have_the_expected_scores(results: dict[str, EvalResult]) -> None:
    art, photo = results["pyxelate"].metrics, results["photo"].metrics
    assert art["grid_contrast_raw"].mean == pytest.approx(1.0)
    assert art["palette_error_raw"].mean == pytest.approx(0.0, abs=1e-6)
    assert art["kid_persona_raw"].mean == pytest.approx(0.0, abs=1e-9)
    assert art["fid_persona_raw"].mean == pytest.approx(0.0, abs=1e-4)
    assert photo["structure_raw"].mean == pytest.approx(1.0)
    assert photo["delta_e_raw"].mean == 0.0 < art["delta_e_raw"].mean
    assert photo["kid_persona_raw"].mean > art["kid_persona_raw"].mean
    # Snapping turns the photo into pixel art.
    assert photo["grid_contrast_raw"].mean < 0.5 < photo["grid_contrast_snapped"].mean
    assert photo["kid_persona_snapped"].mean < photo["kid_persona_raw"].mean


def test_repeating_an_evaluation_gives_the_same_digits(
    features: PersonaFeatures, results: dict[str, EvalResult]
) -> None:
    torch.manual_seed(123)
    np.random.seed(123)
    assert score("base", blur, benchmark_of(features)) == results["base"]


def test_likeness_falls_when_portraits_are_swapped(
    benchmark_set: Benchmark, results: dict[str, EvalResult]
) -> None:
    swapped = benchmark_set.photos[1:] + benchmark_set.photos[:1]
    wrong = score_variant("photo", swapped, [pixelated(p) for p in swapped], benchmark_set).metrics
    right = results["photo"].metrics
    for name in ("likeness_raw", "likeness_snapped", "structure_raw"):
        assert wrong[name].mean < right[name].mean - 0.2
    assert wrong["layout_top1_raw"].mean < right["layout_top1_raw"].mean


def test_differences_are_paired_and_against_the_baseline(results: dict[str, EvalResult]) -> None:
    compared = EvalResults(list(results.values()), [])
    made = differences(compared)
    assert {(d.variant, d.baseline) for d in made} == {("photo", "base"), ("pyxelate", "base")}
    assert all(d.metric in results["base"].per_photo for d in made)
    gain = next(d for d in made if (d.variant, d.metric) == ("pyxelate", "grid_contrast_raw"))
    values = [results[name].per_photo["grid_contrast_raw"] for name in ("pyxelate", "base")]
    assert gain.estimate == paired_difference(*values)
    assert gain.estimate.low > 0.2
    assert {d.baseline for d in differences(compared, "photo")} == {"photo"}


def test_differences_between_incomparable_results_are_refused(results: dict[str, EvalResult]) -> None:
    photo, base = results["photo"], results["base"]
    with pytest.raises(ValueError, match="no variant 'lora-r4'"):
        differences(EvalResults([photo, base], []), "lora-r4")
    with pytest.raises(ValueError, match="different photos or seeds"):
        differences(EvalResults([replace(photo, seeds=[9] * NUM), base], []))
    with pytest.raises(ValueError, match="features_sha256"):
        differences(EvalResults([replace(photo, features_sha256="other"), base], []))


def test_noise_losses_are_compared_where_both_variants_have_them(benchmark_set: Benchmark) -> None:
    pictures = benchmark_set.photos
    base = score_variant("base", pictures, pictures, benchmark_set, losses={"noise_loss": [0.5] * NUM})
    lora = score_variant(
        "lora-r4", pictures, pictures, benchmark_set, losses={"noise_loss": [0.4] * NUM}, num_parameters=8
    )
    assert lora.num_parameters == 8
    assert lora.metrics["noise_loss"].mean == pytest.approx(0.4)
    loss = next(d for d in differences(EvalResults([base, lora], [])) if d.metric == "noise_loss")
    assert loss.estimate.mean == pytest.approx(-0.1)


def test_inception_features_give_a_second_kid_and_fid(features: PersonaFeatures) -> None:
    """With a stand-in for Inception: the packaged features times 2."""

    class StandIn:
        sha256 = "stand-in"

        def features(self, images: np.ndarray) -> torch.Tensor:
            return 2 * features.features(images)

    photos = [picture(seed) for seed in range(NUM)]
    art = [pixelated(photo) for photo in photos]
    made = Benchmark(
        photos, [str(i) for i in range(NUM)], [0] * NUM, art, features,
        cell=CELL, num_colors=16, base_sha256="b", inception=StandIn(),
    )  # fmt: skip
    result = score_variant("photo", photos, art, made)
    metrics = result.metrics
    assert metrics["fid_inception_raw"].mean == pytest.approx(4 * metrics["fid_persona_raw"].mean, rel=1e-6)
    doubled = [
        2 * features.features(np.stack([np.asarray(p) for p in pictures])) for pictures in (photos, art)
    ]
    assert metrics["kid_inception_raw"] == kid(*doubled, paired=True)
    assert metrics["kid_inception_snapped"].mean == pytest.approx(0.0, abs=1e-9)
    assert result.features_sha256 == features.sha256


@pytest.mark.parametrize(("size", "cell"), [(48, 6), (32, 6), (32, 5), (64, 9)])
def test_raw_pictures_are_also_measured_on_other_grids_and_palettes(
    features: PersonaFeatures, size: int, cell: int
) -> None:
    """Also with cells that do not divide the picture, as in `pixelate=classic`."""
    photos = [picture(seed).resize((size, size)) for seed in range(4)]
    recipe = Pixelation(factor=cell, palette=5)
    art = [Image.fromarray(pixelize(np.asarray(photo), recipe)[0]) for photo in photos]
    made = Benchmark(
        photos, list("abcd"), [0] * 4, art, features,
        cell=4, num_colors=16, base_sha256="b", also_cells=[cell], also_colors=[5],
    )  # fmt: skip
    metrics = score_variant("lora-r8", art, photos, made).metrics
    assert metrics[f"grid_contrast_{cell}_raw"].low == 1.0
    assert metrics["palette_error_5_raw"].high == pytest.approx(0.0, abs=1e-9)
    assert metrics["grid_contrast_raw"].mean < 0.9
    assert f"grid_contrast_{cell}_snapped" not in metrics


def test_wrong_inputs_are_refused(features: PersonaFeatures, benchmark_set: Benchmark) -> None:
    photos = benchmark_set.photos
    with pytest.raises(ValueError, match="base, raw: accepted one picture per photo"):
        score_variant("base", photos[1:], photos, benchmark_set)

    def make(photos: list[Image.Image], ids: list[str], art: list[Image.Image]) -> Benchmark:
        return Benchmark(
            photos, ids, [0] * len(ids), art, features, cell=CELL, num_colors=16, base_sha256="b"
        )

    ids = benchmark_set.photo_ids
    with pytest.raises(ValueError, match="6 photos, 5 ids"):
        make(photos, ids[1:], photos)
    with pytest.raises(ValueError, match="an id occurs twice"):
        make(photos, ids[:-1] + ids[:1], photos)
    with pytest.raises(ValueError, match="5 reference pictures for 6 photos"):
        make(photos, ids, photos[1:])
    with pytest.raises(ValueError, match="accepted 4 or more"):
        make(photos[:3], ids[:3], photos[:3])
    with pytest.raises(ValueError, match="of one size, got 16x16, 32x32"):
        make(photos, ids, [*photos[1:], photos[0].resize((16, 16))])
