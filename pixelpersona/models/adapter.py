"""LoRA adapters: PEFT makes them, diffusers' own functions write and read them."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from diffusers.training_utils import _collate_lora_metadata, cast_training_params
from diffusers.utils.peft_utils import recurse_remove_peft_layers
from peft import LoraConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import get_peft_model_state_dict
from torch import nn
from transformers import CLIPTextModel

from pixelpersona.models.base import BaseModel

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
TEXT_ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")
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
    return _add(unet, targets, rank, alpha, dropout, seed)


def add_text_lora(
    text_encoder: CLIPTextModel, *, rank: int, alpha: float, dropout: float = 0.0, seed: int = 0
) -> int:
    """The same for the text encoder's attention: the prompt comes to mean the style."""
    return _add(text_encoder, TEXT_ATTENTION, rank, alpha, dropout, seed)


def _add(
    model: UNet2DConditionModel | CLIPTextModel,
    targets: Sequence[str],
    rank: int,
    alpha: float,
    dropout: float,
    seed: int,
) -> int:
    model.requires_grad_(False)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules=list(targets),
        lora_dropout=dropout,
        init_lora_weights="gaussian",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.add_adapter(config)
    cast_training_params(model, dtype=torch.float32)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@contextmanager
def without_adapters(*models: UNet2DConditionModel | CLIPTextModel) -> Iterator[None]:
    """While it is open, models that carry a LoRA compute as before they had one; afterwards they train on."""
    try:
        for model in models:
            model.disable_adapters()
        yield
    finally:
        # Twice: a signal may raise in the middle of the first pass, and weights left disabled would be
        # missing in the checkpoint that is saved then.
        try:
            _enable(models)
        finally:
            _enable(models)


def _enable(models: Sequence[UNet2DConditionModel | CLIPTextModel]) -> None:
    for model in models:
        model.enable_adapters()


def save_lora(unet: UNet2DConditionModel, folder: Path, *, text_encoder: CLIPTextModel | None = None) -> Path:
    """Write folder/pytorch_lora_weights.safetensors as diffusers does, alpha in its metadata.

    text_encoder: given when it carries a LoRA too, which goes into the same file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    models = {"unet": unet} | ({} if text_encoder is None else {"text_encoder": text_encoder})
    metadata = _collate_lora_metadata(models)
    for told in metadata.values():
        told["base_model_name_or_path"] = None  # of the text encoder PEFT says the folder it came from
    StableDiffusionPipeline.save_lora_weights(
        save_directory=str(folder),
        # PEFT's own key names: diffusers' older ones exist for attention alone, and of a file that mixes
        # both it silently loads one half.
        unet_lora_layers=_state_dict(unet),
        text_encoder_lora_layers=None if text_encoder is None else _state_dict(text_encoder),
        safe_serialization=True,
        **metadata,
    )
    file = folder / ADAPTER_FILE
    file.chmod(0o644)  # safetensors writes 0600
    return file


def _state_dict(model: nn.Module) -> dict[str, torch.Tensor]:
    # "auto" would ask the hub for the base's configuration, to see whether the vocabulary grew.
    state: dict[str, torch.Tensor] = get_peft_model_state_dict(model, save_embedding_layers=False)
    return state


def load_lora(base: BaseModel, path: Path) -> None:
    """Put a LoRA file, or a folder holding one, onto a base that has none, in place: all of it.

    Raises ValueError naming the path when it is missing or is no LoRA of this base.
    """
    file = path / ADAPTER_FILE if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"lora.path={path}: no such LoRA (a {ADAPTER_FILE} or a folder with one)")
    try:
        weights, alphas, metadata = StableDiffusionPipeline.lora_state_dict(
            str(file.parent),
            weight_name=file.name,
            return_lora_metadata=True,
            unet_config=base.unet.config,
            local_files_only=True,
        )
        StableDiffusionPipeline.load_lora_into_unet(
            weights, network_alphas=alphas, unet=base.unet, adapter_name="default", metadata=metadata
        )
        if any(key.startswith("text_encoder.") for key in weights):
            StableDiffusionPipeline.load_lora_into_text_encoder(
                weights,
                network_alphas=alphas,
                text_encoder=base.text_encoder,
                adapter_name="default",
                metadata=metadata,
            )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ValueError(
            f"lora.path={path}: not a LoRA of this base ({str(error).splitlines()[0]})"
        ) from error
    base.unet.requires_grad_(False)
    base.text_encoder.requires_grad_(False)


def merge_lora(base: BaseModel, path: Path) -> tuple[BaseModel, int]:
    """The base with a LoRA file added into copies of its weights, and the LoRA's number of parameters.

    Draws what the base with `load_lora` draws, up to rounding, in a quarter less time on a CPU: no small
    matrices beside every layer. Raises ValueError as `load_lora` does.
    """
    merged = replace(base, unet=copy.deepcopy(base.unet), text_encoder=copy.deepcopy(base.text_encoder))
    load_lora(merged, path)
    num_parameters = count_parameters(merged.unet, merged.text_encoder)
    for model in (merged.unet, merged.text_encoder):
        for layer in model.modules():
            if isinstance(layer, BaseTunerLayer):
                layer.merge()
        recurse_remove_peft_layers(model)
        # As diffusers' own unloading does: transformers would save a model with an adapter it no longer has.
        if hasattr(model, "peft_config"):
            del model.peft_config
        model._hf_peft_config_loaded = False
    return merged, num_parameters


def count_parameters(*models: nn.Module) -> int:
    """Parameters of the adapters alone."""
    return sum(p.numel() for model in models for name, p in model.named_parameters() if "lora_" in name)
