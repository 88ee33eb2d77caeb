"""LoRA files: diffusers' format, and the conversion to kohya's for A1111 and ComfyUI.

diffusers and PEFT do the conversion; the code here adds what they omit, with a comment at each place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils.state_dict_utils import StateDictType, convert_state_dict_to_kohya
from peft.utils.other import get_pattern_key
from safetensors.torch import save_file
from torch import Tensor

from pixelpersona.models.base import quiet_libraries

_PARTS = ("unet", "text_encoder")


@dataclass(frozen=True, slots=True)
class LoraFile:
    """A LoRA read from a file in diffusers' format.

    weights: tensors under PEFT's key names, prefixed by `unet.` or `text_encoder.`.
    settings: the LoraConfig stored for each of these parts; empty for a file without metadata, whose alpha is
    then the rank, as in diffusers.
    """

    file: Path
    weights: dict[str, Tensor]
    settings: dict[str, dict[str, Any]]


def read_lora(file: Path) -> LoraFile:
    """Read a LoRA in diffusers' format; needs no base.

    Raises ValueError naming adapter.path when the file is damaged, no LoRA, or in another format.
    """
    quiet_libraries()
    try:
        weights, alphas, metadata = StableDiffusionPipeline.lora_state_dict(
            str(file.parent), weight_name=file.name, return_lora_metadata=True, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ValueError(f"adapter.path={file}: not a LoRA ({str(error).splitlines()[0]})") from error
    # Reading a kohya file gives diffusers' older key names and separate alphas: refuse it.
    if alphas or not weights or not all(".lora_" in k and k.partition(".")[0] in _PARTS for k in weights):
        raise ValueError(f"adapter.path={file}: accepted a LoRA in diffusers' format, as training writes it")
    settings: dict[str, dict[str, Any]] = {}
    for key, value in (metadata or {}).items():
        part, _, name = key.partition(".")
        settings.setdefault(part, {})[name] = value
    return LoraFile(file, weights, settings)


def write_kohya(lora: LoraFile, file: Path) -> Path:
    """Write a file with kohya's key names, for A1111, ComfyUI, kohya's own scripts and diffusers.

    Raises ValueError for a DoRA: diffusers' conversion does not name its magnitudes as kohya does.
    """
    if any("lora_magnitude_vector" in key for key in lora.weights):
        raise ValueError("format=kohya: accepted plain LoRAs; export a DoRA with format=diffusers or merged")
    converted: dict[str, Tensor] = {}
    for key, weight in lora.weights.items():
        part, _, name = key.partition(".")
        if part == "text_encoder" and not name.startswith("text_model."):
            # transformers 5 dropped this level of the module names; every kohya file has it.
            key = f"{part}.text_model.{name}"
        for new, value in convert_state_dict_to_kohya({key: weight}, StateDictType.PEFT).items():
            if new.endswith(".alpha"):  # diffusers writes the rank, whatever alpha was
                value = _alpha(lora.settings.get(part), name, len(weight))
            # kohya says te for a single text encoder; te1 is for SDXL, which has two.
            converted[new.replace("lora_te1_", "lora_te_", 1)] = value.contiguous()
    save_file(converted, file, metadata=_kohya_metadata(lora))
    file.chmod(0o644)  # safetensors writes 0600
    return file


def _alpha(settings: Mapping[str, Any] | None, name: str, rank: int) -> Tensor:
    """The alpha of one module with which kohya's reader, which scales by alpha / rank, scales as PEFT did."""
    if settings is None:
        return torch.tensor(float(rank))
    patterns = settings.get("alpha_pattern") or {}
    module = name.partition(".lora_")[0]
    alpha = float(patterns.get(get_pattern_key(patterns.keys(), module), settings["lora_alpha"]))
    # Rank-stabilised LoRA (Kalajdzievski 2023, arXiv:2312.03732) divides alpha by the root of the rank.
    return torch.tensor(alpha * rank**0.5 if settings.get("use_rslora") else alpha)


def _kohya_metadata(lora: LoraFile) -> dict[str, str]:
    """What readers display: kind of network, rank and alpha."""
    metadata = {"format": "pt", "ss_network_module": "networks.lora"}
    if settings := lora.settings.get("unet"):
        metadata |= {"ss_network_dim": str(settings["r"]), "ss_network_alpha": str(settings["lora_alpha"])}
    return metadata
