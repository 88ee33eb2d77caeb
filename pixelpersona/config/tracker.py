"""Schema of the group `tracker`: where a run reports to."""

from dataclasses import dataclass, field
from enum import StrEnum

from pixelpersona.config.field_kinds import TEXT

TrackerMode = StrEnum("TrackerMode", ["auto", "online", "offline", "disabled"])


@dataclass(kw_only=True, slots=True)
class TrackerConfig:
    """Weights & Biases; metrics.jsonl is written in any case.

    mode: auto (online with a key, offline without), online, offline, or disabled.
    project: project at W&B.
    entity: user or team at W&B; null for that of the key.
    name: name of the run at W&B; null for the run's own name.
    group: group of runs; null for the sweep's, or the name of the runs folder.
    tags: tags of the run.
    notes: text beside the run at W&B.
    start_timeout_s: seconds to wait for W&B's server at the start; auto then continues offline.
    finish_timeout_s: seconds to wait for uploads at the end; `wandb sync` uploads the rest later.
    """

    mode: TrackerMode
    project: str = field(metadata=TEXT)
    entity: str | None = field(metadata=TEXT)
    name: str | None = field(metadata=TEXT)
    group: str | None = field(metadata=TEXT)
    tags: list[str]
    notes: str | None = field(metadata=TEXT)
    start_timeout_s: float
    finish_timeout_s: float
