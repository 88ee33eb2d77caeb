"""Bases: loading, sizes, digests, folders that plain diffusers runs, and errors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline
from PIL import Image

from pixelpersona.models.base import BaseModel, load_base, save_base, weights_sha256


def test_sizes_are_read_from_the_weights(micro_base: BaseModel) -> None:
    assert (micro_base.image_size, micro_base.cell) == (32, 4)
    assert not any(p.requires_grad for p in micro_base.unet.parameters())


def test_the_packaged_base_is_loaded_for_tiny_alone() -> None:
    base = load_base(None, name="tiny", image_size=128, cell=4, device="cpu")
    assert (base.image_size, base.cell, base.device) == (128, 4, torch.device("cpu"))
    with pytest.raises(ValueError, match=r"model\.path: model=sd15 needs a hub id or a folder, model\.path="):
        load_base(None, name="sd15")


@pytest.mark.parametrize(("image_size", "cell"), [(64, 4), (32, 8), (64, None)])
def test_other_sizes_than_configured_are_refused(
    micro_base_folder: Path, image_size: int, cell: int | None
) -> None:
    message = rf"model\.image_size={image_size}, model\.cell={cell}: the base at .* has 32 and 4"
    with pytest.raises(ValueError, match=message):
        load_base(micro_base_folder, name="x", image_size=image_size, cell=cell)
    load_base(micro_base_folder, name="x", image_size=32, cell=4)


def test_the_digest_depends_on_the_weights(micro_base_folder: Path) -> None:
    first = load_base(micro_base_folder, name="one", device="cpu")
    second = load_base(micro_base_folder, name="two", device="cpu")
    assert first.sha256 == second.sha256
    with torch.no_grad():
        second.vae.quant_conv.bias[0] += 1e-3
    assert weights_sha256(first.vae) != weights_sha256(second.vae)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_plain_diffusers_loads_and_runs_the_folder(
    micro_base: BaseModel, tmp_path: Path, dtype: torch.dtype
) -> None:
    save_base(micro_base, tmp_path / "base", dtype=dtype)
    pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(tmp_path / "base")
    pipeline.set_progress_bar_config(disable=True)
    photo = Image.fromarray(np.full((32, 32, 3), 128, np.uint8))
    picture = pipeline("pixel art portrait", image=photo, strength=0.5, num_inference_steps=4).images[0]
    assert picture.size == (32, 32)


@pytest.mark.parametrize("path", ["/no/such/folder", "relative", "./a/b"])
def test_a_path_that_is_neither_folder_nor_hub_id_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="no such folder"):
        load_base(path, name="x")


def test_a_missing_part_is_named(micro_base: BaseModel, tmp_path: Path) -> None:
    save_base(micro_base, tmp_path / "base")
    (tmp_path / "base" / "vae").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="no vae folder"):
        load_base(tmp_path / "base", name="x")
