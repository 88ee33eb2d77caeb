from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline
from PIL import Image

from pixelpersona.inference.sampler import Sampler, make_scheduler
from pixelpersona.inference.stylizer import Stylizer
from pixelpersona.models.base import BaseModel, load_base
from pixelpersona.models.codec import to_unit

PROMPT = "pixel art portrait, 16-color style"
SIZE = 32


@pytest.fixture(scope="module")
def base(micro_base_folder: Path) -> BaseModel:
    """Random weights, 32x32 pixels, cells of 4."""
    micro = load_base(micro_base_folder, name="micro", device="cpu")
    with torch.no_grad():
        for parameter in micro.vae.decoder.conv_out.parameters():
            parameter.mul_(4.0)  # random weights draw grey; more contrast makes differences visible
    return micro


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    small = [Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)) for _ in range(4)]
    return [picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC) for picture in small]


def make(base: BaseModel, kind: str = "dpm", guidance: float = 3.0) -> Stylizer:
    sampler = Sampler(kind, 4, 0.5, guidance)
    return Stylizer(base, sampler=sampler, prompt=PROMPT)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_a_portrait_does_not_depend_on_its_batch(
    base: BaseModel, photos: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = [7, 8, 9, 10]
    together = make(base).portraits(photos, seeds)
    monkeypatch.setattr("pixelpersona.inference.portrait._BATCH_SIZE", 1)
    alone = make(base).portraits(photos[2:3], seeds[2:3])
    assert len(together) == 4
    assert np.abs(pixels(together[2].image) - pixels(alone[0].image)).max() <= 1


def test_seed_and_photo_determine_the_portrait(base: BaseModel, photos: list[Image.Image]) -> None:
    same, other_seed, other_photo = make(base).portraits([photos[0], photos[0], photos[1]], [1, 2, 1])
    again = make(base).portraits([photos[0]] * 3, [1, 1, 1])
    assert np.abs(pixels(again[1].image) - pixels(same.image)).max() <= 1
    for different in (other_seed, other_photo):
        assert np.abs(pixels(different.image) - pixels(same.image)).max() > 5


@pytest.mark.parametrize("kind", ["ddim", "dpm"])
def test_portraits_equal_those_of_plain_diffusers(
    base: BaseModel, photos: list[Image.Image], kind: str
) -> None:
    stylizer = make(base, kind)
    pipeline = StableDiffusionImg2ImgPipeline(
        vae=base.vae,
        text_encoder=base.text_encoder,
        tokenizer=base.tokenizer,
        unet=base.unet,
        scheduler=make_scheduler(stylizer.sampler, base.noise_schedule),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    expected = pipeline(
        PROMPT,
        image=photos[0],
        strength=0.5,
        num_inference_steps=4,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(3),
    ).images[0]
    drawn = stylizer.portraits(photos[:1], [3])[0].image
    assert np.abs(pixels(drawn) - pixels(expected)).max() <= 1


def test_the_pipeline_does_not_resize_the_photo(base: BaseModel, photos: list[Image.Image]) -> None:
    prepared = make(base)._pipeline.image_processor.preprocess(photos[:1])
    torch.testing.assert_close(prepared, to_unit(np.stack([np.asarray(photos[0])])), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "num_steps", "strength"), [("dpm", 20, 0.5), ("ddim", 10, 0.3), ("dpm", 3, 1.0)]
)
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_num_calls_and_num_passes_count_unet_calls(
    base: BaseModel, photos: list[Image.Image], kind: str, num_steps: int, strength: float, guidance: float
) -> None:
    batches: list[int] = []
    callback = base.unet.register_forward_pre_hook(lambda module, inputs: batches.append(len(inputs[0])))
    sampler = Sampler(kind, num_steps, strength, guidance)
    try:
        Stylizer(base, sampler=sampler, prompt=PROMPT).portraits(photos[:2], [0, 1])
    finally:
        callback.remove()
    assert batches == [4 if guidance > 1 else 2] * sampler.num_calls
    assert sum(batches) == 2 * sampler.num_passes


def test_the_prompt_is_encoded_once_for_all_photos(
    base: BaseModel, photos: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixelpersona.inference.portrait._BATCH_SIZE", 2)
    stylizer = make(base)
    calls: list[int] = []
    callback = base.text_encoder.register_forward_pre_hook(lambda module, inputs: calls.append(1))
    try:
        stylizer.portraits(photos, [0, 1, 2, 3])
    finally:
        callback.remove()
    assert len(calls) == 2  # the prompt and the empty prompt, for two batches


def test_portraits_record_how_they_were_made(base: BaseModel, photos: list[Image.Image]) -> None:
    for portrait, photo, seed in zip(
        make(base).portraits(photos, [4, 5, 6, 7]), photos, [4, 5, 6, 7], strict=True
    ):
        assert portrait.photo.tobytes() == photo.tobytes()
        assert (portrait.seed, portrait.strength) == (seed, 0.5)
        assert portrait.image.size == (SIZE, SIZE)
        assert portrait.snapped.cells.shape == (8, 8, 3)
        assert len(portrait.snapped.palette) <= 16
        snapped = portrait.snapped.image()
        assert len(np.unique(snapped.reshape(-1, 3), axis=0)) <= 16
        assert (snapped == snapped[::4, ::4].repeat(4, axis=0).repeat(4, axis=1)).all()


def test_sampling_uses_eval_mode_and_restores_training_mode(
    base: BaseModel, photos: list[Image.Image]
) -> None:
    seen: list[bool] = []
    callback = base.unet.register_forward_pre_hook(lambda module, inputs: seen.append(module.training))
    base.unet.train()
    try:
        make(base).portraits(photos[:1], [0])
        assert base.unet.training
        assert not any(seen)
    finally:
        callback.remove()
        base.unet.eval()


def test_wrong_photos_are_named(base: BaseModel, photos: list[Image.Image]) -> None:
    with pytest.raises(ValueError, match="photo 1 is 40x32 pixels: accepted 32x32"):
        make(base).portraits([photos[0], photos[1].resize((40, 32))], [0, 1])
    with pytest.raises(ValueError, match="4 photos and 2 seeds"):
        make(base).portraits(photos, [0, 1])
