"""LoRA adapters: made by PEFT, written and read by diffusers."""

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

from pixelpersona.assets.locate import path as asset
from pixelpersona.models.base import BaseModel

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
TEXT_ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")
ADAPTER_FILE = "pytorch_lora_weights.safetensors"


def add_lora(
    model: UNet2DConditionModel | CLIPTextModel,
    *,
    rank: int,
    alpha: float,
    targets: Sequence[str] = ATTENTION,
    dropout: float = 0.0,
    seed: int = 0,
) -> int:
    """Add a LoRA (Hu et al. 2021, arXiv:2106.09685) to a model, in place; it starts as the identity.

    targets: ends of module names. The default is every attention projection of the UNet, 797,184 parameters
    at rank 4 on SD 1.5; with TEXT_ATTENTION on the text encoder, the prompt learns to mean the style.
    The base stays frozen in its own dtype, the adapter trains in float32.
    Returns the number of trainable parameters. Raises ValueError when rank < 1 or a target matches nothing.
    """
    if rank < 1:
        raise ValueError(f"lora.rank={rank}: accepted 1 or more")
    names = [name for name, _ in model.named_modules()]
    unmatched = [t for t in targets if not any(name == t or name.endswith(f".{t}") for name in names)]
    if unmatched:
        raise ValueError(f"lora.targets: no module of the UNet is called {', '.join(unmatched)}")
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
    """Disable the models' LoRAs inside the context; afterwards they are active and trainable as before."""

    def enable() -> None:
        for model in models:
            model.enable_adapters()

    try:
        for model in models:
            model.disable_adapters()
        yield
    finally:
        # Twice: a signal handler may raise during the first pass, and the weights of adapters left disabled
        # would be missing in the checkpoint that is saved then.
        try:
            enable()
        finally:
            enable()


def save_lora(unet: UNet2DConditionModel, folder: Path, *, text_encoder: CLIPTextModel | None = None) -> Path:
    """Write folder/pytorch_lora_weights.safetensors as diffusers does, alpha in its metadata.

    text_encoder: given when it carries a LoRA as well, which goes into the same file. Returns the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    models = {"unet": unet} | ({} if text_encoder is None else {"text_encoder": text_encoder})
    metadata = _collate_lora_metadata(models)
    for settings in metadata.values():
        settings["base_model_name_or_path"] = None  # PEFT records the text encoder's folder on this machine
    StableDiffusionPipeline.save_lora_weights(
        save_directory=str(folder),
        # Under PEFT's key names: diffusers' older ones exist for attention only, and from a file that mixes
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
    # The default, "auto", asks the hub for the base's configuration to see whether the vocabulary grew.
    state: dict[str, torch.Tensor] = get_peft_model_state_dict(model, save_embedding_layers=False)
    return state


def lora_file(path: Path) -> Path:
    """The LoRA file at a path: the file itself, or pytorch_lora_weights.safetensors in that folder.

    Raises ValueError naming adapter.path when there is none.
    """
    file = path / ADAPTER_FILE if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"adapter.path={path}: no such LoRA (a {ADAPTER_FILE} or a folder with one)")
    return file


def adapter_file(path: Path | None, *, base_name: str, base_path: str | None) -> Path | None:
    """The LoRA file that a command loads onto a base; None for the base alone.

    path: a file or the folder that holds it; None for the packaged LoRA when the base is the packaged one
    (base_name "tiny", base_path None), for no LoRA otherwise. Raises ValueError as `lora_file` does.
    """
    if path is None and base_name == "tiny" and base_path is None:
        path = asset("lora")
    return None if path is None else lora_file(path)


def load_lora(base: BaseModel, path: Path) -> None:
    """Put all of a LoRA, from a file or the folder that holds it, onto a base that has none, in place.

    Raises ValueError naming adapter.path when it is missing or does not fit this base.
    """
    file = lora_file(path)
    try:
        weights, alphas, metadata = StableDiffusionPipeline.lora_state_dict(
            str(file.parent),
            weight_name=file.name,
            return_lora_metadata=True,
            unet_config=base.unet.config,
            local_files_only=True,
        )
        options = {"network_alphas": alphas, "adapter_name": "default", "metadata": metadata}
        StableDiffusionPipeline.load_lora_into_unet(weights, unet=base.unet, **options)
        if any(key.startswith("text_encoder.") for key in weights):
            StableDiffusionPipeline.load_lora_into_text_encoder(
                weights, text_encoder=base.text_encoder, **options
            )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"adapter.path={path}: not a LoRA of this base ({reason})") from error
    base.unet.requires_grad_(False)
    base.text_encoder.requires_grad_(False)


def merge_lora(base: BaseModel, path: Path) -> tuple[BaseModel, int]:
    """A copy of the base with a LoRA merged into its weights, and the LoRA's number of parameters.

    It draws what the base with `load_lora` draws, up to rounding, in a quarter less time on a CPU: there are
    no small matrix products beside every layer. Raises ValueError as `load_lora` does.
    """
    merged = replace(base, unet=copy.deepcopy(base.unet), text_encoder=copy.deepcopy(base.text_encoder))
    load_lora(merged, path)
    num_parameters = count_parameters(merged.unet, merged.text_encoder)
    for model in (merged.unet, merged.text_encoder):
        for layer in model.modules():
            if isinstance(layer, BaseTunerLayer):
                layer.merge()
        recurse_remove_peft_layers(model)
        # As diffusers' own unloading does: otherwise transformers saves the removed adapter's settings.
        if hasattr(model, "peft_config"):
            del model.peft_config
        model._hf_peft_config_loaded = False
    return merged, num_parameters


def count_parameters(*models: nn.Module) -> int:
    """Number of parameters of the LoRAs that the models carry."""
    return sum(p.numel() for model in models for name, p in model.named_parameters() if "lora_" in name)
