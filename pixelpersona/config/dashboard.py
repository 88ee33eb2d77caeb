"""Schema of the command `dashboard`."""

from dataclasses import dataclass

from pixelpersona.config.command import CommandConfig
from pixelpersona.config.tracker import TrackerConfig


@dataclass(kw_only=True, slots=True)
class DashboardConfig(CommandConfig):
    """Save a workspace view and a report of a project's runs at Weights & Biases."""

    tracker: TrackerConfig
