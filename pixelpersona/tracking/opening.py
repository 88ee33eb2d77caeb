"""Opens the trackers of a run."""

from pathlib import Path
from typing import Any

from pixelpersona.tracking.jsonl import JsonlTracker
from pixelpersona.tracking.tracker import Tracker, Trackers
from pixelpersona.tracking.wandb_run import WandbTracker

_PACKAGE = Path(__file__).parents[1]


def open_tracker(
    folder: Path,
    *,
    run_name: str,
    mode: str,
    name: str | None,
    group: str | None,
    resume_step: int | None = None,
    resume_rows: int | None = None,
    metrics_file: bool = True,
    **settings: Any,
) -> Tracker:
    """Open metrics.jsonl in `folder` and, unless mode is "disabled", a W&B run in folder/wandb.

    metrics_file: False for a result that has a file of its own; then no metrics.jsonl is written, and
    `folder` is the folder of runs instead of a run in it. name, group: of the W&B run; None for
    `run_name` and the name of the folder of runs. resume_step, resume_rows: see `JsonlTracker`. settings: the
    other arguments of `WandbTracker`, which keeps this package's code with the run.
    """
    trackers: list[Tracker] = []
    earlier: list[dict[str, float]] = []
    if metrics_file:
        jsonl = JsonlTracker(folder, resume_step, resume_rows)
        trackers.append(jsonl)
        earlier = jsonl.earlier
    if mode != "disabled":
        settings |= {
            "name": name or run_name,
            "group": group or (folder.parent if metrics_file else folder).name,
            "earlier": earlier,
        }
        trackers.append(WandbTracker(folder, mode=mode, code=_PACKAGE, **settings))
    return Trackers(trackers)
