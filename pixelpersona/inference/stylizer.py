"""Portraits by diffusers' img2img pipeline."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from diffusers import StableDiffusionImg2ImgPipeline
from PIL import Image

from pixelpersona.inference.portrait import Portrait, checked_photos, draw_portraits
from pixelpersona.inference.sampler import Sampler, make_scheduler
from pixelpersona.models.base import BaseModel, make_pipeline
from pixelpersona.pixel.postprocess import Postprocess


class Stylizer:
    """Draws photos with a base model, including any LoRA that it carries.

    It shares the base's modules: what is trained into base.unet or base.text_encoder shows in the next
    portrait, so that one object can draw the samples of a whole training run.

    prompt: the same for all photos. postprocess: applied to every drawing.
    """

    def __init__(
        self, base: BaseModel, *, sampler: Sampler, prompt: str, postprocess: Postprocess | None = None
    ) -> None:
        self.base, self.sampler, self.prompt = base, sampler, prompt
        self.postprocess = postprocess or Postprocess()
        scheduler = make_scheduler(sampler, base.noise_schedule)
        self._pipeline = make_pipeline(StableDiffusionImg2ImgPipeline, base, scheduler)

    def portraits(self, photos: Sequence[Image.Image], seeds: Sequence[int]) -> list[Portrait]:
        """One portrait per photo, in order; up to rounding, independent of the batch.

        photos: squares of the base's image size. seeds: one random seed per photo.
        Raises ValueError when a size or the number of seeds is wrong.
        """
        base, sampler = self.base, self.sampler
        photos = checked_photos(photos, seeds, image_size=base.image_size, multiple_of=base.cell)
        with _evaluating(base), torch.no_grad():
            # Text states [1, L, D]; those of the empty prompt are None without guidance.
            text, empty_text = self._pipeline.encode_prompt(
                self.prompt,
                device=base.device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=sampler.guidance > 1.0,
                negative_prompt="",
            )

        def draw(photos: Sequence[Image.Image], seeds: Sequence[int]) -> list[Image.Image]:
            num = len(photos)
            with _evaluating(base):
                images: list[Image.Image] = self._pipeline(
                    image=list(photos),
                    strength=sampler.strength,
                    num_inference_steps=sampler.num_steps,
                    guidance_scale=sampler.guidance,
                    # On the CPU, so that a seed gives the same noise on all devices.
                    generator=[torch.Generator(device="cpu").manual_seed(seed) for seed in seeds],
                    prompt_embeds=text.expand(num, -1, -1),
                    negative_prompt_embeds=None if empty_text is None else empty_text.expand(num, -1, -1),
                    output_type="pil",
                ).images
            return images

        return draw_portraits(
            draw, photos, seeds, cell=base.cell, postprocess=self.postprocess, strength=sampler.strength
        )


@contextmanager
def _evaluating(base: BaseModel) -> Iterator[None]:
    """Eval mode (no dropout) inside the context; training mode is restored afterwards."""
    modules = [module for module in (base.unet, base.vae, base.text_encoder) if module.training]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for module in modules:
            module.train()
