"""Optimizers against their formulas in float64, and groups that take every parameter exactly once."""

import numpy as np
import pytest
import torch
from torch import nn

from pixelpersona.build.training import (
    GroupConfig,
    LrScheduleConfig,
    OptimizerConfig,
    OptimizerKind,
    make_state,
)
from pixelpersona.models.adapter import add_lora
from pixelpersona.models.base import BaseModel
from pixelpersona.training.objectives.diffusion import DiffusionObjective
from pixelpersona.training.optim import ParameterGroup, group_parameters, prodigy


def _quadratic(config: OptimizerConfig, num_steps: int) -> np.ndarray:
    """x after steps on sum(c * x**2) / 2 from (1, -2), c = (1, 3)."""
    module = nn.Module()
    module.x = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    state = make_state(module, config, LrScheduleConfig(kind="constant"), num_steps, {})
    for _ in range(num_steps):
        (module.x.square() * torch.tensor([1.0, 3.0])).sum().div(2).backward()
        state.optimizer.step()
        state.optimizer.zero_grad()
    return module.x.detach().numpy()


def _config(kind: OptimizerKind, lr: float, **more: object) -> OptimizerConfig:
    return OptimizerConfig(kind=kind, lr=lr, groups={"all": GroupConfig(pattern="x")}, **more)  # type: ignore[arg-type]


def test_sgd_with_nesterov_momentum() -> None:
    x, velocity, curvature = np.array([1.0, -2.0]), np.zeros(2), np.array([1.0, 3.0])
    for _ in range(7):
        gradient = curvature * x + 0.01 * x
        velocity = 0.8 * velocity + gradient
        x = x - 0.05 * (gradient + 0.8 * velocity)
    config = _config(OptimizerKind.sgd, 0.05, momentum=0.8, weight_decay=0.01)
    np.testing.assert_allclose(_quadratic(config, 7), x, rtol=1e-12)


def test_adamw() -> None:
    x, first, second = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for step in range(1, 8):
        gradient = np.array([1.0, 3.0]) * x
        first, second = 0.9 * first + 0.1 * gradient, 0.95 * second + 0.05 * gradient**2
        x = x * (1 - 0.1 * 0.02)
        x = x - 0.1 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.95**step)) + 1e-8)
    config = _config(OptimizerKind.adamw, 0.1, beta2=0.95, weight_decay=0.02)
    np.testing.assert_allclose(_quadratic(config, 7), x, rtol=1e-9)


def test_prodigy_finds_its_step_size() -> None:
    config = _config(OptimizerKind.prodigy, 1.0, beta2=0.99, weight_decay=0.0)
    assert np.abs(_quadratic(config, 300)).max() < 0.05
    assert np.abs(_quadratic(_config(OptimizerKind.adamw, 1e-6), 300)).max() > 1.9  # its first step size


def test_prodigy_wants_one_learning_rate() -> None:
    module = nn.Linear(2, 2)
    groups = [ParameterGroup("w", "weight", 1.0, 0.0), ParameterGroup("b", "bias", 0.5, 0.0)]
    with pytest.raises(ValueError, match="one lr for all groups"):
        prodigy(group_parameters(module.named_parameters(), groups))


def test_lora_plus_gives_b_sixteen_times_the_rate_of_a(micro_base: BaseModel) -> None:
    add_lora(micro_base.unet, rank=2, alpha=2)
    objective = DiffusionObjective(micro_base.unet, micro_base.noise_schedule)
    groups = {
        "lora_a": GroupConfig(pattern="lora_A", lr_scale=0.25),
        "lora_b": GroupConfig(pattern="lora_B", lr_scale=4.0, weight_decay=0.0),
    }
    config = OptimizerConfig(lr=1e-3, weight_decay=0.1, groups=groups)
    state = make_state(objective, config, LrScheduleConfig(kind="constant"), 10, {})
    a, b = state.optimizer.param_groups
    assert b["lr"] == 16 * a["lr"]
    assert (a["weight_decay"], b["weight_decay"]) == (0.1, 0.0)
    assert len(a["params"]) + len(b["params"]) == len(state.trainable())


@pytest.mark.parametrize(("pattern", "found"), [("lora_A", "none"), ("lora", "a and b")])
def test_a_parameter_of_no_group_or_of_two_is_named(micro_base: BaseModel, pattern: str, found: str) -> None:
    add_lora(micro_base.unet, rank=2, alpha=2)
    groups = [ParameterGroup("a", "lora_A" if found == "none" else "lora", 1e-3, 0.0)]
    groups += [ParameterGroup("b", pattern, 1e-3, 0.0)] if found != "none" else []
    with pytest.raises(ValueError, match=rf"lora_[AB]\.default\.weight is matched by {found}"):
        group_parameters(micro_base.unet.named_parameters(), groups)


def test_groups_by_kind_of_attention_and_norms_of_their_own(micro_base: BaseModel) -> None:
    """Self-attention, attention to the text, all other weights; and of a whole UNet its norms apart."""
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
