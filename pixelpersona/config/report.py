"""Schema of the command `report`."""

from dataclasses import dataclass, field

from pixelpersona.config.command import CommandConfig
from pixelpersona.config.paths import PathsConfig
from pixelpersona.config.study import StudyConfig


@dataclass(kw_only=True, slots=True)
class ReportConfig(CommandConfig):
    """Write result.json and the runs beside it as report.html, report.md and results.csv.

    title: title of the report.
    """

    title: str = field(metadata={"text": True})
    study: StudyConfig
    paths: PathsConfig
