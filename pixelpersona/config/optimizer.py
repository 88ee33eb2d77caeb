"""Schema of the group `optimizer`."""

from dataclasses import dataclass, field
from enum import StrEnum

from pixelpersona.config.field_kinds import NOT_NEGATIVE

OptimizerKind = StrEnum("OptimizerKind", ["adamw", "sgd", "prodigy"])


@dataclass(kw_only=True, slots=True)
class GroupConfig:
    """Parameters with a learning rate of their own.

    pattern: regular expression searched for in the parameters' names.
    lr_scale: factor on optimizer.lr.
    weight_decay: null for optimizer.weight_decay.
    """

    pattern: str
    lr_scale: float = field(metadata=NOT_NEGATIVE)
    weight_decay: float | None = field(metadata=NOT_NEGATIVE)


@dataclass(kw_only=True, slots=True)
class OptimizerConfig:
    """An optimizer with parameter groups.

    kind: adamw, sgd or prodigy.
    lr: learning rate.
    weight_decay: decoupled weight decay.
    beta1: of adamw and prodigy; null for others.
    beta2: of adamw and prodigy; null for others.
    eps: of adamw and prodigy; null for others.
    momentum: of sgd; null for others.
    growth_rate: of prodigy, the largest growth of its step size in one step; null for no limit.
    groups: pattern, lr_scale and weight_decay of each group; every parameter belongs to exactly one.
    """

    kind: OptimizerKind
    lr: float = field(metadata=NOT_NEGATIVE)
    weight_decay: float = field(metadata=NOT_NEGATIVE)
    beta1: float | None
    beta2: float | None
    eps: float | None
    momentum: float | None
    growth_rate: float | None
    groups: dict[str, GroupConfig]
