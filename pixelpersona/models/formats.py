"""LoRA files: reads and checks diffusers' and kohya's formats, and writes kohya's.

diffusers and PEFT do the conversions; the code here adds what they omit, with a comment at each place.
"""

import hashlib
import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY
from diffusers.utils.state_dict_utils import (
    DIFFUSERS_OLD_TO_PEFT,
    DIFFUSERS_TO_PEFT,
    UNET_TO_DIFFUSERS,
    StateDictType,
    convert_state_dict,
    convert_state_dict_to_kohya,
)
from peft import LoraConfig
from peft.utils.other import get_pattern_key
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save, save_file
from torch import Tensor

from pixelpersona.files import parse_json, write_whole
from pixelpersona.models.base import BaseModel, quiet_libraries

# The parts of a base that a LoRA may change; key names before PEFT's.
_OLDER_NAMES = {"unet": UNET_TO_DIFFUSERS, "text_encoder": DIFFUSERS_OLD_TO_PEFT | DIFFUSERS_TO_PEFT}
_KOHYA_PREFIXES = ("lora_unet_", "lora_te_", "lora_te1_")
_KOHYA_ENDS = {"lora_down.weight": "lora_A.weight", "lora_up.weight": "lora_B.weight", "alpha": "alpha"}
_PEFT_KEY = re.compile(
    r"(unet|text_encoder)\..+\.(lora_A\.weight|lora_B\.weight|lora_B\.bias|lora_magnitude_vector)"
)
_ACCEPTED = (
    "accepted pairs of lora_A.weight and lora_B.weight under unet. or text_encoder., "
    "or of lora_down.weight and lora_up.weight under lora_unet_ or lora_te_"
)
# Input and output widths of the layers of Stable Diffusion 1.x's UNet and text encoder.
_SD1_WIDTHS = {4, 320, 640, 768, 960, 1280, 1920, 2560, 3072, 5120, 10240}
# With these, training also changes the base's own weights, which the file does not contain.
_CHANGES_THE_BASE = ("pissa", "olora", "corda", "lora_ga")


@dataclass(frozen=True, slots=True)
class LoraFile:
    """A LoRA whose keys, shapes and values have been checked.

    weights: tensors under PEFT's key names, prefixed by `unet.` or `text_encoder.`: for each module lora_A
    [r, in] or [r, in, h, w] and lora_B [out, r] or [out, r, 1, 1].
    alphas: name of each module, with the same prefix → alpha; its B A is scaled by alpha / r.
    settings: the LoraConfig stored for each of these parts; empty for a file without metadata.
    """

    file: Path
    weights: dict[str, Tensor]
    alphas: dict[str, float]
    settings: dict[str, dict[str, Any]]


def read_lora(file: Path, base: BaseModel | None = None) -> LoraFile:
    """Read a LoRA in diffusers' format, present or older, or with kohya's key names.

    base: needed for kohya's key names, in which "_" may separate modules or be part of a module's name.
    Without metadata, alpha is the rank, as in diffusers. Raises ValueError naming adapter.path when the file
    is damaged or not a LoRA, when a key is unknown or one of a pair is missing, when a value is not finite,
    when a shape or the metadata is wrong, or when all lora_A or all lora_B are 0, so that it would change
    nothing.
    """
    quiet_libraries()
    try:
        found = load_file(file)
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
    except (OSError, SafetensorError, ValueError, RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"adapter.path={file}: not a LoRA ({reason})") from error
    try:
        is_kohya = any(key.startswith(_KOHYA_PREFIXES) for key in found)
        if not is_kohya:
            names = _diffusers_names(found)
        elif base is not None:
            names = _kohya_names(found, base)
        else:
            raise ValueError("has kohya's key names; accepted diffusers' format, as training writes it")
        _check_keys(found, names)
        named = {names[key]: value for key, value in found.items()}
        weights = {key: value for key, value in named.items() if not key.endswith(".alpha")}
        _check_shapes(weights)
        settings = {} if is_kohya else _settings(metadata)
        ranks = {_module(key): len(value) for key, value in weights.items() if key.endswith(".lora_A.weight")}
        alphas = {
            module: _alpha(settings, module, rank, stored=named.get(f"{module}.alpha"))
            for module, rank in ranks.items()
        }
    except ValueError as error:
        raise ValueError(f"adapter.path={file}: {error}") from error
    return LoraFile(file, weights, alphas, settings)


def _module(key: str) -> str:
    return key.removesuffix(".alpha").partition(".lora_")[0]


def _diffusers_names(keys: Collection[str]) -> dict[str, str]:
    """Key → PEFT's name for it. Keys of diffusers' older formats are translated, others stay as they are."""
    keys_of: dict[str, str] = {}  # PEFT's name → the first key that means it; a second one is unused
    for part, older in _OLDER_NAMES.items():
        own = {key.removeprefix(f"{part}."): key for key in keys if key.startswith(f"{part}.")}
        for name, key in convert_state_dict(own, older).items():
            # transformers 5 dropped this level of the text encoder's module names.
            keys_of.setdefault(f"{part}.{name.removeprefix('text_model.')}", key)
    return {key: name for name, key in keys_of.items() if _PEFT_KEY.fullmatch(name)}


def _kohya_names(keys: Collection[str], base: BaseModel) -> dict[str, str]:
    """Key → PEFT's name for it, where the base has that module. diffusers' own conversion loses alphas."""
    modules = {f"lora_unet_{name.replace('.', '_')}": f"unet.{name}" for name, _ in base.unet.named_modules()}
    for name, _ in base.text_encoder.named_modules():
        name = name.removeprefix("text_model.")
        for prefix in ("lora_te_text_model_", "lora_te1_text_model_"):
            modules[prefix + name.replace(".", "_")] = f"text_encoder.{name}"
    keys_of: dict[str, str] = {}
    for key in keys:
        module, _, end = key.partition(".")
        if module in modules and end in _KOHYA_ENDS:
            keys_of.setdefault(f"{modules[module]}.{_KOHYA_ENDS[end]}", key)
    return {key: name for name, key in keys_of.items()}


def _check_keys(found: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
    """Raises ValueError when a key is unknown or its pair is missing, or when a value is not finite."""
    known = set(names.values())
    pairs = {
        module
        for module in map(_module, known)
        if {f"{module}.lora_A.weight", f"{module}.lora_B.weight"} <= known
    }
    unused = [key for key in found if key not in names or _module(names[key]) not in pairs]
    if unused or not found:
        example = f", for example {unused[0]}" if unused else ""
        raise ValueError(f"{len(unused)} of {len(found)} keys cannot be used{example}; {_ACCEPTED}")
    broken = [key for key, value in found.items() if not torch.isfinite(value.float()).all()]
    if broken:
        raise ValueError(
            f"{len(broken)} of {len(found)} keys hold values that are not finite, for example {broken[0]}"
        )


def _check_shapes(weights: Mapping[str, Tensor]) -> None:
    """Raises ValueError when two tensors of a module cannot be multiplied, or when nothing would change."""
    wrong = []
    for key, lora_a in weights.items():
        if key.endswith(".lora_A.weight"):
            lora_b = weights[f"{_module(key)}.lora_B.weight"]
            fits = lora_a.ndim >= 2 and lora_b.ndim == lora_a.ndim and 0 < len(lora_a) == lora_b.shape[1]
            if not fits:
                wrong.append(f"{key} {list(lora_a.shape)} with lora_B {list(lora_b.shape)}")
    if wrong:
        raise ValueError(f"{len(wrong)} of its modules have wrong shapes, for example {wrong[0]}")
    halves = [[weight for key, weight in weights.items() if f".lora_{name}." in key] for name in "AB"]
    has_magnitudes = any("lora_magnitude_vector" in key for key in weights)
    if not has_magnitudes and not all(any(bool(w.float().any()) for w in half) for half in halves):
        raise ValueError("all its lora_A or all its lora_B weights are 0, so it would change nothing")


def _settings(metadata: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The LoraConfig of each part. Raises ValueError when they are damaged or PEFT does not know a key."""
    text = metadata.get(LORA_ADAPTER_METADATA_KEY)
    if not text:
        return {}
    try:
        stored = parse_json(text)
    except ValueError as error:
        raise ValueError(f"its {LORA_ADAPTER_METADATA_KEY} is not JSON ({error})") from None
    if not isinstance(stored, dict):
        raise ValueError(f"its {LORA_ADAPTER_METADATA_KEY} is not a JSON object")
    known = {field.name for field in fields(LoraConfig)}
    settings: dict[str, dict[str, Any]] = {}
    for key, value in stored.items():
        part, _, name = key.partition(".")
        if part not in _OLDER_NAMES or name not in known:
            raise ValueError(f"its {LORA_ADAPTER_METADATA_KEY} has the key {key}, which PEFT does not know")
        settings.setdefault(part, {})[name] = value
    for own in settings.values():
        if str(own.get("init_lora_weights")).lower().startswith(_CHANGES_THE_BASE):
            how = own["init_lora_weights"]
            raise ValueError(f"init_lora_weights={how} changes the base; accepted a plain LoRA")
    return settings


def _alpha(settings: Mapping[str, Mapping[str, Any]], module: str, rank: int, stored: Tensor | None) -> float:
    """The alpha of a module: its B A is scaled by alpha / rank. Raises ValueError when the metadata is wrong.

    settings: LoraConfig of each part. stored: alpha in a kohya file, a tensor of one number; None for others.
    """
    part, _, name = module.partition(".")
    if stored is not None:
        if stored.numel() != 1 or stored.item() == 0:
            raise ValueError(f"the alpha of {module} is {stored.tolist()}: accepted one number other than 0")
        return float(stored.item())
    if part not in settings:
        return float(rank)
    own = settings[part]
    try:
        # Patterns of a text encoder before transformers 5 have the level that `_diffusers_names` drops.
        ranks, alphas = (
            {key.replace("text_model.", "", 1): value for key, value in (own.get(patterns) or {}).items()}
            for patterns in ("rank_pattern", "alpha_pattern")
        )
        stored_rank = int(ranks.get(get_pattern_key(ranks.keys(), name), own["r"]))
        alpha = float(alphas.get(get_pattern_key(alphas.keys(), name), own["lora_alpha"]))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, re.error) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"its {LORA_ADAPTER_METADATA_KEY} cannot be read ({reason})") from None
    if stored_rank != rank:
        raise ValueError(f"{module} has rank {rank}, {stored_rank} in its {LORA_ADAPTER_METADATA_KEY}")
    if not math.isfinite(alpha) or alpha == 0:
        raise ValueError(f"lora_alpha={alpha}: accepted finite values other than 0")
    # Rank-stabilised LoRA (Kalajdzievski 2023, arXiv:2312.03732) divides alpha by the root of the rank.
    return alpha * rank**0.5 if own.get("use_rslora") else alpha


def fits_sd1(lora: LoraFile) -> bool:
    """Whether the width of every layer of the LoRA occurs in Stable Diffusion 1.x's UNet or text encoder."""
    inputs = {weight.shape[1] for key, weight in lora.weights.items() if ".lora_A." in key}
    outputs = {len(weight) for key, weight in lora.weights.items() if ".lora_B." in key}
    return inputs | outputs <= _SD1_WIDTHS


def write_kohya(lora: LoraFile, file: Path, metadata: Mapping[str, str]) -> Path:
    """Write a file with kohya's key names, for A1111, ComfyUI, kohya's own scripts and diffusers.

    metadata: entries of the file's header; the kind of network, rank, alpha and hashes of the tensors are
    added. Returns the file.
    Raises ValueError for a DoRA or a LoRA with biases, whose keys diffusers does not convert to kohya's.
    """
    if not all(key.endswith((".lora_A.weight", ".lora_B.weight")) for key in lora.weights):
        raise ValueError("format=kohya: accepted plain LoRAs; export a DoRA with format=diffusers or merged")
    converted: dict[str, Tensor] = {}
    for key, weight in lora.weights.items():
        part, _, name = key.partition(".")
        # transformers 5 dropped this level of the module names; every kohya file has it.
        named = f"{part}.text_model.{name}" if part == "text_encoder" else key
        for new, value in convert_state_dict_to_kohya({named: weight}, StateDictType.PEFT).items():
            if new.endswith(".alpha"):  # diffusers writes the rank, whatever alpha was
                value = torch.tensor(lora.alphas[_module(key)])
            # kohya says te for a single text encoder; te1 is for SDXL, which has two.
            converted[new.replace("lora_te1_", "lora_te_", 1)] = value.contiguous()
    content = save(converted)
    sha256 = hashlib.sha256(content[_header_end(content) :]).hexdigest()
    hashes = {"modelspec.hash_sha256": f"0x{sha256}", "sshs_model_hash": sha256}
    save_file(converted, file, metadata={**metadata, **_network(lora), **hashes})
    sort_metadata(file)
    return file


def sort_metadata(file: Path) -> None:
    """Rewrite a safetensors file, readable by all users, with its metadata in alphabetical order.

    safetensors writes metadata in a random order, so that equal tensors would have different bytes, and gives
    the file mode 0600.
    """
    content = file.read_bytes()
    end = _header_end(content)
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors are aligned
    write_whole(file, len(text).to_bytes(8, "little") + text + content[end:])
    file.chmod(0o644)


def _header_end(content: bytes) -> int:
    """Where the tensors of a safetensors file begin, bytes."""
    return 8 + int.from_bytes(content[:8], "little")


def _network(lora: LoraFile) -> dict[str, str]:
    """Kind of network, rank and alpha of the UNet's modules; "Dynamic", as in sd-scripts, if they differ."""
    modules = [name for name in lora.alphas if name.startswith("unet.")] or list(lora.alphas)
    sizes: dict[str, set[float]] = {
        "ss_network_dim": {len(lora.weights[f"{name}.lora_A.weight"]) for name in modules},
        "ss_network_alpha": {lora.alphas[name] for name in modules},
    }
    shown = {key: str(found.pop()) if len(found) == 1 else "Dynamic" for key, found in sizes.items()}
    return {"format": "pt", "ss_network_module": "networks.lora", **shown}
