"""`tracker`: where a run reports to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelpersona.config import PACKAGE

if TYPE_CHECKING:
    from pixelpersona.data.pairset import PairSet
    from pixelpersona.evaluation.result import EvalResults
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

    record = JsonlTracker(folder, resume_step=resume_step, resume_rows=resume_rows)
    if tracker.mode is TrackerMode.disabled:
        return record
    group = tracker.group or folder.parent.name
    run = _wandb_run(tracker, folder, name=name, group=group, job_type=job_type, config=config, run_id=run_id)
    return Trackers([record, run])


def make_result_tracker(
    tracker: TrackerConfig, folder: Path, *, name: str, config: dict[str, Any]
) -> "Tracker":
    """Weights & Biases alone, for a result that has a file of its own. Not for the mode disabled."""
    group = tracker.group or folder.name
    return _wandb_run(tracker, folder, name=name, group=group, job_type=name, config=config)


def _wandb_run(
    tracker: TrackerConfig,
    folder: Path,
    *,
    name: str,
    group: str,
    job_type: str,
    config: dict[str, Any],
    run_id: str | None = None,
) -> "Tracker":
    from pixelpersona.tracking.wandb_run import WandbTracker

    return WandbTracker(
        folder,
        project=tracker.project,
        name=name,
        group=group,
        job_type=job_type,
        tags=tracker.tags,
        config=config,
        mode=tracker.mode.value,
        run_id=run_id,
        code=PACKAGE,
        start_timeout_s=tracker.start_timeout_s,
        finish_timeout_s=tracker.finish_timeout_s,
    )


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


def log_results(tracker: "Tracker", results: "EvalResults", sheets: Sequence[Path]) -> None:
    """A comparison: values and differences with their intervals as tables, means as summary, the sheets."""
    from PIL import Image

    values = [(r.variant, name, e) for r in results.variants for name, e in r.metrics.items()]
    interval = ["mean", "low", "high"]
    rows = [[variant, name, e.mean, e.low, e.high] for variant, name, e in values]
    tracker.table("evaluation/results", ["variant", "metric", *interval], rows, 0)
    told = [(d, d.estimate) for d in results.differences]
    rows = [[d.variant, d.baseline, d.metric, e.mean, e.low, e.high] for d, e in told]
    tracker.table("evaluation/differences", ["variant", "baseline", "metric", *interval], rows, 0)
    tracker.summary({f"{variant}/{name}": estimate.mean for variant, name, estimate in values})
    for sheet in sheets:
        with Image.open(sheet) as picture:
            tracker.images(f"evaluation/{sheet.stem}", [picture.convert("RGB")], 0)
