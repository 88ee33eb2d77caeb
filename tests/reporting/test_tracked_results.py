"""What a tracker records of an evaluation."""

import json
from pathlib import Path

from PIL import Image

from pixelpersona.evaluation.result import EvalResults
from pixelpersona.reporting.tracked_results import log_results
from pixelpersona.tracking.jsonl import JsonlTracker


def test_values_differences_means_and_sheets_are_recorded(tmp_path: Path, results: EvalResults) -> None:
    sheet = tmp_path / "raw.png"
    Image.new("RGB", (4, 2), "red").save(sheet)
    tracker = JsonlTracker(tmp_path / "run")
    log_results(tracker, results, [sheet])
    tracker.finish()
    folder = tmp_path / "run" / "media" / "evaluation"
    table = json.loads((folder / "results" / "step-000000.json").read_text(encoding="utf-8"))
    assert len(table["rows"]) == sum(len(result.metrics) for result in results.variants)
    known = results.variant("lora-r4").metrics["likeness_raw"]
    assert table["columns"] == ["variant", "metric", "mean", "low", "high", "num_seeds", "deviation"]
    assert ["lora-r4", "likeness_raw", known.mean, known.low, known.high, 1, None] in table["rows"]
    table = json.loads((folder / "differences" / "step-000000.json").read_text(encoding="utf-8"))
    (difference,) = results.differences
    e = difference.estimate
    assert table["rows"] == [["lora-r4", "base", "likeness_raw", e.mean, e.low, e.high, 1, None]]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text(encoding="utf-8"))
    assert summary["lora-r4/likeness_raw"] == known.mean
    assert Image.open(folder / "raw" / "step-000000.png").size == (4, 2)
