"""Regression loss of the supervised baseline: error between its output and the pixel art."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelpersona.data.loader import PairBatch
from pixelpersona.models.baseline import BaselineUNet


class RegressionObjective(nn.Module):
    """Mean squared error ("mse"), or mean absolute error ("l1", sharper). Deterministic.

    Raises ValueError naming loss.kind for another kind.
    """

    def __init__(self, network: BaselineUNet, *, kind: str = "mse") -> None:
        super().__init__()
        if kind not in ("mse", "l1"):
            raise ValueError(f"loss.kind={kind}: the supervised baseline accepts mse, l1")
        self.network = network
        self.kind = kind

    def forward(self, batch: PairBatch, rng: torch.Generator) -> Tensor:
        """Scalar loss over uint8 [B, 3, H, W] pairs, in [-1, 1] units."""
        del rng
        return self.per_sample(batch).mean()

    def per_sample(self, batch: PairBatch) -> Tensor:
        """Loss of every pair, float32 [B]."""
        device = next(self.network.parameters()).device
        photo = batch.photo.to(device).float() / 127.5 - 1.0
        pixel = batch.pixel.to(device).float() / 127.5 - 1.0
        error = F.mse_loss if self.kind == "mse" else F.l1_loss
        return error(self.network(photo), pixel, reduction="none").mean(dim=(1, 2, 3))
