"""Pixels ↔ latents and captions → text states: the only place for [-1, 1] and the scaling factor."""

import hashlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from pixelpersona.models.base import BaseModel, weights_sha256


def to_unit(images: NDArray[np.uint8]) -> Tensor:
    """uint8 [B, H, W, 3] → float32 [B, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def to_uint8(images: Tensor) -> NDArray[np.uint8]:
    """float [B, 3, H, W] in [-1, 1] (clamped) → uint8 [B, H, W, 3], rounded."""
    scaled = ((images.detach().float().clamp(-1, 1) + 1.0) * 127.5).round()
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


class Codec:
    """Encodes and decodes with a base's frozen autoencoder and text encoder."""

    def __init__(self, base: BaseModel, *, batch_size: int = 16) -> None:
        self.base, self.batch_size = base, batch_size
        self.scaling_factor = float(base.vae.config.scaling_factor)

    @cached_property
    def sha256(self) -> str:
        """Digest of the autoencoder and the text encoder, the key of every cache of their outputs."""
        parts = weights_sha256(self.base.vae, self.base.text_encoder) + f"{self.scaling_factor}"
        return hashlib.sha256(parts.encode()).hexdigest()

    @torch.no_grad()
    def encode_images(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 [B, H, W, 3] → scaled posterior means, float32 [B, C, H / cell, W / cell] on the CPU."""
        latents, vae = [], self.base.vae
        for start in range(0, len(images), self.batch_size):
            pixels = to_unit(images[start : start + self.batch_size]).to(vae.device, vae.dtype)
            latents.append(vae.encode(pixels).latent_dist.mode().float().cpu())
        return torch.cat(latents) * self.scaling_factor

    @torch.no_grad()
    def decode_latents(self, latents: Tensor) -> NDArray[np.uint8]:
        """Latents float [B, C, h, w] → uint8 [B, h * cell, w * cell, 3]."""
        vae = self.base.vae
        scaled = (latents / self.scaling_factor).to(vae.device, vae.dtype)
        chunks = torch.split(scaled, self.batch_size)
        return np.concatenate([to_uint8(vae.decode(chunk).sample) for chunk in chunks])

    @torch.no_grad()
    def encode_text(self, captions: Sequence[str]) -> Tensor:
        """Captions → last hidden states, float32 [B, L, D] on the CPU, L the tokenizer's maximum length."""
        tokens = tokenize(self.base, captions).to(self.base.text_encoder.device)
        states: Tensor = self.base.text_encoder(tokens).last_hidden_state.float().cpu()
        return states


def tokenize(base: BaseModel, captions: Sequence[str]) -> Tensor:
    """Captions → token ids int64 [B, L], padded or truncated to the tokenizer's maximum length L."""
    ids: Tensor = base.tokenizer(
        list(captions),
        padding="max_length",
        truncation=True,
        max_length=base.tokenizer.model_max_length,
        return_tensors="pt",
    ).input_ids
    return ids


@torch.no_grad()
def normalise_latents(vae: AutoencoderKL, mean: Tensor, std: Tensor) -> None:
    """Fold per-channel statistics into the 1x1 convolutions, so that latents have mean 0 and std 1.

    A single scaling factor cannot do this, since channels differ in both, and the Stable Diffusion pipelines
    ignore latents_mean and latents_std. Decoded pictures stay the same; LoRAs trained before become invalid.

    mean, std: float [C], measured on the posterior means of the training photos.
    """
    channels = len(mean)
    quant, post_quant = vae.quant_conv, vae.post_quant_conv
    quant.weight[:channels] /= std[:, None, None, None]
    quant.bias[:channels] = (quant.bias[:channels] - mean) / std
    quant.bias[channels:] -= 2 * std.log()
    post_quant.bias += (post_quant.weight[:, :, 0, 0] * mean).sum(dim=1)
    post_quant.weight *= std[None, :, None, None]
    vae.register_to_config(scaling_factor=1.0)
