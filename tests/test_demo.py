"""`make demo`: both ranks learn the style, measured on photos that are not in the training set."""

import json
from pathlib import Path

import pytest

from pixelpersona import evaluate, prepare, report, train
from pixelpersona.evaluation.intervals import paired_difference
from pixelpersona.evaluation.result import EvalResults, load_results

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo")
    words = ["experiment=demo", f"paths.runs={root / 'runs'}", f"paths.cache={root / 'cache'}"]
    prepare.main(words)
    train.main(["-m", *words, "lora.rank=4,8", "loop=demo"])
    train.main([*words, "method=supervised"])
    evaluate.main(words)
    report.main(words[:2])
    return root / "runs"


@pytest.fixture(scope="module")
def results(runs: Path) -> EvalResults:
    return load_results(runs / "result.json")


@pytest.mark.parametrize("lora", ["lora-r4", "lora-r8"])
def test_the_lora_learns_the_style(results: EvalResults, lora: str) -> None:
    tuned, base = results.variant(lora), results.variant("base")
    gain = paired_difference(tuned.per_photo["grid_contrast_raw"], base.per_photo["grid_contrast_raw"])
    assert gain.low > 0.2
    upper_bound = results.variant("target-vae").metrics["grid_contrast_raw"].mean
    assert tuned.metrics["grid_contrast_raw"].mean >= 0.6 * upper_bound
    assert tuned.metrics["noise_loss"].mean < base.metrics["noise_loss"].mean


def test_rank_8_is_not_worse_than_rank_4(results: EvalResults) -> None:
    eight, four = (results.variant(f"lora-r{rank}").per_photo["grid_contrast_raw"] for rank in (8, 4))
    assert paired_difference(eight, four).low > -0.05


def test_every_variant_is_evaluated_on_64_photos(results: EvalResults) -> None:
    names = [result.variant for result in results.variants]
    assert names == [
        "photo",
        "nearest",
        "pyxelate",
        "target",
        "target-vae",
        "base",
        "supervised",
        "lora-r4",
        "lora-r8",
    ]
    assert all(len(result.photo_ids) == 64 for result in results.variants)


def test_the_report_and_the_timings_are_written(runs: Path) -> None:
    assert (runs / "report.html").stat().st_size > 10_000
    stages = json.loads((runs / "timing.json").read_text())
    assert {"prepare", "train lora-r4", "train lora-r8", "train supervised", "evaluate", "report"} == set(
        stages
    )
