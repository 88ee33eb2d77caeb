"""`tracker`: where a run reports to."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelpersona.config import PACKAGE

if TYPE_CHECKING:
    from pixelpersona.data.pairset import PairSet
    from pixelpersona.tracking.tracker import Tracker


class TrackerMode(Enum):
    auto = "auto"
    online = "online"
    offline = "offline"
    disabled = "disabled"


@dataclass(kw_only=True, slots=True)
class TrackerConfig:
    """mode: auto is online with a W&B key and offline without; disabled writes metrics.jsonl alone.

    start_timeout_s: how long W&B's server may keep the start waiting; then auto goes on offline.
    finish_timeout_s: how long the end waits for uploads; `wandb sync` uploads what is left.
    """

    mode: TrackerMode = TrackerMode.auto
    project: str = "pixelpersona"
    group: str | None = None
    tags: list[str] = field(default_factory=list)
    start_timeout_s: float = 30.0
    finish_timeout_s: float = 300.0


def make_tracker(
    tracker: TrackerConfig,
    folder: Path,
    *,
    name: str,
    job_type: str,
    config: dict[str, Any],
    run_id: str | None = None,
    resume_step: int | None = None,
    resume_rows: int | None = None,
) -> "Tracker":
    """metrics.jsonl, and Weights & Biases unless disabled. resume_*: as `JsonlTracker` has them."""
    from pixelpersona.tracking.jsonl import JsonlTracker
    from pixelpersona.tracking.tracker import Trackers
    from pixelpersona.tracking.wandb_run import WandbTracker

    record = JsonlTracker(folder, resume_step=resume_step, resume_rows=resume_rows)
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
        code=PACKAGE,
        start_timeout_s=tracker.start_timeout_s,
        finish_timeout_s=tracker.finish_timeout_s,
    )
    return Trackers([record, run])


def log_dataset(tracker: "Tracker", pair_set: "PairSet") -> None:
    """What a run learns from, as an artifact: captions and digests, no pictures, which may be private."""
    from pixelpersona.data.pairset import MANIFEST, METADATA

    metadata = {
        "key": pair_set.key,
        "sha256": pair_set.sha256,
        "num_pairs": len(pair_set),
        "num_rejected": pair_set.num_rejected,
        "recipe": dict(pair_set.recipe),
    }
    files = [pair_set.folder / MANIFEST, pair_set.folder / METADATA]
    tracker.artifact(pair_set.folder.name, "dataset", files, metadata)
