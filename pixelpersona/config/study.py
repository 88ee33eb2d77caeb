"""Schema of the group `study`: the text of a study under experiments/."""

from dataclasses import dataclass, field
from pathlib import Path

from pixelpersona.config.field_kinds import TEXT


@dataclass(kw_only=True, slots=True)
class StudyConfig:
    """A study's page; see `reporting.study`.

    folder: folder under experiments/ to write the study to; null for none.
    question: its title.
    notes: how it was done and how to read the tables.
    would_change: what could change the answer.
    own_metric: for each variant trained on another grid, the grid-contrast metric of that grid.
    commands: shell commands that repeat it; null for those of the runs.
    """

    folder: Path | None
    question: str = field(metadata=TEXT)
    notes: str = field(metadata=TEXT)
    would_change: str = field(metadata=TEXT)
    own_metric: dict[str, str]
    commands: list[str] | None
