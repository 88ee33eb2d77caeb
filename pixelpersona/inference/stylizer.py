"""Photo in, portrait out, by diffusers' own img2img pipeline."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from diffusers import StableDiffusionImg2ImgPipeline
from PIL import Image
from torch import Tensor

from pixelpersona.inference.portrait import Portrait, PortraitMaker, checked_photos
from pixelpersona.inference.sampler import Sampler, make_scheduler
from pixelpersona.models.base import BaseModel
from pixelpersona.pixel.finish import Finish

__all__ = ["Portrait", "PortraitMaker", "Stylizer"]


class Stylizer:
    """Draws photos in the base's style, or in the style of the LoRA its UNet carries.

    It holds no copy: whatever is trained into base.unet or base.text_encoder shows in the next portrait, so
    the same object serves samples during training.

    finish: what makes the snapped portraits of the drawn ones. adapter: the LoRA's name, None for the
    base itself. batch_size: photos per UNet call; memory and speed only.
    """

    def __init__(
        self,
        base: BaseModel,
        *,
        sampler: Sampler,
        prompt: str,
        finish: Finish | None = None,
        adapter: str | None = None,
        batch_size: int = 8,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: accepted 1 or more")
        self.base, self.sampler, self.prompt = base, sampler, prompt
        self.finish, self.adapter, self.batch_size = finish or Finish(), adapter, batch_size
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
        """One portrait per photo, in order; a photo's portrait does not depend on its batch beyond rounding.

        photos: square, of the base's image size. seeds: one random seed per photo.
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
                        snapped=self.finish.apply(np.asarray(image), cell, np.asarray(photo)),
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
        # On the CPU whatever the device: the same seed is then the same noise everywhere.
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
        """The prompt's states [1, L, D], and the empty prompt's when guidance needs them."""
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
    """Dropout off while sampling; a model in training is in training again afterwards."""
    modules = [module for module in (base.unet, base.vae, base.text_encoder) if module.training]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for module in modules:
            module.train()
