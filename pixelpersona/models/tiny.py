"""Architecture of the packaged tiny base: Stable Diffusion, small enough to train on two CPU cores.

The same diffusers and transformers classes as Stable Diffusion 1.5, with 128x128 pixels and 32x32x6 latents;
one latent cell is one cell of the pixel art. Only sizes differ, so all other code treats both bases alike.
"""

from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

CELL = 4
LATENT_CHANNELS = 6  # 3 for the colour of a cell, 3 for the detail inside it
TEXT_WIDTH = 128
TEXT_LENGTH = 24


def build_vae(image_size: int) -> AutoencoderKL:
    """4x autoencoder: float [B, 3, 128, 128] in [-1, 1] ↔ latents [B, 6, 32, 32]; 1.4 M parameters.

    image_size: side of the pictures it is trained for, pixels; recorded only, as any multiple of 4 works.
    No attention in the middle block: at 32x32 it would cost more than all convolutions of the block, and
    reconstruction needs no long-range context.
    """
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 48, 96),
        layers_per_block=1,
        norm_num_groups=8,
        latent_channels=LATENT_CHANNELS,
        sample_size=image_size,
        scaling_factor=1.0,
        mid_block_add_attention=False,
    )


def build_unet(latent_size: int) -> UNet2DConditionModel:
    """Denoising UNet of 8.3 M parameters with attention at all levels but the last, as in SD 1.5.

    The 32x32 level has cross-attention to the text only: self-attention over 1,024 cells would take half of
    the total time, and the 16x16 level already attends to the whole picture.
    latent_size: side of the latents it is trained for; the weights do not depend on it.
    """
    unet = UNet2DConditionModel(
        sample_size=latent_size,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        layers_per_block=1,
        block_out_channels=(48, 128, 192),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        only_cross_attention=(True, False, False),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=(1, 2, 3),  # diffusers' name for the NUMBER of heads per level
        norm_num_groups=8,
    )
    _start_at_identity(unet)
    return unet


def build_text_encoder(vocab_size: int, bos_token_id: int, eos_token_id: int) -> CLIPTextModel:
    """CLIP text encoder of 2 layers, width 128 and at most 24 tokens; trained together with the UNet."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocab_size,
            hidden_size=TEXT_WIDTH,
            intermediate_size=4 * TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TEXT_LENGTH,
            bos_token_id=bos_token_id,
            eos_token_id=eos_token_id,
            pad_token_id=eos_token_id,
            projection_dim=TEXT_WIDTH,
        )
    )


def build_noise_schedule() -> DDIMScheduler:
    """Stable Diffusion 1.5's schedule: scaled_linear betas 0.00085 to 0.012, 1,000 steps, eps prediction."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


def _start_at_identity(unet: UNet2DConditionModel) -> None:
    """Zero the last layer of every residual branch and of the UNet itself.

    Every block then starts as the identity, which allows a high learning rate from the first step
    (ADM, Dhariwal & Nichol 2021, arXiv:2105.05233); diffusers initialises these layers randomly.
    """
    nn.init.zeros_(unet.conv_out.weight)
    nn.init.zeros_(unet.conv_out.bias)
    for module in unet.modules():
        if isinstance(module, ResnetBlock2D):
            nn.init.zeros_(module.conv2.weight)
        elif isinstance(module, Transformer2DModel):
            nn.init.zeros_(module.proj_out.weight)
