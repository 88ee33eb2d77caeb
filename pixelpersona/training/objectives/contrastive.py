"""Loss of the feature network: contrastive over two views of each person, plus attribute prediction."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelpersona.data.views import UNKNOWN, ViewBatch
from pixelpersona.models.persona_net import AGE_DEVIATION, Persona, PersonaNet

_TEMPERATURE = 0.1
# Low, because many labels are wrong.
_AGE_WEIGHT, _GENDER_WEIGHT, _ETHNICITY_WEIGHT = 0.5, 0.5, 0.3


def nt_xent(embeddings: Tensor, temperature: float) -> Tensor:
    """NT-Xent, the cross entropy of identifying each row's other view among all rows; float scalar.

    Chen et al. 2020, arXiv:2002.05709, equation 1. embeddings: float [2 B, D] of length 1; rows i and B + i
    are views of one person. All other rows, photos and drawings, are negatives.
    """
    num = len(embeddings) // 2
    cosines = embeddings @ embeddings.T / temperature
    itself = torch.eye(2 * num, dtype=torch.bool, device=embeddings.device)
    other_view = torch.arange(2 * num, device=embeddings.device).roll(num)
    return F.cross_entropy(cosines.masked_fill(itself, -torch.inf), other_view)


class FeaturesObjective(nn.Module):
    """NT-Xent over the views, Huber loss on age, cross entropy on gender and ethnicity. Deterministic."""

    def __init__(self, net: PersonaNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, batch: ViewBatch, rng: torch.Generator) -> Tensor:
        """Scalar loss."""
        del rng
        device = self.net.embedding.weight.device
        found: Persona = self.net(batch.views.to(device))
        age, gender, ethnicity = (
            labels.to(device).repeat(2) for labels in (batch.age, batch.gender, batch.ethnicity)
        )
        with torch.autocast(device.type, enabled=False):
            return (
                nt_xent(found.embedding, _TEMPERATURE)
                + _AGE_WEIGHT * _age_loss(found.age, age)
                + _GENDER_WEIGHT * _class_loss(found.gender, gender)
                + _ETHNICITY_WEIGHT * _class_loss(found.ethnicity, ethnicity)
            )


def _age_loss(found: Tensor, age: Tensor) -> Tensor:
    """Huber loss of the age in standard deviations; 0 when no age is known."""
    error = torch.where(age.isnan(), torch.zeros_like(found), (found - age) / AGE_DEVIATION)
    return F.huber_loss(error, torch.zeros_like(error), reduction="sum") / (~age.isnan()).sum().clamp(min=1)


def _class_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy over the samples with a known class; 0 when there is none."""
    total = F.cross_entropy(logits, labels, ignore_index=UNKNOWN, reduction="sum")
    return total / (labels != UNKNOWN).sum().clamp(min=1)
