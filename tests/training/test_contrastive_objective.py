"""NT-Xent against the equation of its paper, and the losses of the attribute heads."""

import math

import pytest
import torch

from pixelpersona.data.views import UNKNOWN, ViewBatch
from pixelpersona.models.persona_net import PersonaNet
from pixelpersona.training.objectives.contrastive import FeaturesObjective, nt_xent


def test_nt_xent_equals_the_equation_of_the_paper() -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.nn.functional.normalize(torch.randn(8, 5, generator=generator, dtype=torch.float64), dim=1)
    total = 0.0
    for i in range(8):
        j = (i + 4) % 8
        others = sum(math.exp(float(z[i] @ z[k]) / 0.2) for k in range(8) if k != i)
        total -= math.log(math.exp(float(z[i] @ z[j]) / 0.2) / others)
    assert float(nt_xent(z, 0.2)) == pytest.approx(total / 8)


def test_nt_xent_is_low_when_views_match_and_high_when_they_are_swapped() -> None:
    people = torch.eye(4)
    agreeing = nt_xent(torch.cat([people, people]), 0.1)
    swapped = nt_xent(torch.cat([people, people.roll(1, dims=0)]), 0.1)
    assert agreeing < 0.01
    assert swapped > 5


def batch(**known: torch.Tensor) -> ViewBatch:
    views = torch.rand(8, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    unknown = torch.full((4,), UNKNOWN)
    labels = {"age": torch.full((4,), float("nan")), "gender": unknown, "ethnicity": unknown} | known
    return ViewBatch(views=views, **labels)


def test_only_known_attributes_add_to_the_loss() -> None:
    torch.manual_seed(0)
    net = PersonaNet()
    rng = torch.Generator()
    objective = FeaturesObjective(net)
    contrastive = nt_xent(net(batch().views).embedding, 0.1)
    torch.testing.assert_close(objective(batch(), rng), contrastive)
    for known in (
        {"age": torch.tensor([5.0, 80.0, float("nan"), 30.0])},
        {"gender": torch.tensor([0, 1, UNKNOWN, 1])},
        {"ethnicity": torch.tensor([0, 3, UNKNOWN, 1])},
    ):
        loss = objective(batch(**known), rng)
        loss.backward()
        assert loss > contrastive + 0.01
        assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)
        net.zero_grad()


def test_the_loss_decreases_within_a_few_steps() -> None:
    torch.manual_seed(0)
    net = PersonaNet()
    objective = FeaturesObjective(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    shown = batch(age=torch.tensor([5.0, 80.0, 20.0, 30.0]), gender=torch.tensor([0, 1, 0, 1]))
    shown.views[4:] = shown.views[:4].flip(1) * 0.8
    losses = []
    for _ in range(8):
        loss = objective(shown, torch.Generator())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
