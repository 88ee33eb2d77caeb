"""Tables, verdict, page, study, card and tracker of runs with several training seeds, and of single runs."""

import csv
import io
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pixelpersona.evaluation.intervals import Estimate, crossed_mean
from pixelpersona.evaluation.result import EvalResult, EvalResults, load_results
from pixelpersona.evaluation.training_seeds import group_seeds
from pixelpersona.reporting.card import write_card
from pixelpersona.reporting.page import render_page
from pixelpersona.reporting.plots import interval_plot
from pixelpersona.reporting.study import Study, render_study
from pixelpersona.reporting.table import (
    differences_table,
    results_table,
    seeds_table,
    to_csv,
    variant_title,
)
from pixelpersona.reporting.tracked_results import log_results
from pixelpersona.reporting.verdict import seeds_text, verdict
from pixelpersona.tracking.jsonl import JsonlTracker
from tests.reporting.test_card import INFO

STUDIES = Path(__file__).resolve().parents[2] / "experiments"
SHIFTS = {0: -0.03, 1: 0.0, 2: 0.03}


def of_seed(result: EvalResult, seed: int, spread: float) -> EvalResult:
    """Another run: every photo's grid contrast and likeness changed by the same amount, and noise."""
    noise = np.random.default_rng(seed).normal(0.0, 0.02, len(result.photo_ids))
    per_photo = dict(result.per_photo)
    for name in ("grid_contrast_raw", "likeness_raw"):
        per_photo[name] = (np.array(per_photo[name]) + spread * SHIFTS[seed] + noise).tolist()
    means = {name: Estimate(float(np.mean(v)), 0.0, 1.0) for name, v in per_photo.items()}
    return replace(
        result,
        variant=f"{result.variant}-seed_{seed}",
        metrics=result.metrics | means,
        per_photo=per_photo,
        adapter_sha256=f"{seed}{result.variant[-1]}" * 32,
        training_seeds=[seed],
    )


def seeded(results: EvalResults, spread: float = 1.0) -> EvalResults:
    """Both LoRAs with three seeds; spread: how much the seeds of rank 8 differ from those of rank 4."""
    photo, base, four, eight = results.variants
    runs = [of_seed(four, seed, 1.0) for seed in SHIFTS] + [of_seed(eight, seed, spread) for seed in SHIFTS]
    variants = [photo, base, *runs]
    settings = {run.variant: run.variant.partition("-seed")[0] for run in runs}
    return EvalResults(variants, [], results.settings, group_seeds(variants, settings))


@pytest.fixture(scope="module")
def three(results: EvalResults) -> EvalResults:
    return seeded(results)


def test_a_table_has_one_row_for_all_seeds_with_interval_and_deviation(three: EvalResults) -> None:
    rows = dict(results_table(three, "raw").rows)
    assert list(rows) == ["photo", "untouched base", "LoRA rank 4 (3 seeds)", "LoRA rank 8 (3 seeds)"]
    cell = rows["LoRA rank 4 (3 seeds)"][0]
    values = np.array([r.per_photo["grid_contrast_raw"] for r in three.variants if "r4" in r.variant])
    known = crossed_mean(values)
    assert (cell.text, cell.mark) == (f"{known.mean:.2f}", "")
    deviation = values.mean(axis=1).std(ddof=1)
    assert cell.interval == f"{known.low:.2f} to {known.high:.2f}; SD {deviation:.2g}"
    assert rows["untouched base"][0].interval.count("SD") == 0
    assert rows["LoRA rank 8 (3 seeds)"][0].mark == "best"


def test_seconds_of_a_row_are_the_mean_of_its_runs(three: EvalResults) -> None:
    table = results_table(three, "", {"lora-r4-seed_0": 1.0, "lora-r4-seed_1": 2.0})
    assert dict(table.rows)["LoRA rank 4 (3 seeds)"][-1].text == "1.5"


def test_single_seeds_have_a_table_of_their_own(three: EvalResults, results: EvalResults) -> None:
    table = seeds_table(three, "raw")
    assert [title for title, _ in table.rows] == [
        f"LoRA rank {rank}, seed {seed}" for rank in (4, 8) for seed in (0, 1, 2)
    ]
    assert table.title == "Single training seeds. Raw: before snapping"
    assert {cell.mark for _, cells in table.rows for cell in cells} == {""}
    assert seeds_table(results, "raw").rows == []


def test_a_claim_between_ranks_needs_the_seeds_to_agree(results: EvalResults) -> None:
    """Rank 8 is ahead by 0.05 on the same photos; with one seed, or with seeds that agree, that is shown."""
    single = verdict(results, "lora-r4")[0]
    assert single.startswith(
        "LoRA rank 8 (+0.05, 0.03 to 0.07) draws pixel art more clearly than LoRA rank 4."
    )
    assert "one training run of each: another training seed may give another difference" in single
    agreed = verdict(seeded(results, spread=1.0), "lora-r4")[0]
    assert agreed.startswith("LoRA rank 8 (+0.05, ")
    assert "draws pixel art more clearly than LoRA rank 4." in agreed
    assert agreed.endswith("over the same 32 photos and 3 training seeds.)")
    differing = verdict(seeded(results, spread=3.0), "lora-r4")[0]
    assert "is not shown to differ from LoRA rank 4" in differing
    assert "more clearly" not in differing


def test_differences_say_over_how_many_seeds_they_are(three: EvalResults, results: EvalResults) -> None:
    table = differences_table(three, "lora-r4")
    assert table.title == "Difference to LoRA rank 4, paired over the same photos and 3 training seeds"
    assert table.columns[1:] == ["untouched base", "LoRA rank 8 (3 seeds)"]
    assert "; SD " in table.rows[0][1][1].interval
    assert differences_table(results, "lora-r4").title.endswith("the same photos, one training run each")
    mixed = replace(three, variants=[*three.variants, results.variants[3]])
    assert differences_table(mixed, "lora-r4").title.endswith("and 1 to 3 training seeds")


def test_own_metrics_are_compared_over_seeds(three: EvalResults) -> None:
    own = {"lora-r8": "likeness_raw", "lora-r4": "grid_contrast_raw"}
    assert verdict(three, "lora-r4", own)[0].endswith("over the same 32 photos and 3 training seeds.)")


def test_page_and_study_say_how_many_seeds_and_show_each(three: EvalResults) -> None:
    page = render_page(three)
    text = render_study(Study(title="Ranks?", results=three), picture=None, results_file="result.json")
    said = (
        "Trained with several seeds: LoRA rank 4 (0, 1, 2) and LoRA rank 8 (0, 1, 2). Their numbers are "
        "means over the seeds, with intervals over seeds and photos, and SD, the standard deviation over the "
        "seeds."
    )
    for shown in (" ".join(page.split()), text):
        assert said in shown
        assert all(variant_title(result.variant) in shown for result in three.variants)
        assert "LoRA rank 8 (3 seeds)" in shown
        assert "and 3 training seeds" in shown
    assert "training seeds: 3" in page
    assert "<summary>Every training seed</summary>" in page
    assert "### Single training seeds. Raw: before snapping" in text
    assert "seed_0" in page  # hashes are of single runs


def test_the_plot_has_a_mark_for_every_seed(three: EvalResults, results: EvalResults) -> None:
    plots = [interval_plot(found, "grid_contrast_raw") for found in (three, results)]
    # Each kind of mark is defined once and used at every point; ticks and means are 2 to 5 each.
    uses = [Counter(re.findall(r'<use href="#(\S+)"', plot.svg)).values() for plot in plots if plot]
    assert [list(found).count(6) for found in uses] == [1, 0]
    assert all(plot is not None and "LoRA rank 4" in plot.svg for plot in plots)


def test_csv_and_tracker_have_number_and_spread_of_seeds(three: EvalResults, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(three))))
    known = three.variant("lora-r4")
    row = next(r for r in rows if (r["variant"], r["metric"]) == ("lora-r4", "grid_contrast_raw"))
    assert (row["num_seeds"], float(row["deviation"])) == ("3", known.deviations["grid_contrast_raw"])
    assert [r["num_seeds"] for r in rows if r["variant"] == "lora-r4-seed_1"] == ["1"] * len(known.metrics)

    tracker = JsonlTracker(tmp_path)
    log_results(tracker, three, [])
    tracker.finish()
    table = json.loads((tmp_path / "media/evaluation/results/step-000000.json").read_text(encoding="utf-8"))
    e = known.metrics["grid_contrast_raw"]
    deviation = known.deviations["grid_contrast_raw"]
    assert ["lora-r4", "grid_contrast_raw", e.mean, e.low, e.high, 3, deviation] in table["rows"]
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["lora-r4/grid_contrast_raw"] == e.mean
    assert summary["lora-r4/grid_contrast_raw/deviation"] == deviation


def test_a_card_is_of_one_run_and_says_so(three: EvalResults, results: EvalResults, tmp_path: Path) -> None:
    text = write_card(tmp_path, INFO, results, "lora-r4").read_text(encoding="utf-8")
    assert "These numbers are from one training run" in text
    assert "name: grid contrast, raw (95 % interval 0.59 to 0.61)" in text
    assert "| metric | LoRA rank 4 |" in text
    text = write_card(tmp_path, INFO, three, "lora-r8-seed_1").read_text(encoding="utf-8")
    assert "| metric | LoRA rank 8, seed 1 |" in text
    group = three.variant("lora-r8")
    e, deviation = group.metrics["grid_contrast_raw"], group.deviations["grid_contrast_raw"]
    assert (
        "Mean over the 3 runs with these settings (95 % interval over seeds and photos; SD over seeds): "
        in text
    )
    assert f"grid contrast, raw {e.mean:.2f} ({e.low:.2f} to {e.high:.2f}; SD {deviation:.2g})" in text


@pytest.mark.parametrize("study", ["demo", "tradeoff"])
def test_committed_results_of_one_seed_render_and_say_so(study: str) -> None:
    results = load_results(STUDIES / study / "results.json")
    said = seeds_text(results)
    assert said.startswith("Trained with one seed: ")
    assert "LoRA rank 4" in said
    text = render_study(Study(title="?", results=results), picture=None, results_file="results.json")
    assert f"**Training seeds.** {said}" in text
    assert "one training run of each: another training seed may give another difference" in text
    assert "Single training seeds" not in text
    assert said in " ".join(render_page(results).split())


def test_the_committed_rank_study_has_three_training_seeds() -> None:
    said = seeds_text(load_results(STUDIES / "rank_sweep" / "results.json"))
    assert "LoRA rank 4 (0, 1, 2)" in said
    assert "LoRA rank 8 (0, 1, 2)" in said
