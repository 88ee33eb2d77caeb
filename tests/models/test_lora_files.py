"""LoRA files of other programs draw the same picture from every path; equal LoRAs have equal bytes."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from pixelpersona.inference.sampler import Sampler
from pixelpersona.inference.stylizer import Stylizer
from pixelpersona.models.adapter import TEXT_ATTENTION, add_lora, load_lora, merge_lora, save_lora
from pixelpersona.models.base import BaseModel, load_base, save_base
from pixelpersona.models.formats import read_lora, write_kohya
from tests.models.lora_pairs import (
    METADATA,
    Pair,
    by_hand,
    in_fp16,
    make_pairs,
    peft_weights,
    with_kohya_names,
    with_metadata,
    with_older_names,
    without_metadata,
)

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))


def drawn(base: BaseModel) -> np.ndarray:
    sampler = Sampler(kind="dpm", num_steps=4, strength=0.5, guidance=1.0)
    portrait = Stylizer(base, sampler=sampler, prompt="pixel art portrait").portraits([PHOTO], [7])[0]
    return np.asarray(portrait.image).astype(int)


@pytest.mark.parametrize(
    ("save", "ranks", "alphas"),
    [
        (without_metadata, (2, 8), ()),
        (with_metadata, (4,), (10.0,)),
        (with_metadata, (2, 8, 4), (1.0, 12.0)),
        (in_fp16, (2, 8), (5.0,)),
        (with_kohya_names, (4,), (10.0,)),
        (with_kohya_names, (2, 8), (1.0, 3.0, 12.0)),
        (with_older_names, (2, 8), ()),
    ],
)
def test_every_path_draws_the_same_picture(
    micro_base_folder: Path,
    tmp_path: Path,
    save: Callable[[list[Pair], Path], None],
    ranks: tuple[int, ...],
    alphas: tuple[float, ...],
) -> None:
    """Loaded, merged, merged and saved, exported with kohya's names: as weights + alpha / r * B A by hand."""

    def fresh() -> BaseModel:
        return load_base(micro_base_folder, name="micro", device="cpu")

    file, kohya = tmp_path / "lora.safetensors", tmp_path / "kohya.safetensors"
    pairs = make_pairs(fresh(), ranks=ranks, alphas=alphas)
    save(pairs, file)
    expected = drawn(by_hand(fresh(), pairs))
    assert np.abs(expected - drawn(fresh())).max() > 8
    loaded = fresh()
    load_lora(loaded, file)
    merged, num_parameters = merge_lora(fresh(), file)
    assert num_parameters == sum(pair.lora_a.numel() + pair.lora_b.numel() for pair in pairs)
    save_base(merged, tmp_path / "merged", dtype=torch.float32)
    write_kohya(read_lora(file, fresh()), kohya, {})
    paths = {
        "loaded": loaded,
        "merged": merged,
        "saved": load_base(tmp_path / "merged", name="merged", device="cpu"),
        "kohya": merge_lora(fresh(), kohya)[0],
    }
    for name, base in paths.items():
        assert np.abs(drawn(base) - expected).max() <= 1, name  # of 255, from rounding


@pytest.mark.parametrize("kohya", [False, True])
def test_a_scale_that_only_the_metadata_holds_is_used(
    micro_base_folder: Path, tmp_path: Path, kohya: bool
) -> None:
    """rsLoRA divides alpha by the root of the rank: here 4 instead of 2."""
    base, file = load_base(micro_base_folder, name="micro", device="cpu"), tmp_path / "lora.safetensors"
    pairs = make_pairs(base, ranks=(4,), alphas=(8.0,))
    settings = {"r": 4, "lora_alpha": 8.0, "use_rslora": True}
    stored = {f"{part}.{key}": settings[key] for part in ("unet", "text_encoder") for key in settings}
    save_file(peft_weights(pairs), file, metadata={METADATA: json.dumps(stored)})
    if kohya:
        file = write_kohya(read_lora(file), tmp_path / "kohya.safetensors", {})
    for pair in pairs:
        pair.alpha = 16.0
    expected = drawn(by_hand(load_base(micro_base_folder, name="micro", device="cpu"), pairs))
    assert np.abs(drawn(merge_lora(base, file)[0]) - expected).max() <= 1


def test_a_dora_is_loaded_and_merged_but_has_no_kohya_export(
    micro_base: BaseModel, micro_base_folder: Path, tmp_path: Path
) -> None:
    targets = ["to_q", "to_out.0", "conv_in"]
    config = LoraConfig(r=2, lora_alpha=5, target_modules=targets, init_lora_weights=False, use_dora=True)
    micro_base.unet.add_adapter(config)
    with torch.no_grad():
        for name, parameter in micro_base.unet.named_parameters():
            if "lora_magnitude_vector" in name:
                parameter.mul_(1.2)
    expected = drawn(micro_base)
    file = save_lora(micro_base.unet, tmp_path)
    loaded = load_base(micro_base_folder, name="micro", device="cpu")
    merged = merge_lora(loaded, file)[0]
    load_lora(loaded, file)
    for base in (loaded, merged):
        assert np.abs(drawn(base) - expected).max() <= 1
    with pytest.raises(ValueError, match="format=kohya: accepted plain LoRAs"):
        write_kohya(read_lora(file), tmp_path / "kohya.safetensors", {})


def test_equal_loras_have_equal_bytes(micro_base: BaseModel, micro_base_folder: Path, tmp_path: Path) -> None:
    """PEFT keeps targets in a set, whose order differs between processes."""
    files = []
    for number, base in enumerate((micro_base, load_base(micro_base_folder, name="again", device="cpu"))):
        targets = ["to_q", "to_k", "to_v", "to_out.0", "conv_in", "ff.net.2"]
        add_lora(base.unet, rank=2, alpha=2, targets=targets[:: 1 - 2 * number])
        add_lora(base.text_encoder, rank=2, alpha=2, targets=TEXT_ATTENTION[:: 1 - 2 * number])
        files.append(save_lora(base.unet, tmp_path / str(number), text_encoder=base.text_encoder))
    assert len({file.read_bytes() for file in files}) == 1
    with safe_open(files[0], "pt") as opened:
        stored = json.loads(opened.metadata()[METADATA])
    assert stored["unet.target_modules"] == sorted(targets)
    assert stored["text_encoder.target_modules"] == sorted(TEXT_ATTENTION)
