"""Fixtures and settings shared by all tests."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from pixelpersona.models.base import BaseModel

# Before any library reads them: nothing is downloaded or uploaded, and one thread per library keeps the
# numbers the same on every machine.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")
os.environ.setdefault("MPLBACKEND", "Agg")
for _name in ("HYDRA_FULL_ERROR", "WANDB_API_KEY"):
    os.environ.pop(_name, None)

# The same examples every time, and no opinion about the speed of the machine.
settings.register_profile(
    "project", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("project")


@pytest.fixture(scope="session", autouse=True)
def _wandb_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """W&B copies artifacts into its own folder until they are uploaded: not into the user's, from tests."""
    os.environ["WANDB_DATA_DIR"] = str(tmp_path_factory.mktemp("wandb-data"))


@pytest.fixture(scope="session")
def micro_base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion of 32x32 pictures and 8x8 latents with random weights, in diffusers' layout."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from pixelpersona.models.base import BaseModel, save_base
    from pixelpersona.models.tokenizer import train_tokenizer

    folder = tmp_path_factory.mktemp("micro")
    captions = ["pixel art portrait, 16-color style", "a photo of a 26 year old woman"]
    tokenizer = train_tokenizer(captions, folder / "tokens", vocab_size=600)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        text = CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=24,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.eos_token_id,
        )
        base = BaseModel(
            tokenizer=tokenizer,
            text_encoder=CLIPTextModel(text),
            vae=AutoencoderKL(
                block_out_channels=(8, 8, 16),
                layers_per_block=1,
                norm_num_groups=4,
                sample_size=32,
                down_block_types=("DownEncoderBlock2D",) * 3,
                up_block_types=("UpDecoderBlock2D",) * 3,
                scaling_factor=0.5,
            ),
            unet=UNet2DConditionModel(
                sample_size=8,
                layers_per_block=1,
                block_out_channels=(16, 32),
                norm_num_groups=4,
                down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
                up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
                cross_attention_dim=16,
                attention_head_dim=(2, 2),
            ),
            noise_schedule=DDIMScheduler(
                beta_start=0.00085,
                beta_end=0.012,
                beta_schedule="scaled_linear",
                clip_sample=False,
                set_alpha_to_one=False,
                steps_offset=1,
            ),
            name="micro",
            sha256="",
        )
    save_base(base, folder / "base", dtype=torch.float32)
    return folder / "base"


@pytest.fixture
def micro_base(micro_base_folder: Path) -> "BaseModel":
    """The same, loaded anew for every test, so that a test may train it."""
    from pixelpersona.models.base import load_base

    return load_base(micro_base_folder, name="micro")
