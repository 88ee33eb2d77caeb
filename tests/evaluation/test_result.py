"""Intervals against scipy and a formula; results survive the disk; broken files say which."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from pixelpersona.evaluation.result import (
    METRICS,
    Difference,
    Estimate,
    EvalResult,
    EvalResults,
    bootstrap_mean,
    load_results,
    metric_of,
    paired_difference,
    require_same_features,
    save_results,
)


def make_result(variant: str = "base", features: str = "f" * 64) -> EvalResult:
    return EvalResult(
        variant=variant,
        metrics={"grid_contrast_raw": Estimate(0.2, 0.1, 0.3)},
        per_photo={"grid_contrast_raw": [0.1, 0.3]},
        photo_ids=["a", "나"],
        seeds=[1, 2],
        base_sha256="b" * 64,
        adapter_sha256=None,
        features_sha256=features,
        num_parameters=0,
    )


def make_results() -> EvalResults:
    difference = Difference("lora-r4", "base", "grid_contrast_raw", Estimate(0.4, 0.3, 0.5))
    return EvalResults([make_result(), make_result("lora-r4")], [difference], {"steps": 10})


def test_interval_agrees_with_scipy() -> None:
    values = np.random.default_rng(3).gamma(2.0, 1.0, 64)
    ours = bootstrap_mean(values.tolist(), num_resamples=20_000)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=5)
    assert ours.mean == pytest.approx(float(values.mean()))
    # Two independent Monte Carlo runs of 20,000: the bounds agree within a few hundredths of the width.
    width = ours.high - ours.low
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.03 * width)


def test_interval_agrees_with_the_normal_formula() -> None:
    values = np.random.default_rng(0).normal(1.0, 2.0, 4000)
    ours = bootstrap_mean(values.tolist())
    half = 1.96 * values.std() / math.sqrt(values.size)
    assert (ours.high - ours.low) / 2 == pytest.approx(half, rel=0.06)


def test_interval_is_reproducible_and_its_seed_counts() -> None:
    values = np.random.default_rng(1).normal(size=50).tolist()
    assert bootstrap_mean(values, seed=7) == bootstrap_mean(values, seed=7)
    assert bootstrap_mean(values, seed=7) != bootstrap_mean(values, seed=8)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [1.0, math.inf]])
def test_interval_refuses_too_few_or_non_finite_values(values: list[float]) -> None:
    with pytest.raises(ValueError, match="an interval needs"):
        bootstrap_mean(values)


def test_pairing_removes_what_the_photos_share() -> None:
    rng = np.random.default_rng(2)
    shared = rng.normal(0.0, 5.0, 64)
    a, b = shared + 0.5 + rng.normal(0, 0.1, 64), shared + rng.normal(0, 0.1, 64)
    paired = paired_difference(a.tolist(), b.tolist())
    assert paired == bootstrap_mean((a - b).tolist())
    assert 0.4 < paired.low < 0.5 < paired.high < 0.6
    unpaired = bootstrap_mean(a.tolist())
    assert unpaired.high - unpaired.low > 10 * (paired.high - paired.low)


def test_pairing_refuses_different_photos() -> None:
    with pytest.raises(ValueError, match="got 2 and 3"):
        paired_difference([1.0, 2.0], [1.0, 2.0, 3.0])


def test_results_survive_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "result.json"
    save_results(make_results(), path)
    assert load_results(path) == make_results()
    raw = json.loads(path.read_text(encoding="utf-8"))
    assert raw["variants"][0]["metrics"]["grid_contrast_raw"] == {"mean": 0.2, "low": 0.1, "high": 0.3}
    assert [p.name for p in path.parent.iterdir()] == ["result.json"]


def test_a_number_that_is_not_finite_is_refused_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    save_results(make_results(), path)
    before = path.read_bytes()
    bad = make_results()
    bad.variants[1].metrics["kid_persona_raw"] = Estimate(math.nan, 0.0, 1.0)
    with pytest.raises(ValueError, match="lora-r4: kid_persona_raw"):
        save_results(bad, path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a readable result file"),
        ("[]", "not a result file"),
        ('{"variants": []}', "the key 'differences' is missing"),
        ('{"variants": [{"variant": "a"}], "differences": []}', "'adapter_sha256' is missing"),
        ('{"variants": [1], "differences": [], "settings": {}}', "not a result file"),
    ],
)
def test_a_malformed_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        load_results(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        load_results(tmp_path / "result.json")


def test_per_photo_values_belong_to_photos() -> None:
    with pytest.raises(ValueError, match="3 values for 1 photos"):
        EvalResult("x", {}, {"likeness_raw": [1.0, 2.0, 3.0]}, ["a"], [0], "", None, "", 0)


def test_features_must_be_the_same() -> None:
    assert require_same_features([make_result(), make_result("lora-r4")]) == "f" * 64
    with pytest.raises(ValueError, match="lora-r8 has 000000000000"):
        require_same_features([make_result(), make_result("lora-r8", features="0" * 64)])
    with pytest.raises(ValueError, match="no variant"):
        require_same_features([])


def test_an_unknown_variant_lists_what_there_is() -> None:
    assert make_results().variant("lora-r4").variant == "lora-r4"
    with pytest.raises(ValueError, match="there are: base, lora-r4"):
        make_results().variant("lora-r16")


def test_metric_table_is_consistent() -> None:
    raw = [m for m in METRICS.values() if m.stage == "raw"]
    snapped = [m for m in METRICS.values() if m.stage == "snapped"]
    assert [m.stem for m in raw] == [m.stem for m in snapped]
    assert all(name == m.name and m.low < m.high for name, m in METRICS.items())
    assert METRICS["grid_contrast_raw"].stem == "grid_contrast"
    assert METRICS["val_loss"].stage == ""


def test_a_measure_with_another_number_is_known() -> None:
    colors, cells = metric_of("palette_error_8_raw"), metric_of("grid_contrast_6_raw")
    assert (colors.title, colors.better, colors.low, colors.stage) == (
        "palette error (8 colours), raw", "lower", 0.0, "raw",
    )  # fmt: skip
    assert "best palette of 8 colours" in colors.meaning
    assert (cells.title, cells.high) == ("grid contrast (cells of 6 pixels), raw", 1.0)
    assert metric_of("likeness_raw") is METRICS["likeness_raw"]
    assert metric_of("likeness_8_raw").meaning == ""


def test_ranges_in_words() -> None:
    found = {name: METRICS[name].range for name in METRICS if METRICS[name].stage != "snapped"}
    assert found["grid_contrast_raw"] == "≤ 1"
    assert found["palette_error_raw"] == found["val_loss"] == "≥ 0"
    assert found["structure_raw"] == "\N{MINUS SIGN}1 to 1"
    assert found["likeness_top1_raw"] == "0 to 1"
    assert found["kid_persona_raw"] == "any number"
