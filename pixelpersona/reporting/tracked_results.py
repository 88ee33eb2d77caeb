"""The results of an evaluation, recorded at a tracker."""

from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

from PIL import Image

from pixelpersona.evaluation.result import EvalResults
from pixelpersona.tracking.tracker import Tracker


def log_results(tracker: Tracker, results: EvalResults, sheets: Sequence[Path]) -> None:
    """Record values and differences with their intervals as tables, means as summary, and contact sheets."""
    values = [(r.variant, name, e) for r in results.variants for name, e in r.metrics.items()]
    interval = ["mean", "low", "high"]
    rows = [[variant, name, *astuple(estimate)] for variant, name, estimate in values]
    tracker.table("evaluation/results", ["variant", "metric", *interval], rows, 0)
    rows = [[d.variant, d.baseline, d.metric, *astuple(d.estimate)] for d in results.differences]
    tracker.table("evaluation/differences", ["variant", "baseline", "metric", *interval], rows, 0)
    tracker.summary({f"{variant}/{name}": estimate.mean for variant, name, estimate in values})
    for sheet in sheets:
        with Image.open(sheet) as picture:
            tracker.images(f"evaluation/{sheet.stem}", [picture.convert("RGB")], 0)
