"""Optimizers against their formulas in float64; parameter groups; learning-rate schedules."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from pixelpersona.cli.schemas import config_folder
from pixelpersona.models.adapter import add_lora
from pixelpersona.models.base import BaseModel
from pixelpersona.training.objectives.diffusion import DiffusionObjective
from pixelpersona.training.optimizers import (
    ParameterGroup,
    group_parameters,
    lr_schedule,
    make_optimizer,
    prodigy,
)

OPTIONS = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "momentum": 0.9, "growth_rate": None}


def _quadratic(kind: str, lr: float, weight_decay: float, num_steps: int, **options: float) -> np.ndarray:
    """x after `num_steps` steps on sum(c * x**2) / 2 with c = (1, 3), from x = (1, -2)."""
    module = nn.Module()
    module.x = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    groups = group_parameters(module.named_parameters(), [ParameterGroup("all", "x", lr, weight_decay)])
    optimizer = make_optimizer(kind, groups, **{**OPTIONS, **options})
    for _ in range(num_steps):
        (module.x.square() * torch.tensor([1.0, 3.0])).sum().div(2).backward()
        optimizer.step()
        optimizer.zero_grad()
    return module.x.detach().numpy()


def test_sgd_with_nesterov_momentum_equals_its_formula() -> None:
    x, velocity, curvature = np.array([1.0, -2.0]), np.zeros(2), np.array([1.0, 3.0])
    for _ in range(7):
        gradient = curvature * x + 0.01 * x
        velocity = 0.8 * velocity + gradient
        x = x - 0.05 * (gradient + 0.8 * velocity)
    np.testing.assert_allclose(_quadratic("sgd", 0.05, 0.01, 7, momentum=0.8), x, rtol=1e-12)


def test_adamw_equals_its_formula() -> None:
    x, first, second = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for step in range(1, 8):
        gradient = np.array([1.0, 3.0]) * x
        first, second = 0.9 * first + 0.1 * gradient, 0.95 * second + 0.05 * gradient**2
        x = x * (1 - 0.1 * 0.02)
        x = x - 0.1 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.95**step)) + 1e-8)
    np.testing.assert_allclose(_quadratic("adamw", 0.1, 0.02, 7, beta2=0.95), x, rtol=1e-9)


def test_prodigy_finds_its_step_size() -> None:
    assert np.abs(_quadratic("prodigy", 1.0, 0.0, 300, beta2=0.99)).max() < 0.05
    assert np.abs(_quadratic("adamw", 1e-6, 0.0, 300)).max() > 1.9  # Prodigy's first step size


def test_an_unknown_optimizer_or_a_missing_option_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"optimizer\.kind=lion: accepted adamw, sgd, prodigy"):
        make_optimizer("lion", [], **OPTIONS)
    with pytest.raises(ValueError, match=r"optimizer\.momentum=null: optimizer\.kind=sgd needs a number"):
        make_optimizer("sgd", [], **{**OPTIONS, "momentum": None})


def test_prodigy_requires_one_learning_rate() -> None:
    module = nn.Linear(2, 2)
    groups = [ParameterGroup("w", "weight", 1.0, 0.0), ParameterGroup("b", "bias", 0.5, 0.0)]
    with pytest.raises(ValueError, match="one lr for all groups"):
        prodigy(group_parameters(module.named_parameters(), groups), beta1=0.9, beta2=0.99, eps=1e-8)


def test_lora_plus_sets_the_learning_rate_of_b_to_16_times_that_of_a(micro_base: BaseModel) -> None:
    add_lora(micro_base.unet, rank=2, alpha=2)
    objective = DiffusionObjective(micro_base.unet, micro_base.noise_schedule)
    config = yaml.safe_load((config_folder() / "optimizer" / "lora_plus.yaml").read_text(encoding="utf-8"))
    groups = [
        ParameterGroup(name, group["pattern"], 1e-3 * group["lr_scale"], 0.1)
        for name, group in config["groups"].items()
    ]
    a, b = group_parameters(objective.named_parameters(), groups)
    assert (a["name"], b["name"]) == ("lora_a", "lora_b")
    assert b["lr"] == 16 * a["lr"]  # type: ignore[operator]
    trained = [p for p in objective.parameters() if p.requires_grad]
    assert len(a["params"]) + len(b["params"]) == len(trained)  # type: ignore[arg-type]


@pytest.mark.parametrize(("pattern", "found"), [("lora_A", "none"), ("lora", "a and b")])
def test_a_lora_weight_in_no_group_or_in_two_is_an_error(
    micro_base: BaseModel, pattern: str, found: str
) -> None:
    add_lora(micro_base.unet, rank=2, alpha=2)
    groups = [ParameterGroup("a", "lora_A" if found == "none" else "lora", 1e-3, 0.0)]
    groups += [ParameterGroup("b", pattern, 1e-3, 0.0)] if found != "none" else []
    with pytest.raises(ValueError, match=rf"lora_[AB]\.default\.weight is matched by {found}"):
        group_parameters(micro_base.unet.named_parameters(), groups)


def test_groups_can_separate_self_and_cross_attention_or_norms(micro_base: BaseModel) -> None:
    """LoRA weights by kind of attention; the weights of an autoencoder by norm layer or not."""
    add_lora(micro_base.unet, rank=2, alpha=2)
    kinds = [
        ParameterGroup("self", r"\.attn1\.", 1e-3, 0.0),
        ParameterGroup("cross", r"\.attn2\.", 2e-3, 0.0),
    ]
    found = group_parameters(micro_base.unet.named_parameters(), kinds)
    trained = [p for p in micro_base.unet.parameters() if p.requires_grad]
    assert [group["name"] for group in found] == ["self", "cross"]
    assert sum(len(group["params"]) for group in found) == len(trained)  # type: ignore[arg-type]
    vae = micro_base.vae.requires_grad_(True)
    norms = [ParameterGroup("norms", "norm", 1e-3, 0.0), ParameterGroup("rest", "^(?!.*norm)", 1e-3, 0.1)]
    first, _ = group_parameters(vae.named_parameters(), norms)
    is_norm = [m for m in vae.modules() if isinstance(m, nn.GroupNorm)]
    assert len(first["params"]) == 2 * len(is_norm)  # type: ignore[arg-type]


def test_a_parameter_in_no_group_or_in_two_is_an_error() -> None:
    named = [(f"{name}.weight", nn.Parameter(torch.zeros(1))) for name in ("down", "up")]
    groups = [ParameterGroup("down", r"^down\.", 1e-2, 0.0), ParameterGroup("up", r"^up\.", 3e-2, 0.1)]
    with pytest.raises(ValueError, match=r"up\.weight is matched by none"):
        group_parameters(named, groups[:1])
    with pytest.raises(ValueError, match=r"down\.weight is matched by down and all"):
        group_parameters(named, [*groups, ParameterGroup("all", "", 1e-3, 0.0)])


@pytest.mark.parametrize(
    ("kind", "formula"),
    [
        ("constant", lambda progress: 1.0),
        ("cosine", lambda progress: 0.5 * (1 + math.cos(math.pi * progress))),
        ("linear", lambda progress: 1 - progress),
    ],
)
def test_schedules_follow_their_formulas(kind: str, formula: Callable[[float], float]) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = lr_schedule(optimizer, kind, num_steps=50, num_warmup_steps=10)
    for step in range(50):
        expected = step / 10 if step < 10 else formula((step - 10) / 40)
        assert schedule.get_last_lr() == [pytest.approx(expected, abs=1e-12)]
        optimizer.step()
        schedule.step()


def test_an_unknown_schedule_is_refused() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ValueError, match=r"lr_schedule\.kind=steep: accepted constant, cosine, linear"):
        lr_schedule(optimizer, "steep", num_steps=1)
