"""Validation losses with fixed noise: the same latents, noise and timesteps for every model and step."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelpersona.data.generators import step_rng
from pixelpersona.data.latents import LatentSet
from pixelpersona.data.loader import LatentBatch, PairBatches
from pixelpersona.training.objectives.diffusion import DiffusionObjective, stratified_timesteps
from pixelpersona.training.objectives.regression import RegressionObjective


def noise_levels(num_levels: int, num_timesteps: int) -> list[int]:
    """Timesteps in the middle of `num_levels` equal parts of [0, num_timesteps), low noise first.

    The midpoints are the set of lowest discrepancy (Niederreiter 1992, theorem 2.6).
    """
    return [int((level + 0.5) * num_timesteps / num_levels) for level in range(num_levels)]


@torch.no_grad()
def fixed_noise_loss(
    objective: DiffusionObjective,
    latents: LatentSet,
    *,
    num_pictures: int | None = None,
    num_levels: int = 2,
    batch_size: int = 16,
    seed: int = 0,
    residual_shift: bool = False,
) -> Tensor:
    """Unweighted mean squared error on the noise for every picture, float32 [num_pictures].

    Every picture is measured at the same `num_levels` levels of the whole schedule, whatever range the
    objective trains on, so that runs with different losses are comparable. Two neighbouring levels share a
    noise with opposite signs (antithetic variates, Hammersley & Morton 1956). The noise is a function of
    (seed, id, pair of levels), so a picture's value depends neither on how many are measured nor on their
    order. Costs `num_levels` forward passes per picture.

    num_pictures: measure only the first ones; None for all. residual_shift: measure along the residual shift
    from photo to pixel art instead; such losses are comparable only at equal `residual_shift_strength`.
    Raises ValueError when the objective has no residual shift.
    """
    if residual_shift and not objective.shift_scale:
        raise ValueError("residual_shift: the objective has residual_shift_strength 0")
    num_timesteps = objective.max_timestep if residual_shift else len(objective.noise_schedule.alphas_cumprod)
    device = objective.unet.device
    total = torch.zeros(len(latents))[:num_pictures]
    for start in range(0, len(total), batch_size):
        part = slice(start, min(start + batch_size, len(total)))
        text = latents.text[latents.text_index[part]]
        batch = LatentBatch(latents.latents[part], text, latents.ids[part])
        for level, timestep in enumerate(noise_levels(num_levels, num_timesteps)):
            t = torch.full((len(batch.ids),), timestep, device=device)
            noise = torch.stack([_noise(batch.latents[0], seed, level // 2, id) for id in batch.ids])
            eps = -noise if level % 2 else noise
            if residual_shift:
                photos = None if latents.photos is None else latents.photos[part]
                eps = objective.shift_noise(eps, batch.latents, photos)
            total[part] += _squared_error(objective, batch, t, eps.to(device))
    return total / num_levels


def _noise(like: Tensor, seed: int, number: int, picture: str) -> Tensor:
    """Unit normal noise of the shape of `like`, a function of (seed, number, picture)."""
    return torch.randn(like.shape, generator=step_rng(seed, number, f"validation of {picture}"))


def _squared_error(objective: DiffusionObjective, batch: LatentBatch, t: Tensor, eps: Tensor) -> Tensor:
    """Mean squared error on the noise, float32 [B] on the CPU, whichever loss the objective trains with."""
    error = F.mse_loss(objective.predict(batch, t, eps), eps, reduction="none")
    return error.mean(dim=(1, 2, 3)).cpu()


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
            found.append(_squared_error(objective, batch, t[chunk].to(device), eps[chunk].to(device)))
        losses.append(float(torch.cat(found).mean()))
    return losses


@torch.no_grad()
def regression_loss(objective: RegressionObjective, batches: PairBatches) -> Tensor:
    """The supervised baseline's loss of every pair, float32 [N].

    The last batch is filled up with pairs of the next epoch, which are not counted again.
    """
    losses: dict[str, Tensor] = {}
    for step in range(len(batches)):
        batch = batches.at(step)
        for pair_id, loss in zip(batch.ids, objective.per_sample(batch).float().cpu(), strict=True):
            losses.setdefault(pair_id, loss)
    return torch.stack(list(losses.values()))
