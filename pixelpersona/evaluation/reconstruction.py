"""Reconstruction quality of an autoencoder."""

from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from pixelpersona.models.codec import to_uint8, to_unit

_BATCH_SIZE = 16


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """Means over pictures. psnr: in dB. ssim: -1 to 1, on RGB (Wang et al. 2004). Higher is better."""

    psnr: float
    ssim: float


@torch.no_grad()
def reconstruction(vae: AutoencoderKL, pictures: NDArray[np.uint8]) -> Reconstruction:
    """Encode pictures uint8 [N, H, W, 3] to the mode of their latents, decode them and round to 8 bits."""
    psnr, ssim = [], []
    for start in range(0, len(pictures), _BATCH_SIZE):
        part = pictures[start : start + _BATCH_SIZE]
        rebuilt = to_uint8(vae.decode(vae.encode(to_unit(part).to(vae.device)).latent_dist.mode()).sample)
        for picture, other in zip(part, rebuilt, strict=True):
            psnr.append(peak_signal_noise_ratio(picture, other))
            ssim.append(structural_similarity(picture, other, channel_axis=2))
    return Reconstruction(float(np.mean(psnr)), float(np.mean(ssim)))
