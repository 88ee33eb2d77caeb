"""The loss of the landmark network against its formula."""

import numpy as np
import pytest
import torch

from pixelpersona.data.aligned_photos import LandmarkBatch
from pixelpersona.models.landmark_net import LandmarkNet, soft_argmax
from pixelpersona.training.objectives.heatmaps import LandmarkLoss, LandmarksObjective, target_heatmaps

LOSS = LandmarkLoss(coordinates=20.0, heatmap=0.1, target_std=0.025)


def batch() -> LandmarkBatch:
    rng = torch.Generator().manual_seed(0)
    return LandmarkBatch(
        torch.rand(4, 3, 64, 64, generator=rng), 0.2 + 0.6 * torch.rand(4, 5, 2, generator=rng)
    )


def test_targets_are_gaussians_at_the_landmarks() -> None:
    landmarks = torch.tensor([[[0.3, 0.6], [0.5, 0.5]]], dtype=torch.float64)
    target = target_heatmaps(landmarks, 32, 0.05)
    torch.testing.assert_close(target.sum(dim=(2, 3)), torch.ones(1, 2, dtype=torch.float64))
    torch.testing.assert_close(soft_argmax(target.log()), landmarks, atol=1e-4, rtol=0)
    row, column = 18, 9
    distances = [
        ((column + 0.5) / 32 - 0.3) ** 2 + ((row + 0.5) / 32 - 0.6) ** 2,
        ((column + 1.5) / 32 - 0.3) ** 2 + ((row + 0.5) / 32 - 0.6) ** 2,
    ]
    expected = np.exp((distances[1] - distances[0]) / (2 * 0.05**2))
    assert float(target[0, 0, row, column] / target[0, 0, row, column + 1]) == pytest.approx(expected)


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    torch.manual_seed(0)
    net, shown, rng = LandmarkNet().eval(), batch(), torch.Generator()
    with torch.no_grad():
        heatmaps = net(shown.images)
        found = float(LandmarksObjective(net, LOSS)(shown, rng))
    absolute = float((soft_argmax(heatmaps) - shown.landmarks).abs().mean())
    shares = heatmaps.double().flatten(2).softmax(dim=2)
    target = target_heatmaps(shown.landmarks, 32, 0.025).flatten(2)
    entropy = -float((target * shares.log()).sum(dim=2).mean())
    assert found == pytest.approx(20.0 * absolute + 0.1 * entropy, rel=1e-4)


def test_the_loss_decreases_within_a_few_steps() -> None:
    torch.manual_seed(0)
    net, shown = LandmarkNet(), batch()
    objective = LandmarksObjective(net, LOSS)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    losses = []
    for _ in range(10):
        loss = objective(shown, torch.Generator())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
