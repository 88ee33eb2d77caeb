"""Keys of every command."""

from dataclasses import dataclass, field
from pathlib import Path

from pixelpersona.config.field_kinds import TEXT


@dataclass(kw_only=True, slots=True)
class CommandConfig:
    """What `cli.command` reads.

    name: name of the stage in the timing file.
    timing: JSON file that collects seconds per stage; null for none.
    """

    name: str = field(metadata=TEXT)
    timing: Path | None
