"""`tracker`: where a run reports to."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pixelpersona.tracking.tracker import Tracker


class TrackerMode(Enum):
    auto = "auto"
    online = "online"
    offline = "offline"
    disabled = "disabled"


@dataclass(kw_only=True, slots=True)
class TrackerConfig:
    """mode: auto is online with a W&B key and offline without; disabled writes metrics.jsonl alone."""

    mode: TrackerMode = TrackerMode.auto
    project: str = "pixelpersona"
    group: str | None = None
    tags: list[str] = field(default_factory=list)


def make_tracker(
    tracker: TrackerConfig,
    folder: Path,
    *,
    name: str,
    job_type: str,
    config: dict[str, Any],
    run_id: str | None = None,
    resume_step: int | None = None,
) -> "Tracker":
    """metrics.jsonl, and Weights & Biases unless disabled."""
    from pixelpersona.tracking.jsonl import JsonlTracker
    from pixelpersona.tracking.tracker import Trackers
    from pixelpersona.tracking.wandb_run import WandbTracker

    record = JsonlTracker(folder, resume_step=resume_step)
    if tracker.mode is TrackerMode.disabled:
        return record
    run = WandbTracker(
        folder,
        project=tracker.project,
        name=name,
        group=tracker.group or folder.parent.name,
        job_type=job_type,
        tags=tracker.tags,
        config=config,
        mode=tracker.mode.value,
        run_id=run_id,
    )
    return Trackers([record, run])
