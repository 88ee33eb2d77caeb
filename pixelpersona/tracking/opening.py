"""Opens the trackers of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pixelpersona.tracking.jsonl import JsonlTracker
from pixelpersona.tracking.tracker import Tracker, Trackers
from pixelpersona.tracking.wandb_run import WandbTracker

_PACKAGE = Path(__file__).parents[1]


def open_tracker(
    folder: Path,
    *,
    name: str,
    job_type: str,
    config: Mapping[str, Any],
    mode: str,
    project: str,
    group: str | None,
    tags: Sequence[str],
    start_timeout_s: float,
    finish_timeout_s: float,
    run_id: str | None = None,
    resume_step: int | None = None,
    resume_rows: int | None = None,
    metrics_file: bool = True,
) -> Tracker:
    """Open metrics.jsonl in `folder` and, unless mode is "disabled", a W&B run in folder/wandb.

    metrics_file: False for a result that has a file of its own; then no metrics.jsonl is written, and
    `folder` is the folder of runs instead of a run in it. group: of the W&B run; None for the name of the
    folder of runs. resume_step, resume_rows: see `JsonlTracker`. The others: see `WandbTracker`, which
    keeps this package's code with the run.
    """
    trackers: list[Tracker] = []
    if metrics_file:
        trackers.append(JsonlTracker(folder, resume_step=resume_step, resume_rows=resume_rows))
    if mode != "disabled":
        trackers.append(
            WandbTracker(
                folder,
                name=name,
                job_type=job_type,
                config=config,
                mode=mode,
                project=project,
                group=group or (folder.parent if metrics_file else folder).name,
                tags=tags,
                start_timeout_s=start_timeout_s,
                finish_timeout_s=finish_timeout_s,
                run_id=run_id,
                code=_PACKAGE,
            )
        )
    return Trackers(trackers)
