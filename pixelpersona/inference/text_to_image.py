"""Text-to-image with a base: pictures from captions, one seed per picture."""

from collections.abc import Sequence

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from PIL import Image
from tqdm import tqdm

from pixelpersona.models.base import BaseModel, make_pipeline

_BATCH_SIZE = 16


def text_to_image(
    base: BaseModel, captions: Sequence[str], seeds: Sequence[int], *, guidance: float, num_steps: int
) -> list[Image.Image]:
    """RGB pictures of the base's size, one per caption; each depends on its own caption and seed alone.

    guidance: scale of classifier-free guidance; 1 is off. num_steps: steps of DPM-Solver++ 2M.
    Raises ValueError when captions and seeds differ in number.
    """
    if len(captions) != len(seeds):
        raise ValueError(f"{len(captions)} captions and {len(seeds)} seeds: accepted one seed per caption")
    scheduler = DPMSolverMultistepScheduler.from_config(base.noise_schedule.config)
    pipeline = make_pipeline(StableDiffusionPipeline, base, scheduler)
    side = base.unet.config.sample_size
    shape = (base.unet.config.in_channels, side, side)
    images: list[Image.Image] = []
    for start in tqdm(range(0, len(captions), _BATCH_SIZE), desc="portraits", unit="batch", leave=False):
        part = slice(start, start + _BATCH_SIZE)
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
