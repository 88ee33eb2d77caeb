"""A LoRA in the formats others read: diffusers' own file, kohya's for A1111 and ComfyUI, a merged pipeline.

diffusers' and PEFT's functions convert; what is ours is what those leave out, with a comment at each place.
"""

import shutil
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

from pixelpersona.models.adapter import ADAPTER_FILE, merge_lora
from pixelpersona.models.base import BaseModel, save_base

_PARTS = ("unet", "text_encoder")


@dataclass(frozen=True, slots=True)
class LoraFile:
    """weights: PEFT's key names below `unet.` or `text_encoder.`. settings: part → its LoraConfig as stored.

    settings is empty for files without metadata: alpha is the rank then, as diffusers has it.
    """

    file: Path
    weights: dict[str, Tensor]
    settings: dict[str, dict[str, Any]]


def lora_file(path: Path) -> Path:
    """The LoRA file at a path: itself, or the one in a run folder. Raises ValueError when there is none."""
    file = path / ADAPTER_FILE if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"lora.path={path}: no such LoRA (a {ADAPTER_FILE} or a folder with one)")
    return file


def read_lora(file: Path) -> LoraFile:
    """Read a file in diffusers' format, without a base.

    Raises ValueError naming the file when it is damaged, no LoRA, or in another format.
    """
    try:
        weights, alphas, metadata = StableDiffusionPipeline.lora_state_dict(
            str(file.parent), weight_name=file.name, return_lora_metadata=True, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ValueError(f"lora.path={file}: not a LoRA ({str(error).splitlines()[0]})") from error
    # kohya's files come out under diffusers' older names, their alphas apart: not to be taken for ours.
    if alphas or not weights or not all(".lora_" in k and k.partition(".")[0] in _PARTS for k in weights):
        raise ValueError(f"lora.path={file}: accepted a LoRA in diffusers' format, as training writes it")
    settings: dict[str, dict[str, Any]] = {}
    for key, value in (metadata or {}).items():
        part, _, name = key.partition(".")
        settings.setdefault(part, {})[name] = value
    return LoraFile(file, weights, settings)


def write_diffusers(lora: LoraFile, folder: Path) -> Path:
    """folder/pytorch_lora_weights.safetensors, byte for byte the file itself: its sha256 stays what was
    evaluated. `pipeline.load_lora_weights(folder)` loads it."""
    return Path(shutil.copyfile(lora.file, folder / ADAPTER_FILE))


def write_kohya(lora: LoraFile, file: Path) -> Path:
    """kohya's key names in one file, for A1111, ComfyUI and kohya's own scripts; diffusers loads it, too.

    Raises ValueError for a DoRA: diffusers' conversion does not name its magnitudes as kohya does.
    """
    if any("lora_magnitude_vector" in key for key in lora.weights):
        raise ValueError("format=kohya: accepted plain LoRAs; a DoRA travels with format=diffusers or merged")
    made: dict[str, Tensor] = {}
    for key, weight in lora.weights.items():
        part, _, name = key.partition(".")
        if part == "text_encoder" and not name.startswith("text_model."):
            # transformers 5 left this level out; every kohya file has it.
            key = f"{part}.text_model.{name}"
        for new, value in convert_state_dict_to_kohya({key: weight}, StateDictType.PEFT).items():
            # diffusers says alpha = rank whatever it was.
            kept = _alpha(lora.settings.get(part), name, len(weight)) if new.endswith(".alpha") else value
            # te1 is kohya's name in SDXL, which has two text encoders; te that of one.
            made[new.replace("lora_te1_", "lora_te_", 1)] = kept.contiguous()
    save_file(made, file, metadata=_kohya_metadata(lora))
    file.chmod(0o644)  # safetensors writes 0600
    return file


def write_merged(lora: LoraFile, base: BaseModel, folder: Path, *, dtype: torch.dtype) -> Path:
    """A whole pipeline in diffusers' layout with the LoRA added into its weights, stored in `dtype`.

    Raises ValueError when it is no LoRA of this base.
    """
    save_base(merge_lora(base, lora.file)[0], folder, dtype=dtype)
    return folder


def _alpha(settings: Mapping[str, Any] | None, name: str, rank: int) -> Tensor:
    """Scale times rank of one module, with which kohya's reader scales as PEFT did."""
    if settings is None:
        return torch.tensor(float(rank))
    patterns = settings.get("alpha_pattern") or {}
    module = name.partition(".lora_")[0]
    alpha = float(patterns.get(get_pattern_key(patterns.keys(), module), settings["lora_alpha"]))
    # Rank-stabilised LoRA divides by the root of the rank; kohya's reader divides by the rank.
    return torch.tensor(alpha * rank**0.5 if settings.get("use_rslora") else alpha)


def _kohya_metadata(lora: LoraFile) -> dict[str, str]:
    """What readers show: the kind of network, rank and alpha. No names of folders."""
    told = {"format": "pt", "ss_network_module": "networks.lora"}
    if settings := lora.settings.get("unet"):
        told |= {"ss_network_dim": str(settings["r"]), "ss_network_alpha": str(settings["lora_alpha"])}
    return told
