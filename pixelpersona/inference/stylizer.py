"""Portraits by diffusers' img2img pipeline."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from diffusers import StableDiffusionImg2ImgPipeline
from PIL import Image
from torch import Tensor

from pixelpersona.inference.portrait import Portrait, checked_photos
from pixelpersona.inference.sampler import Sampler, make_scheduler
from pixelpersona.models.base import BaseModel
from pixelpersona.pixel.postprocess import Postprocess


class Stylizer:
    """Draws photos with a base model, including any LoRA that it carries.

    It shares the base's modules: what is trained into base.unet or base.text_encoder shows in the next
    portrait, so that one object can draw the samples of a whole training run.

    prompt: the same for all photos. postprocess: applied to every drawing. adapter: the LoRA's name, None for
    the base itself. batch_size: photos per UNet call; affects memory and speed only.
    """

    def __init__(
        self,
        base: BaseModel,
        *,
        sampler: Sampler,
        prompt: str,
        postprocess: Postprocess | None = None,
        adapter: str | None = None,
        batch_size: int = 8,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: accepted 1 or more")
        self.base, self.sampler, self.prompt = base, sampler, prompt
        self.postprocess, self.adapter, self.batch_size = postprocess or Postprocess(), adapter, batch_size
        self._pipeline = StableDiffusionImg2ImgPipeline(
            vae=base.vae,
            text_encoder=base.text_encoder,
            tokenizer=base.tokenizer,
            unet=base.unet,
            scheduler=make_scheduler(sampler, base.noise_schedule),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        self._pipeline.set_progress_bar_config(disable=True)

    def portraits(self, photos: Sequence[Image.Image], seeds: Sequence[int]) -> list[Portrait]:
        """One portrait per photo, in order; up to rounding, independent of the batch.

        photos: squares of the base's image size. seeds: one random seed per photo.
        Raises ValueError when a size or the number of seeds is wrong.
        """
        cell = self.base.cell
        photos = checked_photos(photos, seeds, image_size=self.base.image_size, multiple_of=cell)
        with _evaluating(self.base):
            text = self._encode_prompt()
        made = []
        for start in range(0, len(photos), self.batch_size):
            chunk = slice(start, start + self.batch_size)
            for photo, seed, image in zip(
                photos[chunk], seeds[chunk], self._draw(photos[chunk], seeds[chunk], *text), strict=True
            ):
                made.append(
                    Portrait(
                        image=image,
                        snapped=self.postprocess.apply(np.asarray(image), cell, np.asarray(photo)),
                        photo=photo,
                        prompt=self.prompt,
                        seed=seed,
                        strength=self.sampler.strength,
                        guidance=self.sampler.guidance,
                        adapter=self.adapter,
                    )
                )
        return made

    def _draw(
        self, photos: Sequence[Image.Image], seeds: Sequence[int], text: Tensor, empty_text: Tensor | None
    ) -> list[Image.Image]:
        # On the CPU, so that a seed gives the same noise on all devices.
        generators = [torch.Generator(device="cpu").manual_seed(seed) for seed in seeds]
        num = len(photos)
        with _evaluating(self.base):
            result = self._pipeline(
                image=list(photos),
                strength=self.sampler.strength,
                num_inference_steps=self.sampler.num_steps,
                guidance_scale=self.sampler.guidance,
                generator=generators,
                prompt_embeds=text.expand(num, -1, -1),
                negative_prompt_embeds=None if empty_text is None else empty_text.expand(num, -1, -1),
                output_type="pil",
            )
        images: list[Image.Image] = result.images
        return images

    @torch.no_grad()
    def _encode_prompt(self) -> tuple[Tensor, Tensor | None]:
        """The prompt's text states [1, L, D], and the empty prompt's if guidance needs them."""
        text, empty_text = self._pipeline.encode_prompt(
            self.prompt,
            device=self.base.unet.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=self.sampler.guidance > 1.0,
            negative_prompt="",
        )
        return text, empty_text


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
