"""Stable Diffusion 1.5 in its own layout and vocabulary, but narrow and with random weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, PNDMScheduler, UNet2DConditionModel
from PIL import Image
from safetensors.numpy import load_file
from skimage.data import astronaut
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from pixelpersona import stylize, train
from pixelpersona.models.tiny import build_noise_schedule

VOCABULARY = 49_408  # CLIP's


@pytest.fixture(scope="module")
def reduced_sd15(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four UNet levels (three with attention), an autoencoder that downsamples 8x, CLIP's vocabulary size."""
    folder = tmp_path_factory.mktemp("sd15")
    alphabet = [chr(code) for code in range(33, 127)]
    pieces = alphabet + [f"{letter}</w>" for letter in alphabet]
    pieces += [f"<stand-in {number}>" for number in range(VOCABULARY - len(pieces) - 2)]
    vocabulary = {piece: number for number, piece in enumerate([*pieces, "<|startoftext|>", "<|endoftext|>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)
    assert len(tokenizer) == VOCABULARY
    tokenizer.save_pretrained(folder / "tokenizer")
    torch.manual_seed(0)
    text = CLIPTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=VOCABULARY - 2,
        eos_token_id=VOCABULARY - 1,
    )
    CLIPTextModel(text).save_pretrained(folder / "text_encoder")
    AutoencoderKL(
        block_out_channels=(32, 32, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        sample_size=64,
        layers_per_block=1,
    ).save_pretrained(folder / "vae")
    UNet2DConditionModel(
        sample_size=8,
        cross_attention_dim=32,
        attention_head_dim=8,
        block_out_channels=(32, 64, 64, 64),
    ).save_pretrained(folder / "unet")
    PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        steps_offset=1,
        set_alpha_to_one=False,
    ).save_pretrained(folder / "scheduler")
    return folder


def test_the_noise_schedule_of_sd15_equals_ours(reduced_sd15: Path) -> None:
    theirs = DDIMScheduler.from_pretrained(reduced_sd15, subfolder="scheduler")
    torch.testing.assert_close(build_noise_schedule().alphas_cumprod, theirs.alphas_cumprod)


def test_a_lora_is_trained_for_one_step_and_draws_a_portrait(reduced_sd15: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(6):
        Image.fromarray(astronaut()[number * 20 : number * 20 + 300, 100:400]).save(photos / f"{number}.png")
    model = ["model=sd15", f"model.path={reduced_sd15}", "model.image_size=64", "model.framing=center"]
    train.main(
        [
            "experiment=celeba_sd15",
            *model,
            "dataset=folder",
            f"dataset.path={photos}",
            "dataset.framing=center",
            "dataset.limit=6",
            f"paths.cache={tmp_path / 'cache'}",
            f"paths.runs={tmp_path / 'runs'}",
            "loop.num_epochs=null",
            "loop.num_steps=1",
            "loop.batch_size=2",
            "loop.num_samples=0",
            "lora.rank=8",
            "tracker=none",
        ]
    )
    run = tmp_path / "runs" / "celeba-sd15-r8"
    weights = load_file(run / "pytorch_lora_weights.safetensors")
    assert len(weights) == 256  # lora_A and lora_B of 128 layers, as in the full model
    assert any(np.abs(value).max() > 0 for key, value in weights.items() if "lora_B" in key or "up" in key)
    out = tmp_path / "me.png"
    Image.fromarray(astronaut()).save(tmp_path / "me.jpg")
    stylize.main(
        [
            f"photo={tmp_path / 'me.jpg'}",
            f"out={out}",
            *model,
            f"adapter.path={run}",
            "sampler.num_steps=4",
        ]
    )
    assert Image.open(out.with_suffix(".cells.png")).size == (8, 8)
