"""Schema of the command `dashboard`."""

from dataclasses import dataclass, field

from pixelpersona.config.command import CommandConfig
from pixelpersona.config.field_kinds import TEXT
from pixelpersona.config.tracker import TrackerConfig


@dataclass(kw_only=True, slots=True)
class DashboardConfig(CommandConfig):
    """Save a workspace view and a report of a project's runs at Weights & Biases.

    entity: user or team at W&B; null for the key's own.
    """

    entity: str | None = field(metadata=TEXT)
    tracker: TrackerConfig
