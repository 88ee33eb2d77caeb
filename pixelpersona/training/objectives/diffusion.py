"""Denoising loss: squared or Huber error on the noise, optionally with min-SNR weights.

The same objective trains the packaged base (UNet and text encoder) and LoRA adapters; they differ in which
parameters require gradients.
"""

import math

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.training_utils import compute_snr
from torch import Tensor, nn
from transformers import CLIPTextModel

from pixelpersona.data.loader import LatentBatch


def stratified_timesteps(num: int, max_timestep: int, rng: torch.Generator, *, power: float = 1.0) -> Tensor:
    """int64 [num] timesteps, one from each of `num` equally likely strata of [0, max_timestep).

    Uniform at power 1, but every batch covers all noise levels, which lowers the variance of the gradient
    (low-discrepancy sampler, Kingma et al. 2021, arXiv:2107.00630, appendix I). A power above 1 draws low
    noise more often: a share of 0.5 ** (1 / power) lies below the middle.
    """
    u = torch.rand(num, generator=rng, dtype=torch.float64)
    positions = ((torch.arange(num, dtype=torch.float64) + u) / num) ** power
    return (positions * max_timestep).long().clamp(max=max_timestep - 1)


def min_snr_weights(noise_schedule: DDIMScheduler, t: Tensor, gamma: float) -> Tensor:
    """min(snr, gamma) / snr for noise prediction (min-SNR, Hang et al. 2023, arXiv:2303.09556).

    t: int64 [B] → float [B] in (0, 1].
    """
    snr: Tensor = compute_snr(noise_schedule, t)
    return snr.clamp(max=gamma) / snr


class DiffusionObjective(nn.Module):
    """Denoising loss of DDPM (Ho et al. 2020, arXiv:2006.11239) on latents.

    text_encoder: None when batches carry text states float [B, L, D]; otherwise batches carry token ids
    int64 [B, L] and the text encoder is part of the objective.
    kind: "mse", or "huber" (Huber 1964), which is linear for errors above `huber_delta`.
    snr_gamma: None for no weights; 5 is the value of the min-SNR paper.
    max_timestep: timesteps are drawn from [0, max_timestep). img2img at strength 0.5 uses no timestep above
    500 of 1,000.
    residual_shift_strength: 0, or the strength that img2img will start at. The difference of the photo's
    latents from those of its pixel art is added to the noise, scaled so that at this strength the noised art
    equals the noised photo: the model learns the path that img2img takes from photo to art (residual
    shifting, Yue et al. 2023, arXiv:2307.12348). Timesteps are drawn below it. Batches need `photos`.
    residual_shift_probability: share of the samples with the residual shift. The others learn plain noise
    over the whole schedule, so that the adapter remains a denoiser of pixel art.
    timestep_power: above 1, low noise levels are drawn more often (see `stratified_timesteps`).
    noise_offset: deviation of a normal draw per picture and channel that is added to the noise, so that the
    overall brightness is learned, too (Guttenberg 2023, "Diffusion with offset noise").
    Raises ValueError naming loss.<key> for a value that is not accepted.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        noise_schedule: DDIMScheduler,
        *,
        text_encoder: CLIPTextModel | None = None,
        snr_gamma: float | None = None,
        max_timestep: int = 1000,
        kind: str = "mse",
        huber_delta: float = 1.0,
        noise_offset: float = 0.0,
        residual_shift_strength: float = 0.0,
        residual_shift_probability: float = 1.0,
        timestep_power: float = 1.0,
    ) -> None:
        super().__init__()
        num_train_timesteps = int(noise_schedule.config.num_train_timesteps)
        if not 1 <= max_timestep <= num_train_timesteps:
            raise ValueError(f"loss.max_timestep={max_timestep}: accepted 1 to {num_train_timesteps}")
        if kind not in ("mse", "huber"):
            raise ValueError(f"loss.kind={kind}: accepted mse, huber")
        if not huber_delta > 0.0:
            raise ValueError(f"loss.huber_delta={huber_delta}: accepted above 0")
        if not 0.0 <= residual_shift_strength < 1.0:
            raise ValueError(f"loss.residual_shift_strength={residual_shift_strength}: accepted 0 to below 1")
        if not 0.0 < residual_shift_probability <= 1.0:
            raise ValueError(
                f"loss.residual_shift_probability={residual_shift_probability}: accepted above 0 to 1"
            )
        if not timestep_power > 0.0:
            raise ValueError(f"loss.timestep_power={timestep_power}: accepted above 0")
        if not noise_offset >= 0.0:
            raise ValueError(f"loss.noise_offset={noise_offset}: accepted 0 or more")
        self.unet = unet
        self.text_encoder = text_encoder
        self.noise_schedule = noise_schedule
        self.snr_gamma = snr_gamma
        self.max_timestep = max_timestep
        self.kind, self.huber_delta = kind, huber_delta
        self.noise_offset = noise_offset
        self.timestep_power = timestep_power
        self.shift_scale = 0.0
        self.residual_shift_probability = residual_shift_probability
        if residual_shift_strength:
            self.max_timestep = max(1, round(residual_shift_strength * num_train_timesteps))
            a = float(noise_schedule.alphas_cumprod[self.max_timestep - 1])
            self.shift_scale = math.sqrt(a / (1.0 - a))

    def forward(self, batch: LatentBatch, rng: torch.Generator) -> Tensor:
        """Scalar loss; noise and timesteps come from `rng` alone, drawn on the CPU.

        They are drawn for the whole batch of the step, of which a part takes its share, so that the mean over
        the parts is the loss of the whole batch.
        """
        device = self.unet.device
        num = len(batch.latents) * batch.part.num
        mine = batch.part.of(num)
        t = stratified_timesteps(num, self.max_timestep, rng, power=self.timestep_power)[mine]
        eps = torch.randn((num, *batch.latents.shape[1:]), generator=rng)
        if self.noise_offset:
            eps += self.noise_offset * torch.randn(*eps.shape[:2], 1, 1, generator=rng)
        eps = eps[mine]
        if self.shift_scale:
            shifted = (torch.rand(num, generator=rng) < self.residual_shift_probability)[mine]
            num_timesteps = int(self.noise_schedule.config.num_train_timesteps)
            unshifted = stratified_timesteps(num, num_timesteps, rng, power=self.timestep_power)[mine]
            t = torch.where(shifted, t, unshifted)
            with_residual = self.shift_noise(eps, batch.latents, batch.photos)
            eps = torch.where(shifted[:, None, None, None], with_residual, eps)
        return self.per_sample(batch, t.to(device), eps.to(device)).mean()

    def shift_noise(self, eps: Tensor, latents: Tensor, photos: Tensor | None) -> Tensor:
        """The noise plus the scaled residual from pixel art to photo; all float [B, C, h, w]."""
        if photos is None:
            raise ValueError("loss.residual_shift_strength: batches have no latents of the photos")
        return eps + self.shift_scale * (photos - latents)

    def per_sample(self, batch: LatentBatch, t: Tensor, eps: Tensor) -> Tensor:
        """Loss of every sample, float32 [B], at the given timesteps int64 [B] and noise [B, C, h, w]."""
        prediction = self.predict(batch, t, eps)
        if self.kind == "huber":
            error = F.huber_loss(prediction, eps, reduction="none", delta=self.huber_delta)
        else:
            error = F.mse_loss(prediction, eps, reduction="none")
        error = error.mean(dim=(1, 2, 3))
        if self.snr_gamma is None:
            return error
        return error * min_snr_weights(self.noise_schedule, t, self.snr_gamma).to(error)

    def predict(self, batch: LatentBatch, t: Tensor, eps: Tensor) -> Tensor:
        """The network's prediction of the noise `eps` in the noised latents, float32 [B, C, h, w]."""
        x_t = self.noise_schedule.add_noise(batch.latents.to(eps), eps, t)
        text = batch.text.to(eps.device)
        if self.text_encoder is not None:
            text = self.text_encoder(text).last_hidden_state
        prediction: Tensor = self.unet(x_t.to(self.unet.dtype), t, text.to(self.unet.dtype)).sample
        return prediction.float()
