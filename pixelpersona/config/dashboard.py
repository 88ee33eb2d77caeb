"""Schema of the command `dashboard`."""

from dataclasses import dataclass
from pathlib import Path

from pixelpersona.config.tracker import TrackerConfig


@dataclass(kw_only=True, slots=True)
class DashboardConfig:
    """Save a workspace view and a report of a project's runs at Weights & Biases.

    name: name of the stage in the timing file.
    timing: JSON file that collects seconds per stage; null for none.
    entity: user or team at W&B; null for the key's own.
    """

    name: str
    timing: Path | None
    entity: str | None
    tracker: TrackerConfig
