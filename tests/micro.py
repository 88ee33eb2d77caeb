"""A Stable Diffusion so small that a test can train it."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from pixelpersona.models.base import BaseModel, save_base
from pixelpersona.models.tiny import build_noise_schedule
from pixelpersona.models.tokenizer import train_tokenizer
from pixelpersona.training.objectives.autoencoder import AutoencoderLoss

AUTOENCODER_LOSS = AutoencoderLoss(
    l1=1.0,
    squared_error=0.0,
    gradient=0.5,
    edge=3.0,
    colour=4.0,
    chroma=4.0,
    taught=0.3,
    kl=1e-4,
    block_share=0.4,
    latent_noise=0.2,
)


def save_micro_base(folder: Path) -> Path:
    """Write a Stable Diffusion for 32x32 images and 8x8 latents with random weights; return its folder."""
    captions = ["pixel art portrait, 16-color style", "a photo of a 26 year old woman"]
    tokenizer = train_tokenizer(captions, folder / "tokens", vocab_size=600)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        text = CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=24,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.eos_token_id,
        )
        base = BaseModel(
            tokenizer=tokenizer,
            text_encoder=CLIPTextModel(text),
            vae=AutoencoderKL(
                block_out_channels=(8, 8, 16),
                layers_per_block=1,
                norm_num_groups=4,
                sample_size=32,
                down_block_types=("DownEncoderBlock2D",) * 3,
                up_block_types=("UpDecoderBlock2D",) * 3,
                scaling_factor=0.5,
            ),
            unet=UNet2DConditionModel(
                sample_size=8,
                layers_per_block=1,
                block_out_channels=(16, 32),
                norm_num_groups=4,
                down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
                up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
                cross_attention_dim=16,
                attention_head_dim=(2, 2),
            ),
            noise_schedule=build_noise_schedule(),
            name="micro",
            sha256="",
        )
    save_base(base, folder / "base", dtype=torch.float32)
    return folder / "base"
