"""The gate before an export, on made-up results whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from pixelpersona.evaluation.gate import doubts
from pixelpersona.evaluation.result import EvalResult, EvalResults

NUM = 24
SHA = "a" * 64


def variant(name: str, grid: float, like: float, adapter: str | None = None) -> EvalResult:
    """The photos differ much from each other; what the LoRA changes is the same for all but for 0.02."""
    rng = np.random.default_rng(len(name))
    photos = np.random.default_rng(0).normal(0.0, 0.2, NUM)
    per_photo = {
        "grid_contrast_raw": (grid + photos + rng.normal(0, 0.02, NUM)).tolist(),
        "likeness_raw": (like + photos + rng.normal(0, 0.02, NUM)).tolist(),
    }
    return EvalResult(
        variant=name,
        metrics={},
        per_photo=per_photo,
        photo_ids=[f"p{i}" for i in range(NUM)],
        seeds=list(range(NUM)),
        base_sha256="b" * 64,
        adapter_sha256=adapter,
        features_sha256="f" * 64,
        num_parameters=8,
    )


def results(grid: float, like: float) -> EvalResults:
    return EvalResults([variant("base", 0.2, 0.8), variant("lora-r8", grid, like, SHA)], [])


def test_a_lora_with_style_and_person_passes() -> None:
    assert doubts(results(0.5, 0.78), SHA, base_sha256="b" * 64) == []


@pytest.mark.parametrize("grid", [0.2, 0.1])
def test_no_more_style_than_the_base(grid: float) -> None:
    (reason,) = doubts(results(grid, 0.8), SHA)
    assert reason.startswith("lora-r8 is not shown to draw pixel art more clearly than the untouched base")


def test_the_threshold_of_the_lost_likeness() -> None:
    (reason,) = doubts(results(0.5, 0.65), SHA)
    assert "lora-r8 loses the person" in reason
    assert "max_likeness_loss=0.1" in reason
    assert doubts(results(0.5, 0.65), SHA, max_likeness_loss=0.2) == []
    assert doubts(results(0.5, 0.9), SHA, max_likeness_loss=0.0) == []


def test_both_are_told() -> None:
    assert len(doubts(results(0.1, 0.5), SHA)) == 2


def test_only_these_very_weights_count() -> None:
    expected = ["no evaluation of these very weights was found"]
    assert doubts(None, SHA) == expected
    assert doubts(results(0.5, 0.8), "c" * 64) == expected


def test_what_was_measured_elsewhere_does_not_count() -> None:
    good = results(0.5, 0.8)
    (reason,) = doubts(good, SHA, base_sha256="c" * 64)
    assert "on another base" in reason
    base, tuned = good.variants
    for changed in ([tuned], [replace(base, seeds=[1] * NUM), tuned]):
        (reason,) = doubts(EvalResults(changed, []), SHA)
        assert "not evaluated beside the untouched base" in reason


@pytest.mark.parametrize("metric", ["grid_contrast_raw", "likeness_raw"])
def test_a_metric_that_is_missing_is_a_doubt(metric: str) -> None:
    base, tuned = results(0.5, 0.8).variants
    left = {name: values for name, values in tuned.per_photo.items() if name != metric}
    (reason,) = doubts(EvalResults([base, replace(tuned, per_photo=left)], []), SHA)
    assert f"({metric}) was not measured" in reason


@pytest.mark.parametrize("threshold", [-0.1, 2.5, float("nan")])
def test_a_threshold_that_means_nothing(threshold: float) -> None:
    with pytest.raises(ValueError, match=r"max_likeness_loss=.*accepted 0 to 2"):
        doubts(None, SHA, max_likeness_loss=threshold)
