"""Starts W&B runs."""

from pathlib import Path
from typing import Any

from pixelpersona.tracking.wandb_run import WandbTracker


def start_run(folder: Path, **changed: Any) -> WandbTracker:
    """A run with the defaults of conf/tracker/wandb.yaml."""
    settings: dict[str, Any] = {
        "project": "faces",
        "name": "lora-r4",
        "group": "runs",
        "job_type": "train",
        "tags": [],
        "config": {},
        "mode": "auto",
        "start_timeout_s": 30.0,
        "finish_timeout_s": 300.0,
    }
    return WandbTracker(folder, **settings | changed)
