"""LoRA: parameter counts on Stable Diffusion 1.5, identity at the start, files that plain diffusers reads."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline, UNet2DConditionModel
from PIL import Image
from torch import nn

from pixelpersona.assets.locate import path as asset
from pixelpersona.models.adapter import (
    ADAPTER_FILE,
    ATTENTION,
    TEXT_ATTENTION,
    adapter_file,
    add_lora,
    count_parameters,
    load_lora,
    merge_lora,
    save_lora,
    without_adapters,
)
from pixelpersona.models.base import BaseModel, load_base
from pixelpersona.models.codec import tokenize

MORE_LAYERS = ("to_q", "ff.net.2", "proj_in", "conv1", "conv_in", "conv")
SD15_UNET = dict(
    sample_size=64,
    cross_attention_dim=768,
    attention_head_dim=8,
    layers_per_block=2,
    block_out_channels=(320, 640, 1280, 1280),
)


@pytest.mark.parametrize(("rank", "expected"), [(4, 797_184), (8, 1_594_368)])
def test_parameter_counts_on_stable_diffusion_1_5(rank: int, expected: int) -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**SD15_UNET)
        assert sum(p.numel() for p in unet.parameters()) == 859_520_964
        assert add_lora(unet, rank=rank, alpha=rank) == expected
    assert sum(name.endswith("lora_A.default.weight") for name, _ in unet.named_parameters()) == 128


def _randomise(unet: nn.Module) -> None:
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=rng) * 0.2)


def _predict(unet: UNet2DConditionModel) -> torch.Tensor:
    rng = torch.Generator().manual_seed(2)
    latents, text = torch.randn(1, 4, 8, 8, generator=rng), torch.randn(1, 24, 16, generator=rng)
    with torch.no_grad():
        prediction: torch.Tensor = unet(latents, torch.tensor([500]), text).sample
    return prediction


def test_lora_starts_as_the_identity(micro_base: BaseModel) -> None:
    untouched = _predict(micro_base.unet)
    assert add_lora(micro_base.unet, rank=2, alpha=2) == count_parameters(micro_base.unet) > 0
    assert torch.equal(_predict(micro_base.unet), untouched)
    _randomise(micro_base.unet)
    assert not torch.allclose(_predict(micro_base.unet), untouched, atol=1e-3)


def test_without_adapters_gives_the_base_and_restores_training(
    micro_base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    unet = micro_base.unet
    untouched = _predict(unet)
    add_lora(unet, rank=2, alpha=2)
    _randomise(unet)
    trained = _predict(unet)
    trainable = {name for name, p in unet.named_parameters() if p.requires_grad}

    def is_restored() -> bool:
        still = {name for name, p in unet.named_parameters() if p.requires_grad}
        return still == trainable and torch.equal(_predict(unet), trained)

    with without_adapters(unet):
        assert torch.equal(_predict(unet), untouched)
    assert is_restored()
    # A signal handler that raises while the adapters are being enabled.
    enable, calls = unet.enable_adapters, iter(range(2))
    monkeypatch.setattr(unet, "enable_adapters", lambda: enable() if next(calls) else 1 / 0)
    with pytest.raises(ZeroDivisionError), without_adapters(unet):
        pass
    assert is_restored()


def test_merging_gives_the_same_predictions_and_does_not_change_the_base(
    micro_base: BaseModel, micro_base_folder: Path, tmp_path: Path
) -> None:
    size = add_lora(micro_base.unet, rank=2, alpha=5.0, targets=MORE_LAYERS)
    _randomise(micro_base.unet)
    save_lora(micro_base.unet, tmp_path)
    plain = load_base(micro_base_folder, name="again", device="cpu")
    untouched = _predict(plain.unet)
    merged, num_parameters = merge_lora(plain, tmp_path)
    torch.testing.assert_close(_predict(merged.unet), _predict(micro_base.unet), atol=1e-5, rtol=1e-4)
    assert num_parameters == size
    assert count_parameters(merged.unet) == 0
    assert torch.equal(_predict(plain.unet), untouched)
    assert count_parameters(plain.unet) == 0


def test_text_encoder_lora_is_saved_in_the_same_file(
    micro_base: BaseModel, micro_base_folder: Path, tmp_path: Path
) -> None:
    """Our loading, plain diffusers and merging give the same text states."""
    size = add_lora(micro_base.unet, rank=2, alpha=2)
    size += add_lora(micro_base.text_encoder, rank=2, alpha=5.0, targets=TEXT_ATTENTION)
    for model in (micro_base.unet, micro_base.text_encoder):
        _randomise(model)
    save_lora(micro_base.unet, tmp_path, text_encoder=micro_base.text_encoder)
    tokens = tokenize(micro_base, ["pixel art portrait"])

    def states(text_encoder: nn.Module) -> torch.Tensor:
        with torch.no_grad():
            found: torch.Tensor = text_encoder(tokens).last_hidden_state
        return found

    plain = load_base(micro_base_folder, name="again", device="cpu")
    untouched, trained = states(plain.text_encoder), states(micro_base.text_encoder)
    assert not torch.allclose(untouched, trained, atol=1e-2)
    merged, num_parameters = merge_lora(plain, tmp_path)
    assert num_parameters == size
    torch.testing.assert_close(states(merged.text_encoder), trained, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(_predict(merged.unet), _predict(micro_base.unet), atol=1e-5, rtol=1e-4)
    assert torch.equal(states(plain.text_encoder), untouched)
    load_lora(plain, tmp_path)
    torch.testing.assert_close(states(plain.text_encoder), trained)
    pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(micro_base_folder)
    pipeline.load_lora_weights(tmp_path)
    torch.testing.assert_close(states(pipeline.text_encoder), trained)


@pytest.mark.parametrize(("alpha", "targets"), [(2.0, ATTENTION), (5.0, ATTENTION), (2.0, MORE_LAYERS)])
def test_plain_diffusers_draws_the_same_picture(
    micro_base: BaseModel, micro_base_folder: Path, tmp_path: Path, alpha: float, targets: Sequence[str]
) -> None:
    add_lora(micro_base.unet, rank=2, alpha=alpha, targets=targets)
    _randomise(micro_base.unet)
    save_lora(micro_base.unet, tmp_path)
    ours = load_base(micro_base_folder, name="again", device="cpu")
    load_lora(ours, tmp_path)
    torch.testing.assert_close(_predict(ours.unet), _predict(micro_base.unet))

    plain = StableDiffusionImg2ImgPipeline.from_pretrained(micro_base_folder)
    plain.set_progress_bar_config(disable=True)
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))

    def draw() -> np.ndarray:
        rng = torch.Generator().manual_seed(3)
        images = plain("pixel art", image=photo, strength=0.5, num_inference_steps=4, generator=rng).images
        return np.asarray(images[0]).astype(int)

    without = draw()
    plain.load_lora_weights(tmp_path)
    with_lora = draw()
    assert np.abs(with_lora - without).max() > 3
    plain.unload_lora_weights()
    plain.unet = ours.unet
    assert np.abs(draw() - with_lora).max() <= 1


def test_adapter_file_is_the_packaged_lora_for_the_packaged_base_only(tmp_path: Path) -> None:
    packaged = asset("lora") / ADAPTER_FILE
    assert adapter_file(None, base_name="tiny", base_path=None) == packaged
    assert adapter_file(None, base_name="tiny", base_path="elsewhere") is None
    assert adapter_file(None, base_name="sd15", base_path=None) is None
    for path in (packaged, packaged.parent):
        assert adapter_file(path, base_name="sd15", base_path="elsewhere") == packaged
    for missing in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match=r"adapter\.path=.*: no such LoRA"):
            adapter_file(missing, base_name="tiny", base_path=None)


def test_errors_name_the_key(micro_base: BaseModel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lora\.rank=0"):
        add_lora(micro_base.unet, rank=0, alpha=1)
    with pytest.raises(ValueError, match=r"lora\.targets: .* to_nowhere"):
        add_lora(micro_base.unet, rank=2, alpha=2, targets=["to_q", "to_nowhere"])
    with pytest.raises(ValueError, match=r"adapter\.path=.*missing: no such LoRA"):
        load_lora(micro_base, tmp_path / "missing")
    (tmp_path / "pytorch_lora_weights.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(ValueError, match=r"adapter\.path=.*: not a LoRA \("):
        load_lora(micro_base, tmp_path)
