"""What one batch costs a denoiser: the error on the noise, squared or Huber's, optionally min-SNR weighted.

The same objective trains the packaged base (UNet and text encoder), full fine-tunes and LoRA
adapters; they differ in which parameters ask for gradients.
"""

import math

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel

from pixelpersona.data.loader import LatentBatch


def stratified_timesteps(num: int, max_timestep: int, rng: torch.Generator, *, power: float = 1.0) -> Tensor:
    """int64 [num] timesteps, one from each of `num` equally likely parts of [0, max_timestep).

    Marginally uniform at power 1, but every batch meets every noise level: less noise in the gradient at no
    cost (low-discrepancy sampler of Kingma et al. 2021, arXiv:2107.00630, appendix I). A power above 1 draws
    low noise more often: a share of 0.5 ** (1 / power) lies below the middle.
    """
    u = torch.rand(num, generator=rng, dtype=torch.float64)
    positions = ((torch.arange(num, dtype=torch.float64) + u) / num) ** power
    return (positions * max_timestep).long().clamp(max=max_timestep - 1)


def min_snr_weights(alphas_cumprod: Tensor, t: Tensor, gamma: float) -> Tensor:
    """min(snr, gamma) / snr for noise prediction (min-SNR, Hang et al. 2023, arXiv:2303.09556).

    alphas_cumprod float [T], t int64 [B] → float [B] in (0, 1].
    """
    a = alphas_cumprod.to(t.device)[t]
    snr = a / (1.0 - a)
    return snr.clamp(max=gamma) / snr


class DiffusionObjective(nn.Module):
    """Denoising loss of DDPM (Ho et al. 2020, arXiv:2006.11239) on latents.

    text_encoder: None when batches carry text states float [B, L, D]; else it is trained (or frozen) along
    and batches carry token ids int64 [B, L].
    kind: "mse", or "huber" (Huber 1964), linear from errors of `huber_delta` on: outliers weigh less.
    snr_gamma: None for the plain mean squared error; 5 is the paper's choice.
    max_timestep: noise levels are drawn from [0, max_timestep). img2img at strength 0.5 never meets
    a level above 500 of 1,000, so a fine-tune for it need not spend half its steps there.
    start_strength: 0, or the strength img2img will start at. The noise then carries the photo's difference
    from its pixel art along, so much of it that at this strength noised art is the noised photo, and ever
    less below: the very path that img2img walks from photo to art (residual shifting, Yue et al. 2023,
    arXiv:2307.12348). Noise levels are drawn below it. Batches need `photos`.
    photo_probability: share of the samples whose noise carries the photo, with start_strength. The others
    learn plain noise over the whole schedule, so that the adapter stays a denoiser of pixel art.
    timestep_power: above 1, low noise levels are drawn more often (see `stratified_timesteps`).
    noise_offset: deviation of one normal draw per picture and channel added to the noise, so that the
    brightness of the whole is learned as well (Guttenberg 2023, "Diffusion with offset noise").
    Raises ValueError naming the key for another kind or a value out of range.
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
        start_strength: float = 0.0,
        photo_probability: float = 1.0,
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
        if not 0.0 <= start_strength < 1.0:
            raise ValueError(f"loss.start_strength={start_strength}: accepted 0 to below 1")
        if not 0.0 < photo_probability <= 1.0:
            raise ValueError(f"loss.photo_probability={photo_probability}: accepted above 0 to 1")
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
        self.photo_share = 0.0
        self.photo_probability = photo_probability
        if start_strength:
            self.max_timestep = max(1, round(start_strength * num_train_timesteps))
            a = float(noise_schedule.alphas_cumprod[self.max_timestep - 1])
            self.photo_share = math.sqrt(a / (1.0 - a))

    def forward(self, batch: LatentBatch, rng: torch.Generator) -> Tensor:
        """Scalar loss; noise and timesteps come from `rng` alone, drawn on the CPU.

        Drawn for the step's whole batch, of which a part takes its own: the parts' mean is the whole's loss.
        """
        device = self.unet.device
        num = len(batch.latents) * batch.part.num
        mine = batch.part.of(num)
        t = stratified_timesteps(num, self.max_timestep, rng, power=self.timestep_power)[mine]
        eps = torch.randn((num, *batch.latents.shape[1:]), generator=rng)
        if self.noise_offset:
            eps += self.noise_offset * torch.randn(*eps.shape[:2], 1, 1, generator=rng)
        eps = eps[mine]
        if self.photo_share:
            carries = (torch.rand(num, generator=rng) < self.photo_probability)[mine]
            num_timesteps = int(self.noise_schedule.config.num_train_timesteps)
            t = torch.where(carries, t, t * num_timesteps // self.max_timestep)
            carried = self.carry_photos(eps, batch.latents, batch.photos)
            eps = torch.where(carries[:, None, None, None], carried, eps)
        return self.per_sample(batch, t.to(device), eps.to(device)).mean()

    def carry_photos(self, eps: Tensor, latents: Tensor, photos: Tensor | None) -> Tensor:
        """Noise that leads from the photos' latents to those of their pixel art: all float [B, C, h, w]."""
        if photos is None:
            raise ValueError("loss.start_strength: the latents of the photos are missing")
        return eps + self.photo_share * (photos - latents)

    def per_sample(self, batch: LatentBatch, t: Tensor, eps: Tensor) -> Tensor:
        """Loss of every sample, float32 [B], at the given timesteps int64 [B] and noise [B, C, h, w]."""
        x_0 = batch.latents.to(eps)
        x_t = self.noise_schedule.add_noise(x_0, eps, t)
        text = batch.text.to(eps.device)
        if self.text_encoder is not None:
            text = self.text_encoder(text).last_hidden_state
        prediction = self.unet(x_t.to(self.unet.dtype), t, text.to(self.unet.dtype)).sample
        if self.kind == "huber":
            error = F.huber_loss(prediction.float(), eps, reduction="none", delta=self.huber_delta)
        else:
            error = F.mse_loss(prediction.float(), eps, reduction="none")
        error = error.mean(dim=(1, 2, 3))
        if self.snr_gamma is None:
            return error
        return error * min_snr_weights(self.noise_schedule.alphas_cumprod, t, self.snr_gamma).to(error)
