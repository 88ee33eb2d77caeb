"""What one batch costs the translator: squared (or absolute) error between its output and the pixel art."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelpersona.data.loader import PairBatch
from pixelpersona.models.translator import Translator


class TranslationObjective(nn.Module):
    """kind: mse (the original baseline) or l1 (sharper). Deterministic: it draws nothing."""

    def __init__(self, translator: Translator, *, kind: str = "mse") -> None:
        super().__init__()
        if kind not in ("mse", "l1"):
            raise ValueError(f"loss.kind={kind}: the translator accepts mse, l1")
        self.translator = translator
        self.kind = kind

    def forward(self, batch: PairBatch, rng: torch.Generator) -> Tensor:
        """Scalar loss over uint8 [B, 3, H, W] pairs, in [-1, 1] units."""
        del rng
        return self.per_sample(batch).mean()

    def per_sample(self, batch: PairBatch) -> Tensor:
        """Loss of every pair, float32 [B]."""
        device = next(self.translator.parameters()).device
        photo = batch.photo.to(device).float() / 127.5 - 1.0
        pixel = batch.pixel.to(device).float() / 127.5 - 1.0
        error = F.mse_loss if self.kind == "mse" else F.l1_loss
        return error(self.translator(photo), pixel, reduction="none").mean(dim=(1, 2, 3))
