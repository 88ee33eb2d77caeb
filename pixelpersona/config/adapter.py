"""Schema of the group `adapter`."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(kw_only=True, slots=True)
class AdapterConfig:
    """Which trained adapter to load.

    path: a LoRA file or the run folder that holds it; null for the packaged one (tiny) or none (others).
    """

    path: Path | None
