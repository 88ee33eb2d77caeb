"""Loss curves equal the stored ones and those of a plain loop of diffusers, peft and torch.

`python -m tests.training.traces` writes the stored curves.
"""

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.training_utils import compute_snr
from peft import LoraConfig
from torch import Tensor, nn
from transformers import get_cosine_schedule_with_warmup

from pixelpersona.data.generators import step_rng
from pixelpersona.models.base import BaseModel
from pixelpersona.training.objectives.autoencoder import block_images
from pixelpersona.training.objectives.diffusion import stratified_timesteps
from tests.training.traces import (
    DIFFUSION,
    GOLDEN,
    LR,
    MAX_NORM,
    NUM_STEPS,
    NUM_WARMUP,
    RANK,
    SEED,
    WEIGHT_DECAY,
    Crops,
    Pictures,
    latent_batches,
    new_baseline,
    trace,
)

STORED = json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", STORED)
def test_losses_equal_the_stored_ones(micro_base: BaseModel, name: str) -> None:
    """To a relative 1e-3, because rounding differs between processors."""
    found = trace(name, micro_base)
    assert len(found) == NUM_STEPS
    assert found == pytest.approx(STORED[name], rel=1e-3)


@pytest.mark.parametrize("name", STORED)
def test_the_stored_losses_are_not_those_of_an_untrained_model(
    micro_base: BaseModel, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison above depends on the optimizer steps: with a learning rate near 0 it would fail."""
    monkeypatch.setattr("tests.training.traces.LR", dict.fromkeys(LR, 1e-12))
    untrained = trace(name, micro_base)
    assert untrained[0] == pytest.approx(STORED[name][0], rel=1e-3)
    assert sum(abs(a - b) > 2e-3 * a for a, b in zip(untrained, STORED[name], strict=True)) >= NUM_STEPS // 2


def plain_loop(model: nn.Module, lr: float, loss_at: Callable[[int], Tensor]) -> list[float]:
    """Losses of a training loop of torch and transformers only."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=lr, weight_decay=WEIGHT_DECAY)
    schedule = get_cosine_schedule_with_warmup(optimizer, NUM_WARMUP, NUM_STEPS)
    for group in optimizer.param_groups:  # lr_factor starts above zero, their warm-up at zero
        group["lr"] = lr / NUM_WARMUP
    losses = []
    for step in range(NUM_STEPS):
        if step < NUM_WARMUP:
            optimizer.param_groups[0]["lr"] = lr * (step + 1) / NUM_WARMUP
        optimizer.zero_grad()
        loss = loss_at(step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, MAX_NORM)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", DIFFUSION)
def test_diffusion_losses_equal_those_of_diffusers_and_peft(
    micro_base: BaseModel, micro_base_folder: Path, name: str
) -> None:
    """With the same batches, noise and timesteps; diffusers and peft compute everything else."""
    found = trace(name, micro_base)
    settings, batches = DIFFUSION[name], latent_batches()
    unet = UNet2DConditionModel.from_pretrained(micro_base_folder, subfolder="unet").requires_grad_(False)
    torch.manual_seed(0)
    unet.add_adapter(
        LoraConfig(
            r=RANK,
            lora_alpha=RANK,
            init_lora_weights="gaussian",
            target_modules=["to_q", "to_k", "to_v", "to_out.0"],
        )
    )
    noising = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    max_timestep = round(1000 * settings.get("residual_shift_strength", 1.0))

    def loss_at(step: int) -> Tensor:
        batch, rng = batches.at(step), step_rng(SEED, step, "loss")
        t = stratified_timesteps(4, max_timestep, rng)
        eps = torch.randn(4, 4, 8, 8, generator=rng)
        if "noise_offset" in settings:
            eps = eps + settings["noise_offset"] * torch.randn(4, 4, 1, 1, generator=rng)
        if "residual_shift_strength" in settings:
            # Noise with which the noised art equals the noised photo at the last timestep.
            start = torch.full((4,), max_timestep - 1)
            noised_photo = noising.add_noise(batch.photos, eps, start)
            only_art = noising.add_noise(batch.latents, torch.zeros_like(eps), start)
            eps = (noised_photo - only_art) / math.sqrt(1 - noising.alphas_cumprod[max_timestep - 1])
        prediction = unet(noising.add_noise(batch.latents, eps, t), t, batch.text).sample
        if "snr_gamma" not in settings:
            return F.mse_loss(prediction, eps)
        snr = compute_snr(noising, t)
        weights = torch.stack([snr, torch.full_like(snr, settings["snr_gamma"])]).amin(dim=0) / snr
        return (F.mse_loss(prediction, eps, reduction="none").mean(dim=(1, 2, 3)) * weights).mean()

    assert found == pytest.approx(plain_loop(unet, LR["diffusion"], loss_at), rel=1e-5)


def test_regression_losses_equal_those_of_a_plain_loop(micro_base: BaseModel) -> None:
    supervised = new_baseline()

    def loss_at(step: int) -> Tensor:
        batch = Pictures().at(step)
        photo, pixel = (side.double().div(255).mul(2).sub(1).float() for side in (batch.photo, batch.pixel))
        return F.mse_loss(supervised(photo), pixel)

    found = trace("regression", micro_base)
    assert found == pytest.approx(plain_loop(supervised, LR["regression"], loss_at), rel=1e-5)


# Rows: luma, blue and red difference, derived from the weights of red and blue in BT.601.
R, B = 0.299, 0.114
LUMA = torch.tensor([R, 1 - R - B, B])
YCC = torch.stack(
    [
        LUMA,
        (torch.tensor([0.0, 0.0, 1.0]) - LUMA) / (2 - 2 * B),
        (torch.tensor([1.0, 0.0, 0.0]) - LUMA) / (2 - 2 * R),
    ]
)


def ycc(images: Tensor) -> Tensor:
    return F.conv2d(images, YCC[:, :, None, None])


def cells(images: Tensor) -> Tensor:
    return images.unflatten(3, (-1, 4)).unflatten(2, (-1, 4)).mean(dim=(3, 5))


def brightness_steps(images: Tensor) -> Tensor:
    """Mean brightness step at cell borders and inside cells, horizontally and vertically: [B, 4]."""
    grey = images.mean(dim=1)
    found = []
    for oriented in (grey, grey.transpose(1, 2)):
        size = (oriented[:, :, 1:] - oriented[:, :, :-1]).abs()
        border = torch.arange(size.shape[2]) % 4 == 3
        found += [size[:, :, border].mean(dim=(1, 2)), size[:, :, ~border].mean(dim=(1, 2))]
    return torch.stack(found, dim=1)


def test_autoencoder_losses_equal_those_of_a_plain_loop(micro_base: BaseModel) -> None:
    """With the same crops, block images and noise; diffusers computes the posterior and its KL divergence."""
    vae: AutoencoderKL = copy.deepcopy(micro_base.vae).requires_grad_(True).train()

    def loss_at(step: int) -> Tensor:
        rng, images = step_rng(SEED, step, "loss"), Crops().at(step)
        images = torch.cat([block_images(images[:2], 4, rng), images[2:]])
        posterior = vae.encode(images).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=rng)
        amount = 0.2 * torch.rand(4, 1, 1, 1, generator=rng)
        spread = posterior.mean.detach().transpose(0, 1).flatten(1).std(dim=1)[:, None, None]
        seen = posterior.mean + torch.sqrt(posterior.std**2 + (amount * spread) ** 2) * noise
        drawn = vae.decode(seen).sample
        error = drawn - images
        slopes = (error[..., 1:] - error[..., :-1]).abs().mean()
        slopes = slopes + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
        weights = torch.tensor([1.0, 4.0, 4.0])[:, None, None]
        taught = posterior.mean[:, :3] - cells(ycc(images)) * torch.tensor([2.0, 12.0, 12.0])[:, None, None]
        return (
            error.abs().mean()
            + 0.5 * slopes
            + 4.0 * (cells(ycc(error)) * weights).abs().mean()
            + 3.0 * (brightness_steps(drawn) - brightness_steps(images)).abs().mean()
            + 0.3 * taught.abs().mean()
            + 1e-4 * posterior.kl().mean() / posterior.mean[0].numel()
        )

    expected = plain_loop(vae, LR["autoencoder"], loss_at)
    assert trace("autoencoder", micro_base) == pytest.approx(expected, rel=1e-5)
