"""Schema of the group `paths`."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(kw_only=True, slots=True)
class PathsConfig:
    """Where files go.

    runs: run folders, results and reports.
    cache: pairs and latents, named by the hash of their contents.
    """

    runs: Path
    cache: Path
