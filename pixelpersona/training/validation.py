"""Validation losses with fixed noise: the same latents, noise and timesteps for every model and step."""

import torch
from torch import Tensor

from pixelpersona.data.generators import step_rng
from pixelpersona.data.latents import LatentSet
from pixelpersona.data.loader import LatentBatch, PairBatches
from pixelpersona.training.objectives.diffusion import DiffusionObjective, stratified_timesteps
from pixelpersona.training.objectives.regression import RegressionObjective


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
    """Unweighted mean squared error on the noise for every held-out picture, float32 [N].

    Noise levels are spread over the whole schedule, `num_draws` per picture, whatever range the objective
    trains on, so that runs with different losses are comparable. on_path: instead along the residual shift
    from photo to pixel art (the objective's `residual_shift_strength`); such losses are comparable at one
    strength only. Raises ValueError when the objective has no residual shift.
    """
    if on_path and not objective.shift_scale:
        raise ValueError("on_path: the objective has residual_shift_strength 0")
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
                eps = objective.shift_noise(eps, latents.latents, latents.photos)
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
    """Mean squared error on the noise in `num_levels` equal parts of the schedule, low noise first.

    latents: float [N, C, h, w]. text: float [N, L, D]. Every picture is measured once per part.
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
def regression_loss(objective: RegressionObjective, batches: PairBatches) -> Tensor:
    """The supervised baseline's loss of every held-out pair, float32 [N rounded up to whole batches]."""
    return torch.cat([objective.per_sample(batches.at(step)).float().cpu() for step in range(len(batches))])
