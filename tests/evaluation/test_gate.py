"""The quality gate of an export, on synthetic results."""

from dataclasses import replace

import numpy as np
import pytest

from pixelpersona.evaluation.gate import export_warnings
from pixelpersona.evaluation.result import EvalResult, EvalResults

NUM = 24
SHA = "a" * 64


def variant(name: str, grid: float, like: float, adapter: str | None = None) -> EvalResult:
    """Photos differ by 0.2, while the change by the LoRA differs by 0.02 only."""
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


def warnings(
    found: EvalResults | None, adapter: str, max_likeness_loss: float = 0.1, base_sha256: str | None = None
) -> list[str]:
    return export_warnings(found, adapter, max_likeness_loss=max_likeness_loss, base_sha256=base_sha256)


def test_a_lora_with_style_and_likeness_passes() -> None:
    assert warnings(results(0.5, 0.78), SHA, base_sha256="b" * 64) == []


@pytest.mark.parametrize("grid", [0.2, 0.1])
def test_no_more_style_than_the_base_is_a_warning(grid: float) -> None:
    (reason,) = warnings(results(grid, 0.8), SHA)
    assert reason.startswith("lora-r8 is not shown to draw pixel art more clearly than the untouched base")


def test_a_loss_of_likeness_above_the_threshold_is_a_warning() -> None:
    (reason,) = warnings(results(0.5, 0.65), SHA)
    assert "lora-r8 loses likeness" in reason
    assert "max_likeness_loss=0.1" in reason
    assert warnings(results(0.5, 0.65), SHA, max_likeness_loss=0.2) == []
    assert warnings(results(0.5, 0.9), SHA, max_likeness_loss=0.0) == []


def test_both_warnings_are_given() -> None:
    assert len(warnings(results(0.1, 0.5), SHA)) == 2


def test_only_an_evaluation_of_the_same_weights_counts() -> None:
    expected = ["no evaluation of these weights was found"]
    assert warnings(None, SHA) == expected
    assert warnings(results(0.5, 0.8), "c" * 64) == expected


def test_an_evaluation_on_another_base_or_other_seeds_does_not_count() -> None:
    good = results(0.5, 0.8)
    (reason,) = warnings(good, SHA, base_sha256="c" * 64)
    assert "on another base" in reason
    base, tuned = good.variants
    for changed in ([tuned], [replace(base, seeds=[1] * NUM), tuned]):
        (reason,) = warnings(EvalResults(changed, []), SHA)
        assert "not evaluated beside the untouched base" in reason


@pytest.mark.parametrize("metric", ["grid_contrast_raw", "likeness_raw"])
def test_a_missing_metric_is_a_warning(metric: str) -> None:
    base, tuned = results(0.5, 0.8).variants
    left = {name: values for name, values in tuned.per_photo.items() if name != metric}
    (reason,) = warnings(EvalResults([base, replace(tuned, per_photo=left)], []), SHA)
    assert f"({metric}) was not measured" in reason


@pytest.mark.parametrize("threshold", [-0.1, 2.5, float("nan")])
def test_a_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match=r"max_likeness_loss=.*accepted 0 to 2"):
        warnings(None, SHA, max_likeness_loss=threshold)
