"""LoRA adapters: PEFT makes them, diffusers' own functions write and read them."""

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from diffusers.training_utils import _collate_lora_metadata, cast_training_params
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
ADAPTER_FILE = "pytorch_lora_weights.safetensors"


def add_lora(
    unet: UNet2DConditionModel,
    *,
    rank: int,
    alpha: float,
    targets: Sequence[str] = ATTENTION,
    dropout: float = 0.0,
    seed: int = 0,
) -> int:
    """Add a LoRA (Hu et al. 2021, arXiv:2106.09685) to the UNet, in place; it starts as the identity.

    targets: ends of module names; the default is every attention projection, 797,184 parameters at
    rank 4 on SD 1.5. The base stays frozen in its own dtype, the adapter trains in float32.
    Returns the number of trainable parameters. Raises ValueError when rank < 1 or nothing matches.
    """
    if rank < 1:
        raise ValueError(f"lora.rank={rank}: accepted 1 or more")
    unmatched = [
        t for t in targets if not any(n == t or n.endswith(f".{t}") for n, _ in unet.named_modules())
    ]
    if unmatched:
        raise ValueError(f"lora.targets: no module of the UNet is called {', '.join(unmatched)}")
    unet.requires_grad_(False)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules=list(targets),
        lora_dropout=dropout,
        init_lora_weights="gaussian",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet.add_adapter(config)
    cast_training_params(unet, dtype=torch.float32)
    return sum(p.numel() for p in unet.parameters() if p.requires_grad)


def save_lora(unet: UNet2DConditionModel, folder: Path) -> Path:
    """Write folder/pytorch_lora_weights.safetensors as diffusers does, alpha in its metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    StableDiffusionPipeline.save_lora_weights(
        save_directory=str(folder),
        # PEFT's own key names: diffusers' older ones exist for attention alone, and of a file that mixes
        # both it silently loads one half.
        unet_lora_layers=get_peft_model_state_dict(unet),
        safe_serialization=True,
        **_collate_lora_metadata({"unet": unet}),
    )
    file = folder / ADAPTER_FILE
    file.chmod(0o644)  # safetensors writes 0600
    return file


def load_lora(unet: UNet2DConditionModel, path: Path) -> None:
    """Put a LoRA file, or a folder holding one, onto a UNet that has none, in place.

    Raises ValueError naming the path when it is missing or is no LoRA of this UNet.
    """
    file = path / ADAPTER_FILE if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"lora.path={path}: no such LoRA (a {ADAPTER_FILE} or a folder with one)")
    try:
        weights, alphas, metadata = StableDiffusionPipeline.lora_state_dict(
            str(file.parent),
            weight_name=file.name,
            return_lora_metadata=True,
            unet_config=unet.config,
            local_files_only=True,
        )
        StableDiffusionPipeline.load_lora_into_unet(
            weights, network_alphas=alphas, unet=unet, adapter_name="default", metadata=metadata
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ValueError(
            f"lora.path={path}: not a LoRA of this base ({str(error).splitlines()[0]})"
        ) from error
    unet.requires_grad_(False)


def merge_lora(unet: UNet2DConditionModel, path: Path) -> tuple[UNet2DConditionModel, int]:
    """A copy of the UNet with a LoRA file added into its weights, and the LoRA's number of parameters.

    Draws what the UNet with `load_lora` draws, up to rounding, in a quarter less time on a CPU: no small
    matrices beside every layer. Raises ValueError as `load_lora` does.
    """
    merged = copy.deepcopy(unet)
    load_lora(merged, path)
    num_parameters = count_parameters(merged)
    merged.fuse_lora()
    merged.unload_lora()
    return merged, num_parameters


def count_parameters(unet: UNet2DConditionModel) -> int:
    """Parameters of the adapter alone."""
    return sum(p.numel() for name, p in unet.named_parameters() if "lora_" in name)
