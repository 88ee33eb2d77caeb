"""Loss of the landmark network: error of the coordinates, and cross entropy of the heatmaps."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pixelpersona.data.aligned_photos import LandmarkBatch
from pixelpersona.models.landmark_net import LandmarkNet, cell_centres, soft_argmax


@dataclass(frozen=True, slots=True)
class LandmarkLoss:
    """Weights of the two terms, and the width of the target heatmaps.

    coordinates: mean absolute error of x and y, as fractions of the picture.
    heatmap: mean cross entropy between target and heatmap.
    target_std: standard deviation of the target, a Gaussian at the landmark, as a fraction of the picture.
    """

    coordinates: float
    heatmap: float
    target_std: float


def target_heatmaps(landmarks: Tensor, size: int, std: float) -> Tensor:
    """Gaussians with sum 1 at the landmarks: float [B, K, 2] → [B, K, size, size]."""
    centres = cell_centres(size, landmarks)
    x, y = (torch.exp(-((centres - landmarks[:, :, axis, None]) ** 2) / (2 * std**2)) for axis in (0, 1))
    weights = y[:, :, :, None] * x[:, :, None, :]
    return weights / weights.sum(dim=(2, 3), keepdim=True).clamp(min=1e-6)


class LandmarksObjective(nn.Module):
    """Mean absolute error of the soft-argmax plus cross entropy with Gaussian targets. Deterministic.

    The second term keeps each heatmap in one peak, which its expectation alone does not (compare Nibali et
    al. 2018, arXiv:1801.07372).
    """

    def __init__(self, net: LandmarkNet, loss: LandmarkLoss) -> None:
        super().__init__()
        self.net, self.loss = net, loss

    def forward(self, batch: LandmarkBatch, rng: torch.Generator) -> Tensor:
        """Scalar loss."""
        del rng
        device = self.net.heads.weight.device
        heatmaps, landmarks = self.net(batch.images.to(device)), batch.landmarks.to(device)
        with torch.autocast(device.type, enabled=False):
            heatmaps = heatmaps.float()
            coordinates = (soft_argmax(heatmaps) - landmarks).abs().mean()
            target = target_heatmaps(landmarks, heatmaps.shape[-1], self.loss.target_std)
            entropy = -(target.flatten(2) * heatmaps.flatten(2).log_softmax(dim=2)).sum(dim=2).mean()
            loss: Tensor = self.loss.coordinates * coordinates + self.loss.heatmap * entropy
        return loss
