"""W&B's run summaries hold last and best values, with the directions of the evaluation's metrics."""

from pathlib import Path

import pytest
import yaml

from pixelpersona.cli.schemas import config_folder
from pixelpersona.evaluation.result import METRICS
from pixelpersona.tracking.directions import BETTER
from tests.tracking.reading import inspect, summary
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
    found = {key: value for key, value in summary(inspect(tmp_path)).items() if "/" in key}
    assert found == dict.fromkeys([*BETTER, "train/lr/unet"], 2) | {
        "best/train/loss": 1,
        "best/val/loss": 1,
        "best/eval/kid_persona": 1,
        "best/eval/fid_persona": 1,
        "best/eval/grid_contrast": 3,
        "train/step": 3,
    }


@pytest.mark.usefixtures("own_home")
def test_the_base_at_step_0_is_not_the_best_value_of_a_run(tmp_path: Path) -> None:
    tracker = start_run(tmp_path)
    for step, value in enumerate((1.0, 3.0, 2.0)):
        tracker.scalars({"val/loss": value}, step)
    tracker.finish()
    found = summary(inspect(tmp_path))
    assert (found["val/loss"], found["best/val/loss"]) == (2.0, 2.0)


@pytest.mark.usefixtures("own_home")
def test_a_sweep_finds_a_number_under_the_name_of_its_metric(tmp_path: Path) -> None:
    """A search reads `summaryMetrics[metric.name]` and passes over everything but finite numbers.

    It looks the name up as it is: `val/loss.min` does not lead into {"val/loss": {"min": ...}}.
    """
    sweep = yaml.safe_load((config_folder() / "wandb_sweep.yaml").read_text(encoding="utf-8"))
    tracker = start_run(tmp_path)
    for step, value in enumerate((0.3, 0.5, 0.1, 0.2)):
        tracker.scalars({"val/loss": value}, step)
    tracker.finish()
    assert summary(inspect(tmp_path))[sweep["metric"]["name"]] == 0.1
    assert sweep["metric"]["goal"] == {"min": "minimize", "max": "maximize"}[BETTER["val/loss"]]


@pytest.mark.usefixtures("own_home")
def test_the_summary_of_a_resumed_part_is_complete(tmp_path: Path) -> None:
    """`wandb sync` replaces the summary of a run by that of the part that is synced last."""
    earlier = [{"step": 0, "val/loss": 0.05}, {"step": 2, "val/loss": 0.1}, {"step": 4, "val/loss": 0.2}]
    tracker = start_run(tmp_path, run_id="a1b2c3", earlier=earlier)
    tracker.scalars({"train/loss": 1.0}, 5)
    tracker.scalars({"val/loss": 0.15}, 6)
    tracker.finish()
    found = summary(inspect(tmp_path))
    assert {key: value for key, value in found.items() if key.endswith("loss")} == {
        "val/loss": 0.15, "best/val/loss": 0.1, "train/loss": 1.0, "best/train/loss": 1.0,
    }  # fmt: skip
