"""Schema of the group `lr_schedule`."""

from dataclasses import dataclass, field

from pixelpersona.config.field_kinds import NOT_NEGATIVE, SHARE


@dataclass(kw_only=True, slots=True)
class LrScheduleConfig:
    """How the learning rate changes over the run.

    kind: constant, cosine or linear.
    num_warmup_steps: steps of linear warm-up from 0.
    max_warmup_share: largest share of the run's steps that the warm-up takes, 0 to 1.
    """

    kind: str
    num_warmup_steps: int = field(metadata=NOT_NEGATIVE)
    max_warmup_share: float = field(metadata=SHARE)
