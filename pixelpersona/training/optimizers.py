"""Optimizers with named parameter groups, and learning-rate schedules."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from diffusers.optimization import get_scheduler
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

_LR_SCHEDULES = {"constant": "constant_with_warmup", "cosine": "cosine", "linear": "linear"}


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """The parameters whose full name contains `pattern` (a regular expression), and their settings.

    lr: learning rate, > 0. weight_decay: decoupled (AdamW), >= 0.
    """

    name: str
    pattern: str
    lr: float
    weight_decay: float


def group_parameters(
    named_parameters: Iterable[tuple[str, nn.Parameter]], groups: Sequence[ParameterGroup]
) -> list[dict[str, object]]:
    """Sort every trainable parameter into exactly one group, in torch.optim's form; empty groups are dropped.

    Raises ValueError naming a parameter that no group, or more than one group, matches.
    """
    members: dict[str, list[nn.Parameter]] = {group.name: [] for group in groups}
    for name, parameter in named_parameters:
        if not parameter.requires_grad:
            continue
        matches = [group.name for group in groups if re.search(group.pattern, name)]
        if len(matches) != 1:
            found = " and ".join(matches) if matches else "none"
            raise ValueError(
                f"optimizer.groups: parameter {name} is matched by {found}; exactly one must match"
            )
        members[matches[0]].append(parameter)
    return [
        {
            "name": group.name,
            "params": members[group.name],
            "lr": group.lr,
            "weight_decay": group.weight_decay,
        }
        for group in groups
        if members[group.name]
    ]


def adamw(
    parameter_groups: Sequence[dict[str, object]],
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2017, arXiv:1711.05101), one fused kernel per step."""
    return torch.optim.AdamW(list(parameter_groups), betas=(beta1, beta2), eps=eps, fused=True)


def sgd(parameter_groups: Sequence[dict[str, object]], *, momentum: float) -> torch.optim.SGD:
    """SGD with Nesterov momentum (Sutskever et al. 2013); plain SGD when momentum is 0."""
    return torch.optim.SGD(list(parameter_groups), momentum=momentum, nesterov=momentum > 0)


def prodigy(
    parameter_groups: Sequence[dict[str, object]],
    *,
    beta1: float,
    beta2: float,
    eps: float,
    growth_rate: float | None = None,
) -> torch.optim.Optimizer:
    """Prodigy (Mishchenko & Defazio 2023, arXiv:2306.06101): estimates its own step size; lr stays at 1.

    growth_rate: largest growth of the estimate in one step; None for no limit. There is one estimate for all
    groups, so all must have one lr. Raises ValueError when they do not, or without the extra `prodigy`.
    """
    try:
        from prodigyopt import Prodigy  # an extra
    except ImportError as error:
        raise ValueError("optimizer=prodigy needs a package: pip install 'pixelpersona[prodigy]'") from error
    if len({group["lr"] for group in parameter_groups}) > 1:
        raise ValueError("optimizer.groups: prodigy needs one lr for all groups (lr_scale 1)")
    optimizer: torch.optim.Optimizer = Prodigy(
        list(parameter_groups),
        betas=(beta1, beta2),
        eps=eps,
        decouple=True,
        use_bias_correction=True,
        safeguard_warmup=True,
        growth_rate=math.inf if growth_rate is None else growth_rate,
    )
    return optimizer


def make_optimizer(
    kind: str, parameter_groups: Sequence[dict[str, object]], **options: float | None
) -> torch.optim.Optimizer:
    """The optimizer of that name: adamw (beta1, beta2, eps), sgd (momentum), prodigy (and growth_rate).

    options: of all optimizers; those of other kinds are ignored. Raises ValueError naming optimizer.<key>
    when an option that the kind needs is None, or optimizer.kind when there is no such optimizer.
    """
    needed = {
        "adamw": ("beta1", "beta2", "eps"),
        "sgd": ("momentum",),
        "prodigy": ("beta1", "beta2", "eps"),
    }
    if kind not in needed:
        raise ValueError(f"optimizer.kind={kind}: accepted {', '.join(needed)}")
    values: dict[str, float] = {}
    for key in needed[kind]:
        value = options.get(key)
        if value is None:
            raise ValueError(f"optimizer.{key}=null: optimizer.kind={kind} needs a number")
        values[key] = value
    match kind:
        case "adamw":
            return adamw(parameter_groups, **values)
        case "sgd":
            return sgd(parameter_groups, **values)
    return prodigy(parameter_groups, **values, growth_rate=options.get("growth_rate"))


def lr_schedule(
    optimizer: torch.optim.Optimizer,
    kind: str,
    *,
    num_steps: int,
    num_warmup_steps: int = 0,
    max_warmup_share: float = math.inf,
) -> LambdaLR:
    """diffusers' schedule for every group: linear warm-up from 0, then constant, cosine or linear to 0.

    max_warmup_share: the warm-up takes at most this share of num_steps, rounded down; no limit by default.
    Raises ValueError naming lr_schedule.kind for another kind.
    """
    if kind not in _LR_SCHEDULES:
        raise ValueError(f"lr_schedule.kind={kind}: accepted {', '.join(_LR_SCHEDULES)}")
    schedule: LambdaLR = get_scheduler(
        _LR_SCHEDULES[kind],
        optimizer,
        num_warmup_steps=int(min(num_warmup_steps, max_warmup_share * num_steps)),
        num_training_steps=num_steps,
    )
    return schedule
