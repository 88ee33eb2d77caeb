"""Validation loss at fixed noise: the same held-out latents, noise and timesteps for every model and step."""

import torch
from torch import Tensor

from pixelpersona.data.latents import LatentSet
from pixelpersona.data.loader import LatentBatch, PairBatches
from pixelpersona.data.randomness import step_rng
from pixelpersona.training.objectives.diffusion import DiffusionObjective, stratified_timesteps
from pixelpersona.training.objectives.translation import TranslationObjective


@torch.no_grad()
def fixed_noise_loss(
    objective: DiffusionObjective,
    latents: LatentSet,
    *,
    num_draws: int = 2,
    batch_size: int = 16,
    seed: int = 0,
    on_path: bool = False,
) -> Tensor:
    """Plain mean squared error on the noise for every held-out picture, float32 [N], unweighted.

    Noise levels are spread over the whole schedule, `num_draws` per picture, whatever range the objective
    trains on, so runs with different losses can be compared. on_path: instead over img2img's path from photo
    to art (the objective's `start_strength`), the noise carrying the photo along; such losses compare at one
    strength. Raises ValueError when the objective has no such path.
    """
    if on_path and not objective.photo_share:
        raise ValueError("on_path: the objective has no start_strength")
    weighting, kind = objective.snr_gamma, objective.kind
    objective.snr_gamma, objective.kind = None, "mse"
    num_timesteps = objective.max_timestep if on_path else len(objective.noise_schedule.alphas_cumprod)
    total = torch.zeros(len(latents))
    device = objective.unet.device
    try:
        for draw in range(num_draws):
            rng = step_rng(seed, draw, "validation")
            t = stratified_timesteps(len(latents), num_timesteps, rng)
            eps = torch.randn(latents.latents.shape, generator=rng)
            if on_path:
                eps = objective.carry_photos(eps, latents.latents, latents.photos)
            for start in range(0, len(latents), batch_size):
                part = slice(start, start + batch_size)
                text = latents.text[latents.text_index[part]]
                batch = LatentBatch(latents.latents[part], text, latents.ids[part])
                loss = objective.per_sample(batch, t[part].to(device), eps[part].to(device))
                total[part] += loss.float().cpu()
    finally:
        objective.snr_gamma, objective.kind = weighting, kind
    return total / num_draws


@torch.no_grad()
def loss_by_level(
    objective: DiffusionObjective,
    latents: Tensor,
    text: Tensor,
    *,
    num_levels: int = 10,
    batch_size: int = 16,
    seed: int = 0,
) -> list[float]:
    """Plain mean squared error on the noise in `num_levels` equal parts of the schedule, low noise first.

    latents: float [N, C, h, w]. text: float [N, L, D]. Every picture once per part, at fixed noise.
    """
    num_timesteps = int(objective.noise_schedule.config.num_train_timesteps)
    losses = []
    for level in range(num_levels):
        rng = step_rng(seed, level, "noise levels")
        part = num_timesteps // num_levels
        t = level * part + stratified_timesteps(len(latents), part, rng)
        eps = torch.randn(latents.shape, generator=rng)
        found = []
        for start in range(0, len(latents), batch_size):
            chunk = slice(start, start + batch_size)
            batch = LatentBatch(latents[chunk], text[chunk], ())
            device = objective.unet.device
            found.append(
                objective.per_sample(batch, t[chunk].to(device), eps[chunk].to(device)).float().cpu()
            )
        losses.append(float(torch.cat(found).mean()))
    return losses


@torch.no_grad()
def translation_loss(objective: TranslationObjective, batches: PairBatches) -> Tensor:
    """The translator's loss of every held-out pair, float32 [N rounded up to whole batches]."""
    return torch.cat([objective.per_sample(batches.at(step)).float().cpu() for step in range(len(batches))])
