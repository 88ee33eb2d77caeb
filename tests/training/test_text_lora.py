"""A LoRA of the text encoder: it is trained through tokens, with its own learning rate."""

import torch
import torch.nn.functional as F

from pixelpersona.data.loader import LatentBatch
from pixelpersona.models.adapter import TEXT_ATTENTION, add_lora
from pixelpersona.models.base import BaseModel
from pixelpersona.models.codec import tokenize
from pixelpersona.training.objectives.diffusion import DiffusionObjective
from pixelpersona.training.optimizers import ParameterGroup, adamw, group_parameters

GROUPS = [
    ParameterGroup("unet", r"^unet\.", 1e-3, 0.0),
    ParameterGroup("text", r"^text_encoder\.", 1e-4, 0.0),
]


def test_unet_and_text_encoder_are_trained_with_their_own_learning_rates(micro_base: BaseModel) -> None:
    add_lora(micro_base.unet, rank=2, alpha=2)
    size = add_lora(micro_base.text_encoder, rank=2, alpha=2, targets=TEXT_ATTENTION)
    objective = DiffusionObjective(
        micro_base.unet, micro_base.noise_schedule, text_encoder=micro_base.text_encoder
    )
    groups = group_parameters(objective.named_parameters(), GROUPS)
    assert [(group["name"], group["lr"]) for group in groups] == [("unet", 1e-3), ("text", 1e-4)]
    assert sum(p.numel() for p in groups[1]["params"]) == size  # type: ignore[attr-defined]
    rng = torch.Generator().manual_seed(0)
    channels = micro_base.unet.config.in_channels
    latents = torch.randn(2, channels, 8, 8, generator=rng)
    tokens = tokenize(micro_base, ["pixel art portrait", ""])
    t, eps = torch.tensor([100, 600]), torch.randn(latents.shape, generator=rng)
    loss = objective.per_sample(LatentBatch(latents, tokens, ("a", "b")), t, eps).mean()
    # The expected loss, computed with diffusers and transformers directly.
    noisy = micro_base.noise_schedule.add_noise(latents, eps, t)
    states = micro_base.text_encoder(tokens).last_hidden_state
    expected = F.mse_loss(micro_base.unet(noisy, t, states).sample, eps)
    torch.testing.assert_close(loss, expected)
    optimizer = adamw(groups)
    before = {name: p.clone() for name, p in objective.named_parameters()}
    for _ in range(2):  # lora_B is 0 at first, so lora_A has no gradient in the first step
        objective.per_sample(LatentBatch(latents, tokens, ("a", "b")), t, eps).mean().backward()
        optimizer.step()
    changed = {name for name, p in objective.named_parameters() if not torch.equal(p, before[name])}
    assert changed
    assert all("lora_" in name for name in changed)
    assert any(name.startswith("text_encoder.") and "lora_B" in name for name in changed)
    assert any(name.startswith("unet.") for name in changed)
