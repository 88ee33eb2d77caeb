"""Text-to-image with a base: pictures from captions, one seed per picture."""

from collections.abc import Sequence

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from PIL import Image
from tqdm import tqdm

from pixelpersona.models.base import BaseModel


def text_to_image(
    base: BaseModel,
    captions: Sequence[str],
    seeds: Sequence[int],
    *,
    guidance: float,
    num_steps: int = 25,
    batch_size: int = 16,
) -> list[Image.Image]:
    """RGB pictures of the base's size, one per caption; each depends on its own caption and seed alone.

    guidance: scale of classifier-free guidance; 1 is off. num_steps: steps of DPM-Solver++ 2M.
    Raises ValueError when captions and seeds differ in number.
    """
    if len(captions) != len(seeds):
        raise ValueError(f"{len(captions)} captions and {len(seeds)} seeds: accepted one seed per caption")
    pipeline = StableDiffusionPipeline(
        vae=base.vae,
        text_encoder=base.text_encoder,
        tokenizer=base.tokenizer,
        unet=base.unet,
        scheduler=DPMSolverMultistepScheduler.from_config(base.noise_schedule.config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    shape = (base.unet.config.in_channels, base.image_size // base.cell, base.image_size // base.cell)
    images: list[Image.Image] = []
    for start in tqdm(range(0, len(captions), batch_size), desc="portraits", unit="batch", leave=False):
        part = slice(start, start + batch_size)
        noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds[part]]
        images += pipeline(
            prompt=list(captions[part]),
            latents=torch.stack(noise).to(base.device, base.unet.dtype),
            height=base.image_size,
            width=base.image_size,
            num_inference_steps=num_steps,
            guidance_scale=guidance,
        ).images
    return images
