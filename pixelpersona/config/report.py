"""Schema of the command `report`."""

from dataclasses import dataclass
from pathlib import Path

from pixelpersona.config.paths import PathsConfig
from pixelpersona.config.study import StudyConfig


@dataclass(kw_only=True, slots=True)
class ReportConfig:
    """Write result.json and the runs beside it as report.html, report.md and results.csv.

    name: name of the stage in the timing file.
    timing: JSON file that collects seconds per stage; null for none.
    title: title of the report.
    """

    name: str
    timing: Path | None
    title: str
    study: StudyConfig
    paths: PathsConfig
