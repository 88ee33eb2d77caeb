"""Schema of the command `report`."""

from dataclasses import dataclass, field

from pixelpersona.config.command import CommandConfig
from pixelpersona.config.field_kinds import TEXT
from pixelpersona.config.paths import PathsConfig
from pixelpersona.config.study import StudyConfig


@dataclass(kw_only=True, slots=True)
class ReportConfig(CommandConfig):
    """Write result.json and the runs beside it as report.html, report.md and results.csv.

    title: title of the report.
    """

    title: str = field(metadata=TEXT)
    study: StudyConfig
    paths: PathsConfig
