"""Records the results of an evaluation with a tracker."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from pixelpersona.evaluation.result import EvalResults
from pixelpersona.reporting.table import NUMBERS, difference_rows, value_rows
from pixelpersona.tracking.tracker import Tracker


def log_results(tracker: Tracker, results: EvalResults, sheets: Sequence[Path]) -> None:
    """Record values and differences as tables, with their intervals and spread over training seeds.

    The summary has the means, and their deviations where there are several training seeds; sheets become
    images.
    """
    values = value_rows(results)
    rows = [[variant, name, *numbers] for variant, _, name, *numbers in values]
    tracker.table("evaluation/results", ["variant", "metric", *NUMBERS], rows, 0)
    tracker.table(
        "evaluation/differences", ["variant", "baseline", "metric", *NUMBERS], difference_rows(results), 0
    )
    summary = {f"{variant}/{name}": mean for variant, _, name, mean, *_ in values}
    for group in results.groups:
        summary |= {f"{group.variant}/{name}/deviation": value for name, value in group.deviations.items()}
    tracker.summary(summary)
    for sheet in sheets:
        with Image.open(sheet) as picture:
            tracker.images(f"evaluation/{sheet.stem}", [picture.convert("RGB")], 0)
