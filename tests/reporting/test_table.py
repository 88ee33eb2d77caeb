"""Tables of results in every format, and what they mark."""

import csv
import io
from dataclasses import replace

import pytest
from rich.console import Console

from pixelpersona.evaluation.intervals import Estimate, paired_difference
from pixelpersona.evaluation.result import METRICS, Difference, EvalResults
from pixelpersona.reporting.table import (
    difference,
    differences_table,
    format_number,
    interval_places,
    results_table,
    significance,
    to_csv,
    variant_title,
)
from pixelpersona.reporting.table_formats import to_console, to_markdown


def marks(results: EvalResults, stage: str, column: str) -> dict[str, str]:
    table = results_table(results, stage)
    index = [c.split("\u00a0")[0] for c in table.columns].index(column) - 1
    return {title: cells[index].mark for title, cells in table.rows}


def test_headers_show_better_direction_and_range(results: EvalResults) -> None:
    columns = results_table(results, "raw").columns
    assert columns == [
        "variant",
        "grid contrast\u00a0↑ (≤ 1)",
        "likeness\u00a0↑ (\N{MINUS SIGN}1 to 1)",
        "KID persona\u00a0↓ (any number)",
    ]
    assert results_table(results, "").columns[1] == "noise loss\u00a0↓ (≥ 0)"


def test_seconds_per_portrait_follow_the_parameters(results: EvalResults) -> None:
    assert "portrait" not in "".join(results_table(results, "").columns)
    table = results_table(results, "", {"base": 0.4141, "lora-r4": 12.0, "pyxelate": 1.0})
    assert table.columns[-2:] == ["trained parameters", "s per portrait\u00a0↓"]
    assert len(table.notes) == len(table.columns)
    shown = {title: [cell.text for cell in cells[-2:]] for title, cells in table.rows}
    dash = "\N{EN DASH}"
    assert shown == {
        "untouched base": [dash, "0.414"],
        "LoRA rank 4": ["50,176", "12"],
        "LoRA rank 8": ["50,176", dash],
    }
    assert "portrait" not in "".join(results_table(results, "raw", {"base": 0.4}).columns)


def test_the_best_model_is_marked_and_references_are_not_ranked(results: EvalResults) -> None:
    assert marks(results, "raw", "grid contrast") == {
        "photo": "", "untouched base": "", "LoRA rank 4": "", "LoRA rank 8": "best",
    }  # fmt: skip
    assert marks(results, "raw", "likeness")["photo"] == ""
    assert marks(results, "raw", "KID persona")["LoRA rank 8"] == "best"  # the lowest


def test_grid_contrast_of_snapped_pictures_is_not_ranked(results: EvalResults) -> None:
    base = results.variant("base")
    worse = replace(base, metrics={**base.metrics, "grid_contrast_snapped": Estimate(0.9, 0.9, 0.9)})
    changed = replace(results, variants=[*results.variants, worse])
    assert set(marks(changed, "snapped", "grid contrast").values()) == {""}


def test_training_table_lists_variants_with_losses_or_parameters(results: EvalResults) -> None:
    table = results_table(results, "")
    assert [title for title, _ in table.rows] == ["untouched base", "LoRA rank 4", "LoRA rank 8"]
    assert [cells[-1].text for _, cells in table.rows] == ["\N{EN DASH}", "50,176", "50,176"]


def test_difference_prefers_the_stored_one(results: EvalResults) -> None:
    stored = replace(results.differences[0], estimate=Estimate(9.0, 8.0, 10.0))
    changed = replace(results, differences=[stored])
    assert difference(changed, "lora-r4", "base", "likeness_raw") == stored


def test_difference_is_else_computed_from_the_photos(results: EvalResults) -> None:
    a, b = (results.variant(v).per_photo["grid_contrast_raw"] for v in ("lora-r8", "base"))
    found = difference(results, "lora-r8", "base", "grid_contrast_raw")
    assert found == Difference("lora-r8", "base", "grid_contrast_raw", paired_difference(a, b), num_seeds=1)
    assert difference(results, "lora-r8", "base", "kid_persona_raw") is None
    assert difference(results, "lora-r8", "nobody", "grid_contrast_raw") is None


def test_difference_needs_the_same_photos(results: EvalResults) -> None:
    other = replace(results.variants[3], photo_ids=[f"q{i}" for i in range(32)])
    changed = replace(results, variants=[*results.variants[:3], other])
    assert difference(changed, "lora-r8", "base", "grid_contrast_raw") is None


@pytest.mark.parametrize(
    ("metric", "estimate", "expected"),
    [
        ("grid_contrast_raw", Estimate(0.5, 0.4, 0.6), "better"),
        ("grid_contrast_raw", Estimate(-0.5, -0.6, -0.4), "worse"),
        ("kid_persona_raw", Estimate(-0.5, -0.6, -0.4), "better"),
        ("kid_persona_raw", Estimate(0.5, 0.4, 0.6), "worse"),
        ("grid_contrast_raw", Estimate(0.5, -0.1, 1.1), ""),
        ("grid_contrast_raw", Estimate(0.5, 0.0, 1.0), ""),
        ("grid_contrast_snapped", Estimate(0.5, 0.4, 0.6), ""),
        ("layout_top1_raw", Estimate(0.5, 0.4, 0.6), ""),
        ("likeness_raw", None, ""),
    ],
)
def test_significance_needs_an_interval_without_zero(
    metric: str, estimate: Estimate | None, expected: str
) -> None:
    assert significance(estimate, METRICS[metric]) == expected


def test_differences_that_are_zero_by_construction_are_omitted(results: EvalResults) -> None:
    table = differences_table(results)
    assert table.columns == ["metric", "LoRA rank 4", "LoRA rank 8"]
    assert {title.split("\u00a0")[0]: [c.mark for c in cells] for title, cells in table.rows} == {
        "grid contrast, raw": ["better", "better"],
        "likeness, raw": ["", "worse"],
    }


def test_markdown_has_one_line_per_variant(results: EvalResults) -> None:
    lines = to_markdown(results_table(results, "raw")).splitlines()
    assert len(lines) == 2 + len(results.variants)
    assert {line.count("|") for line in lines} == {5}
    assert lines[-1].startswith("| LoRA rank 8 | **0.65** (0.63 to 0.67) |")


def test_csv_has_full_precision(results: EvalResults) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(results))))
    assert len(rows) == sum(len(r.metrics) for r in results.variants) + len(results.differences)
    for row in rows[:-1]:
        e = results.variant(row["variant"]).metrics[row["metric"]]
        assert (float(row["mean"]), float(row["low"]), float(row["high"])) == (e.mean, e.low, e.high)
    assert (rows[-1]["variant"], rows[-1]["baseline"]) == ("lora-r4", "base")
    assert {row["stage"] for row in rows} == {"raw", "snapped", ""}


def test_console_shows_every_value(results: EvalResults) -> None:
    console = Console(width=140, record=True, file=io.StringIO())
    table = results_table(results, "raw")
    console.print(to_console(table))
    text = console.export_text()
    for title, cells in table.rows:
        assert title in text
        assert all(cell.text in text and cell.interval in text for cell in cells)


@pytest.mark.parametrize(
    ("value", "places", "signed", "expected"),
    [
        (0.1234, 2, False, "0.12"),
        (-0.1234, 2, False, "\N{MINUS SIGN}0.12"),
        (0.5, 1, True, "+0.5"),
        (-0.001, 2, True, "0.00"),
        (0.001, 2, True, "0.00"),
        (310.4, 0, False, "310"),
    ],
)
def test_number_format(value: float, places: int, signed: bool, expected: str) -> None:
    assert format_number(value, places, signed) == expected


@pytest.mark.parametrize(
    ("estimate", "differences", "places"),
    [
        (Estimate(0.62, 0.60, 0.64), False, 2),
        (Estimate(0.0412, 0.0400, 0.0424), False, 3),
        (Estimate(12.0, 8.0, 16.0), False, 0),
        (Estimate(310.0, 310.0, 310.0), False, 0),
        (Estimate(0.004, 0.004, 0.004), False, 5),
        (Estimate(0.0, 0.0, 0.0), False, 2),
        (Estimate(0.05, 0.001, 0.1), True, 3),  # not "0.00 to 0.10" for an interval that excludes 0
        (Estimate(0.05, -0.001, 0.1), True, 2),
    ],
)
def test_decimals_follow_the_width_of_the_interval(
    estimate: Estimate, differences: bool, places: int
) -> None:
    assert interval_places([estimate, None], differences) == places


def test_variant_titles() -> None:
    assert variant_title("lora-r16") == "LoRA rank 16"
    assert variant_title("lora-r8-palette_32") == "LoRA rank 8, palette 32"
    assert variant_title("lora-r4-sgd-lr_1e-3") == "LoRA rank 4, sgd-lr 1e-3"
    assert variant_title("base") == "untouched base"
    assert variant_title("ranks/lora-r8") == "LoRA rank 8 (ranks)"
    assert variant_title("dora-r4") == "dora-r4"
