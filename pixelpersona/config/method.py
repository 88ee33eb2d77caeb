"""Schema of the group `method`: what is trained."""

from dataclasses import dataclass, field
from enum import StrEnum

from pixelpersona.config.field_kinds import NOT_NEGATIVE, TEXT

MethodKind = StrEnum("MethodKind", ["lora", "supervised"])


@dataclass(kw_only=True, slots=True)
class MethodConfig:
    """The method and its defaults.

    kind: lora or supervised.
    run_name: name of the run folder unless `name` is given.
    lr: default of optimizer.lr.
    num_steps: default of loop.num_steps.
    batch_size: default of loop.batch_size.
    widths: channels per level of the supervised baseline, three multiples of 8; null for lora.
    """

    kind: MethodKind
    run_name: str = field(metadata=TEXT)
    lr: float = field(metadata=NOT_NEGATIVE)
    num_steps: int
    batch_size: int
    widths: list[int] | None
