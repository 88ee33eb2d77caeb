"""Optimizers with named parameter groups, and learning-rate schedules."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Parameters whose full name contains `pattern` (a regular expression), with their own settings.

    lr: learning rate, > 0. weight_decay: decoupled (AdamW), >= 0.
    """

    name: str
    pattern: str
    lr: float
    weight_decay: float


def group_parameters(
    named_parameters: Iterable[tuple[str, nn.Parameter]], groups: Sequence[ParameterGroup]
) -> list[dict[str, object]]:
    """Sort every trainable parameter into exactly one group, in torch.optim's form.

    Raises ValueError naming a parameter that no group or more than one group matches. Groups without
    a member are left out, so that one file serves models with and without that part.
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


def sgd(parameter_groups: Sequence[dict[str, object]], *, momentum: float = 0.9) -> torch.optim.SGD:
    """Gradient descent with Nesterov momentum (Sutskever et al. 2013); plain when momentum is 0."""
    return torch.optim.SGD(list(parameter_groups), momentum=momentum, nesterov=momentum > 0)


def prodigy(
    parameter_groups: Sequence[dict[str, object]],
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    growth_rate: float = float("inf"),
) -> torch.optim.Optimizer:
    """Prodigy (Mishchenko & Defazio 2023, arXiv:2306.06101): finds its own step size; lr stays at 1.

    growth_rate: largest factor by which its estimate may grow in one step. It keeps one estimate for all
    groups, so all must have one lr. Raises ValueError when they do not, or without the extra `prodigy`.
    """
    try:
        from prodigyopt import Prodigy
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
        growth_rate=growth_rate,
    )
    return optimizer


def lr_factor(kind: str, step: int, *, num_steps: int, num_warmup_steps: int) -> float:
    """Factor on every learning rate at a step, 0 to 1: linear warm-up, then constant, cosine or linear."""
    if step < num_warmup_steps:
        return (step + 1) / num_warmup_steps
    progress = min(1.0, (step - num_warmup_steps) / max(1, num_steps - num_warmup_steps))
    match kind:
        case "constant":
            return 1.0
        case "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * progress))
        case "linear":
            return 1.0 - progress
    raise ValueError(f"lr_schedule.kind={kind}: accepted constant, cosine, linear")


def lr_schedule(
    optimizer: torch.optim.Optimizer, kind: str, *, num_steps: int, num_warmup_steps: int = 0
) -> torch.optim.lr_scheduler.LambdaLR:
    """The factor above for every group. Raises ValueError for an unknown kind."""
    lr_factor(kind, 0, num_steps=num_steps, num_warmup_steps=0)
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: lr_factor(kind, step, num_steps=num_steps, num_warmup_steps=num_warmup_steps)
    )
