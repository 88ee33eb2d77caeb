"""Exported weights draw the same pictures in plain diffusers, in every format."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline, UNet2DConditionModel
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pixelpersona.assets.locate import path as asset
from pixelpersona.inference.sampler import Sampler, make_scheduler
from pixelpersona.inference.stylizer import Stylizer
from pixelpersona.models.adapter import (
    ADAPTER_FILE,
    ATTENTION,
    TEXT_ATTENTION,
    add_lora,
    merge_lora,
    save_lora,
)
from pixelpersona.models.base import BaseModel, load_base, save_base
from pixelpersona.models.formats import LoraFile, fits_sd1, read_lora, write_kohya
from tests.models.lora_pairs import make_pairs, with_metadata

# What the tiny base's LoRAs train: attention, feed-forward and every convolution.
ALL_LAYERS = (*ATTENTION, "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out", "conv1", "conv2")
ALL_LAYERS += ("conv_shortcut", "conv_in", "conv_out", "conv")
PROMPT = "pixel art portrait"
SAMPLER = Sampler(kind="dpm", num_steps=4, strength=0.5, guidance=1.0)
PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))


def make_lora(base: BaseModel, folder: Path, targets: Sequence[str] = ALL_LAYERS, text: bool = True) -> Path:
    """A random LoRA of rank 2 with alphas of 5 and 3, so that a lost alpha would change the picture."""
    add_lora(base.unet, rank=2, alpha=5.0, targets=targets)
    if text:
        add_lora(base.text_encoder, rank=2, alpha=3.0, targets=TEXT_ATTENTION)
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for model in (base.unet, base.text_encoder):
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.copy_(0.1 * torch.randn(parameter.shape, generator=rng))
    return save_lora(base.unet, folder, text_encoder=base.text_encoder if text else None)


def ours(base: BaseModel) -> np.ndarray:
    """A portrait by this project's stylizer, before postprocessing."""
    portrait = Stylizer(base, sampler=SAMPLER, prompt=PROMPT).portraits([PHOTO], [7])[0]
    return np.asarray(portrait.image).astype(int)


def theirs(pipeline: StableDiffusionImg2ImgPipeline) -> np.ndarray:
    """A picture by plain diffusers from the same prompt, photo and seed."""
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = make_scheduler(SAMPLER, pipeline.scheduler)
    made = pipeline(
        PROMPT,
        image=PHOTO,
        strength=SAMPLER.strength,
        num_inference_steps=SAMPLER.num_steps,
        guidance_scale=SAMPLER.guidance,
        generator=torch.Generator().manual_seed(7),
    )
    return np.asarray(made.images[0]).astype(int)


@pytest.mark.parametrize("text", [True, False])
def test_diffusers_and_kohya_files_draw_the_same_in_plain_diffusers(
    micro_base: BaseModel, micro_base_folder: Path, tmp_path: Path, text: bool
) -> None:
    untouched = ours(micro_base)
    lora = read_lora(make_lora(micro_base, tmp_path / "run", text=text))
    drawn = ours(micro_base)
    assert np.abs(drawn - untouched).max() > 8

    kohya = write_kohya(lora, tmp_path / "portraits.safetensors", {})
    for folder, name in ((lora.file.parent, lora.file.name), (tmp_path, kohya.name)):
        pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(micro_base_folder)
        pipeline.load_lora_weights(folder, weight_name=name)
        assert np.abs(theirs(pipeline) - drawn).max() <= 1, name  # of 255, from rounding


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1), (torch.float16, 4)])
def test_the_merged_pipeline_draws_the_same(
    micro_base: BaseModel, micro_base_folder: Path, tmp_path: Path, dtype: torch.dtype, tolerance: int
) -> None:
    """tolerance: levels of 255; half precision has 11 significant bits."""
    lora = read_lora(make_lora(micro_base, tmp_path / "run"))
    drawn = ours(micro_base)
    base = load_base(micro_base_folder, name="again", device="cpu")
    before = base.sha256
    save_base(merge_lora(base, lora.file)[0], tmp_path / "merged", dtype=dtype)
    pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(tmp_path / "merged")
    assert np.abs(theirs(pipeline) - drawn).max() <= tolerance
    stored = load_file(tmp_path / "merged" / "unet" / "diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {dtype}
    assert not any("lora" in name for name in stored)
    assert load_base(micro_base_folder, name="again", device="cpu").sha256 == before


def test_kohya_key_names_and_alphas(micro_base: BaseModel, tmp_path: Path) -> None:
    lora = read_lora(make_lora(micro_base, tmp_path / "run"))
    file = write_kohya(lora, tmp_path / "lora-r2.safetensors", {"ss_seed": "3"})
    weights = load_file(file)
    attention = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    text = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
    for module in (attention, text, "lora_unet_conv_in", "lora_unet_mid_block_resnets_0_conv1"):
        assert {f"{module}.{end}" for end in ("lora_down.weight", "lora_up.weight", "alpha")} <= set(weights)
    alphas = {key: value.item() for key, value in weights.items() if key.endswith(".alpha")}
    assert len(alphas) * 3 == len(weights)
    assert all(value == (3.0 if key.startswith("lora_te_") else 5.0) for key, value in alphas.items())
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    content = file.read_bytes()
    sha256 = hashlib.sha256(content[8 + int.from_bytes(content[:8], "little") :]).hexdigest()
    assert metadata == {
        "format": "pt",
        "ss_network_module": "networks.lora",
        "ss_network_dim": "2",
        "ss_network_alpha": "5.0",
        "ss_seed": "3",
        "modelspec.hash_sha256": f"0x{sha256}",
        "sshs_model_hash": sha256,
    }


def test_a_lora_of_stable_diffusion_is_told_from_one_of_another_base(
    micro_base: BaseModel, tmp_path: Path
) -> None:
    with torch.device("meta"):  # SD 1.5's other settings are the defaults
        unet = UNet2DConditionModel(cross_attention_dim=768)
    layers = [m for m in unet.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d)]
    assert len(layers) > 250
    weights = {}
    for number, layer in enumerate(layers):
        outputs, inputs = layer.weight.shape[:2]
        weights[f"unet.m{number}.lora_A.weight"] = torch.ones(2, inputs)
        weights[f"unet.m{number}.lora_B.weight"] = torch.ones(outputs, 2)
    assert fits_sd1(LoraFile(tmp_path, weights, {}, {}))
    assert not fits_sd1(read_lora(make_lora(micro_base, tmp_path / "run")))
    packaged = read_lora(asset("lora") / ADAPTER_FILE)
    assert not fits_sd1(packaged)
    unet_only = {key: value for key, value in packaged.weights.items() if ".attn" in key}
    assert unet_only
    assert not fits_sd1(replace(packaged, weights=unet_only))


def test_ranks_that_differ_are_called_dynamic(micro_base: BaseModel, tmp_path: Path) -> None:
    with_metadata(make_pairs(micro_base, ranks=(2, 8), alphas=(4.0,)), tmp_path / "lora.safetensors")
    file = write_kohya(read_lora(tmp_path / "lora.safetensors"), tmp_path / "kohya.safetensors", {})
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    assert (metadata["ss_network_dim"], metadata["ss_network_alpha"]) == ("Dynamic", "4.0")


def test_alpha_without_metadata_is_the_rank(micro_base: BaseModel, tmp_path: Path) -> None:
    made = read_lora(make_lora(micro_base, tmp_path / "run", text=False))
    save_file(made.weights, tmp_path / "bare.safetensors")
    weights = load_file(write_kohya(read_lora(tmp_path / "bare.safetensors"), tmp_path / "k.safetensors", {}))
    assert {value.item() for key, value in weights.items() if key.endswith(".alpha")} == {2.0}


def test_files_that_are_no_lora_are_refused(micro_base: BaseModel, tmp_path: Path) -> None:
    file = make_lora(micro_base, tmp_path / "run")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(file.read_bytes()[:-100])
    other = tmp_path / "other.safetensors"
    save_file({"unet.conv_in.weight": torch.zeros(2)}, other)
    kohya = write_kohya(read_lora(file), tmp_path / "kohya.safetensors", {})
    for broken in (cut, other, kohya):
        with pytest.raises(ValueError, match=rf"adapter\.path=.*{broken.name}") as caught:
            read_lora(broken)
        assert "\n" not in str(caught.value)
