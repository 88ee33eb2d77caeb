"""W&B's run summaries hold last and best values, with the directions of the evaluation's metrics."""

from pathlib import Path

import pytest

from pixelpersona.evaluation.result import METRICS
from pixelpersona.tracking.directions import BETTER
from tests.tracking.reading import inspect, of_kind
from tests.tracking.starting import start_run


@pytest.mark.parametrize("name", [name for name in BETTER if name.startswith("eval/")])
def test_directions_agree_with_the_metrics_of_evaluations(name: str) -> None:
    better = METRICS[f"{name.removeprefix('eval/')}_raw"].better
    assert BETTER[name] == {"higher": "max", "lower": "min"}[better]


@pytest.mark.usefixtures("own_home")
def test_run_summary_holds_last_and_best_values(tmp_path: Path) -> None:
    tracker = start_run(tmp_path)
    for step, value in enumerate((3.0, 1.0, 2.0), start=1):
        tracker.scalars(dict.fromkeys(BETTER, value) | {"train/lr/unet": value}, step)
    tracker.finish()
    last = [u["update"] for u in of_kind(inspect(tmp_path), "summary") if "train/step" in u["update"]][-1]
    found = {key: value for key, value in last.items() if key in BETTER or key == "train/lr/unet"}
    lowest, highest = {"last": 2, "min": 1}, {"last": 2, "max": 3}
    assert found == {
        "train/loss": lowest,
        "val/loss": lowest,
        "eval/kid_persona": lowest,
        "eval/fid_persona": lowest,
        "eval/grid_contrast": highest,
        "train/lr/unet": 2,
    }
