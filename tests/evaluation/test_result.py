"""Intervals compared with formulas; result files, their errors, and the committed ones; metrics."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from pixelpersona.evaluation.intervals import Estimate, bootstrap_mean, proportion
from pixelpersona.evaluation.result import (
    METRICS,
    Difference,
    EvalResult,
    EvalResults,
    load_results,
    metric_of,
    require_same_features,
    save_results,
)
from pixelpersona.evaluation.training_seeds import compare_variants


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


def test_a_deviation_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="lora-r4: a deviation is not finite"):
        replace(make_result("lora-r4"), deviations={"grid_contrast_raw": math.nan})
    with pytest.raises(ValueError, match=r"lora-r4 minus base: grid_contrast_raw is not finite.*nan"):
        replace(make_results().differences[0], num_seeds=2, deviation=math.nan)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_difference_that_is_not_finite_is_an_error(tmp_path: Path, value: float) -> None:
    """It names the difference when it is computed, and the file when it is read."""
    results = make_results()
    estimate = replace(results.differences[0].estimate, low=value)
    with pytest.raises(ValueError, match="lora-r4 minus base: grid_contrast_raw is not finite"):
        replace(results.differences[0], estimate=estimate)
    file = tmp_path / "result.json"
    save_results(results, file)
    raw = json.loads(file.read_text())
    raw["differences"][0]["estimate"]["low"] = value
    file.write_text(json.dumps(raw))
    with pytest.raises(ValueError, match="is not a finite number") as caught:
        load_results(file)
    assert str(caught.value).startswith(f"{file}: ")


def test_saved_results_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "result.json"
    save_results(make_results(), path)
    assert load_results(path) == make_results()
    raw = json.loads(path.read_text(encoding="utf-8"))
    assert raw["variants"][0]["metrics"]["grid_contrast_raw"] == {"mean": 0.2, "low": 0.1, "high": 0.3}
    assert [p.name for p in path.parent.iterdir()] == ["result.json"]


def test_training_seeds_are_read_back_and_files_without_them_are_of_single_runs(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    runs = [replace(make_result(f"lora-r4-seed_{seed}"), training_seeds=[seed]) for seed in (0, 1)]
    group = replace(
        runs[0], variant="lora-r4", per_photo={}, training_seeds=[0, 1],
        members=[run.variant for run in runs], deviations={"grid_contrast_raw": 0.1},
    )  # fmt: skip
    difference = Difference("lora-r4", "base", "grid_contrast_raw", Estimate(0.4, 0.3, 0.5), 2, 0.1)
    results = EvalResults([make_result(), *runs], [difference], {}, [group])
    save_results(results, path)
    assert load_results(path) == results
    assert [row.variant for row in results.compared] == ["base", "lora-r4"]
    assert results.variant("lora-r4").num_seeds == 2

    raw = json.loads(path.read_text(encoding="utf-8"))
    raw["groups"][0]["members"].append("lora-r4-seed_7")
    (tmp_path / "other.json").write_text(json.dumps(raw), encoding="utf-8")
    with pytest.raises(ValueError, match=r"other\.json.*lora-r4-seed_7 is not among the variants"):
        load_results(tmp_path / "other.json")

    raw = json.loads(path.read_text(encoding="utf-8"))  # as version 0.1 wrote it
    del raw["groups"], raw["differences"][0]["num_seeds"], raw["differences"][0]["deviation"]
    for variant in raw["variants"]:
        del variant["training_seeds"], variant["members"], variant["deviations"]
    path.write_text(json.dumps(raw), encoding="utf-8")
    older = load_results(path)
    assert older.compared == older.variants == [make_result(), *map(make_result, [r.variant for r in runs])]
    assert (older.differences[0].num_seeds, older.differences[0].deviation) == (1, None)


def test_a_non_finite_number_is_refused() -> None:
    with pytest.raises(ValueError, match="lora-r4: kid_persona_raw is not finite"):
        replace(make_result("lora-r4"), metrics={"kid_persona_raw": Estimate(math.nan, 0.0, 1.0)})
    with pytest.raises(ValueError, match="base: grid_contrast_raw is not finite"):
        replace(make_result(), per_photo={"grid_contrast_raw": [0.1, math.inf]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a readable result file"),
        ("[]", "not a readable result file"),
        ('{"variants": []}', "the key 'differences' is missing"),
        ('{"variants": [{"variant": "a"}], "differences": []}', "'adapter_sha256' is missing"),
        ('{"variants": [1], "differences": [], "settings": {}}', "not a readable result file"),
        ('{"variants": [], "differences": [], "settings": {}, "groups": 1}', "not a readable result file"),
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


STUDIES = Path(__file__).resolve().parents[2] / "experiments"
COMPARISONS = [file for file in sorted(STUDIES.glob("*/results.json")) if file.parent.name != "packaged_base"]


@pytest.mark.parametrize("file", COMPARISONS, ids=lambda file: file.parent.name)
def test_committed_results_have_known_metrics_and_reproducible_intervals(file: Path) -> None:
    results = load_results(file)
    has_groups = "groups" in json.loads(file.read_text(encoding="utf-8"))
    for result in results.variants:
        assert all(metric_of(name).meaning for name in result.metrics)
        for name, values in result.per_photo.items():
            # Version 0.1 also had bootstrap intervals of shares.
            is_share = metric_of(name).is_share and has_groups
            known, found = result.metrics[name], proportion(values) if is_share else bootstrap_mean(values)
            assert found.mean == known.mean
            assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=1e-12)
    for known in results.differences:
        found = compare_variants(results, known.variant, known.baseline, known.metric)
        assert found is not None
        assert (found.num_seeds, found.estimate.mean) == (known.num_seeds, known.estimate.mean)


@pytest.mark.parametrize("file", sorted(STUDIES.glob("*/*.json")), ids=lambda file: file.parent.name)
def test_committed_files_use_the_current_names(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"teacher|translator|val_loss|path_loss|finish|\"enough\"", text)


def test_a_list_of_another_length_than_the_photos_is_refused() -> None:
    with pytest.raises(ValueError, match="3 values for 1 photos"):
        EvalResult("x", {}, {"likeness_raw": [1.0, 2.0, 3.0]}, ["a"], [0], "", None, "", 0)


def test_results_in_different_features_are_refused() -> None:
    assert require_same_features([make_result(), make_result("lora-r4")]) == "f" * 64
    with pytest.raises(ValueError, match="lora-r8 has 000000000000"):
        require_same_features([make_result(), make_result("lora-r8", features="0" * 64)])
    with pytest.raises(ValueError, match="no variant"):
        require_same_features([])


def test_an_unknown_variant_lists_the_accepted_ones() -> None:
    assert make_results().variant("lora-r4").variant == "lora-r4"
    with pytest.raises(ValueError, match="accepted: base, lora-r4"):
        make_results().variant("lora-r16")


def test_raw_and_snapped_metrics_correspond() -> None:
    raw = [m for m in METRICS.values() if m.stage == "raw"]
    snapped = [m for m in METRICS.values() if m.stage == "snapped"]
    assert [m.plain_title for m in raw] == [m.plain_title for m in snapped]
    assert all(name == m.name and m.low < m.high for name, m in METRICS.items())
    assert METRICS["grid_contrast_raw"].plain_title == "grid contrast"
    assert METRICS["noise_loss"].stage == ""


def test_metric_of_another_number_of_colours_or_cell_size() -> None:
    colors, cells = metric_of("palette_error_8_raw"), metric_of("grid_contrast_6_raw")
    assert (colors.title, colors.better, colors.low, colors.stage) == (
        "palette error (8 colours), raw", "lower", 0.0, "raw",
    )  # fmt: skip
    assert "best palette of 8 colours" in colors.meaning
    assert (cells.title, cells.high) == ("grid contrast (cells of 6 pixels), raw", 1.0)
    assert metric_of("likeness_raw") is METRICS["likeness_raw"]
    assert metric_of("likeness_8_raw").meaning == ""


def test_ranges_as_text() -> None:
    found = {name: METRICS[name].range for name in METRICS if METRICS[name].stage != "snapped"}
    assert found["grid_contrast_raw"] == "≤ 1"
    assert found["palette_error_raw"] == found["noise_loss"] == "≥ 0"
    assert found["structure_raw"] == "\N{MINUS SIGN}1 to 1"
    assert found["likeness_top1_raw"] == "0 to 1"
    assert found["kid_persona_raw"] == "any number"
