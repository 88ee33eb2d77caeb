"""The codec against diffusers' image processor and VAE, and the folding of latent statistics."""

import numpy as np
import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

from pixelpersona.models.base import BaseModel
from pixelpersona.models.codec import Codec, normalise_latents, to_uint8, to_unit


def _images(number: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (number, 32, 32, 3), dtype=np.uint8)


def test_the_pixel_range_is_that_of_diffusers() -> None:
    images = _images()
    processed = VaeImageProcessor(vae_scale_factor=4).preprocess([Image.fromarray(image) for image in images])
    torch.testing.assert_close(to_unit(images), processed, atol=1e-6, rtol=0)
    assert np.array_equal(to_uint8(to_unit(images)), images)


def test_latents_are_the_scaled_posterior_mean(micro_base: BaseModel) -> None:
    images = _images()
    expected = micro_base.vae.encode(to_unit(images)).latent_dist.mean * 0.5
    latents = Codec(micro_base, batch_size=2).encode_images(images)
    torch.testing.assert_close(latents, expected)
    decoded = to_uint8(micro_base.vae.decode(expected / 0.5).sample)
    assert np.abs(Codec(micro_base).decode_latents(latents).astype(int) - decoded).max() <= 1


def test_folding_normalises_latents_and_does_not_change_pictures(micro_base: BaseModel) -> None:
    vae, images = micro_base.vae, to_unit(_images(8))
    before = vae.encode(images).latent_dist
    noise = torch.randn(before.mean.shape, generator=torch.Generator().manual_seed(0))
    picture = vae.decode(before.mean + before.std * noise).sample
    mean, std = before.mean.mean(dim=(0, 2, 3)), before.mean.std(dim=(0, 2, 3))
    normalise_latents(vae, mean, std)
    after = vae.encode(images).latent_dist
    torch.testing.assert_close(after.mean.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(after.mean.std(dim=(0, 2, 3)), torch.ones(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        vae.decode(after.mean + after.std * noise).sample, picture, atol=1e-5, rtol=1e-4
    )


def test_captions_are_padded_to_one_length(micro_base: BaseModel) -> None:
    states = Codec(micro_base).encode_text(["", "pixel art portrait, 16-color style"])
    assert states.shape == (2, 24, 16)
    assert not torch.equal(states[0], states[1])
