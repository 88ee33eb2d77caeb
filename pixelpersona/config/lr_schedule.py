"""Schema of the group `lr_schedule`."""

from dataclasses import dataclass


@dataclass(kw_only=True, slots=True)
class LrScheduleConfig:
    """How the learning rate changes over the run.

    kind: constant, cosine or linear.
    num_warmup_steps: steps of linear warm-up from 0.
    """

    kind: str
    num_warmup_steps: int
