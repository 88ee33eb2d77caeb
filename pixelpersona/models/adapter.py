"""LoRA adapters: made and loaded by PEFT, written by diffusers."""

import copy
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from diffusers.training_utils import _collate_lora_metadata, cast_training_params
from diffusers.utils.peft_utils import recurse_remove_peft_layers
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn
from transformers import CLIPTextModel

from pixelpersona.assets.locate import path as asset
from pixelpersona.models.base import BaseModel
from pixelpersona.models.formats import LoraFile, read_lora, sort_metadata

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
        for key, value in settings.items():
            if isinstance(value, set):  # its order differs between processes; equal LoRAs need equal bytes
                settings[key] = sorted(value)
    StableDiffusionPipeline.save_lora_weights(
        save_directory=str(folder),
        # Under PEFT's key names: diffusers' older ones exist for attention only, and from a file with both it
        # silently loads one half.
        unet_lora_layers=_state_dict(unet),
        text_encoder_lora_layers=None if text_encoder is None else _state_dict(text_encoder),
        safe_serialization=True,
        **metadata,
    )
    file = folder / ADAPTER_FILE
    sort_metadata(file)
    return file


def _state_dict(model: nn.Module) -> dict[str, Tensor]:
    # The default, "auto", asks the hub for the base's configuration to see whether the vocabulary grew.
    state: dict[str, Tensor] = get_peft_model_state_dict(model, save_embedding_layers=False)
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


def read_fitting_lora(base: BaseModel, path: Path) -> LoraFile:
    """Read a LoRA, from a file or the folder that holds it, and check that it fits a base that has none.

    Raises ValueError naming adapter.path as `lora_file` and `read_lora` do, and when a key fits no layer of
    this base or has another shape.
    """
    lora = read_lora(lora_file(path), base)
    _check_fits(lora, _parts(base))
    return lora


def _parts(base: BaseModel) -> dict[str, UNet2DConditionModel | CLIPTextModel]:
    return {"unet": base.unet, "text_encoder": base.text_encoder}


def load_lora(base: BaseModel, path: Path) -> None:
    """Load a LoRA, from a file or the folder that holds it, onto a base that has none, in place.

    Raises ValueError as `read_fitting_lora` does; the base is then unchanged, except when PEFT refuses a DoRA
    or a bias.
    """
    lora = read_fitting_lora(base, path)
    for part, model in _parts(base).items():
        if alphas := _of_part(lora.alphas, part, model):
            _inject(model, _of_part(lora.weights, part, model), alphas, lora.file)
        model.requires_grad_(False)


def _of_part(named: Mapping[str, Any], part: str, model: nn.Module) -> dict[str, Any]:
    """The entries of one part, under the names that the model gives its modules."""
    # Older versions of transformers have one more level in the names of a text encoder's modules.
    level = "text_model." if hasattr(model, "text_model") else ""
    start = f"{part}."
    return {level + key.removeprefix(start): value for key, value in named.items() if key.startswith(start)}


def _check_fits(lora: LoraFile, models: Mapping[str, nn.Module]) -> None:
    """Raises ValueError when the base lacks the layer of a pair, or the layer needs another shape."""
    modules = {
        f"{part}.{name.removeprefix('text_model.')}": module
        for part, model in models.items()
        for name, module in model.named_modules()
    }
    unknown, wrong = [], []
    for key, weight in lora.weights.items():
        module = modules.get(key.partition(".lora_")[0])
        if not isinstance(module, nn.Linear | nn.Conv2d):
            unknown.append(key)
            continue
        num_out, *rest = module.weight.shape
        if key.endswith(".lora_A.weight"):
            accepted = [len(weight), *rest]
        elif key.endswith(".lora_B.weight"):
            accepted = [num_out, weight.shape[1], *(1 for _ in rest[1:])]
        else:  # of a DoRA or a bias: checked by PEFT
            continue
        if list(weight.shape) != accepted:
            wrong.append(f"{key} {list(weight.shape)} instead of {accepted}")
    for keys, problem in (
        (unknown, "fit no layer of this base"),
        (wrong, "do not have the shape their layer needs"),
    ):
        if keys:
            count = f"{len(keys)} of {len(lora.weights)} keys"
            raise ValueError(f"adapter.path={lora.file}: {count} {problem}, for example {keys[0]}")


def _inject(
    model: UNet2DConditionModel | CLIPTextModel,
    weights: Mapping[str, Tensor],
    alphas: Mapping[str, float],
    file: Path,
) -> None:
    """Add LoRA layers with these weights. weights: PEFT's key → tensor; alphas: module → alpha."""
    ranks = {module: len(weights[f"{module}.lora_A.weight"]) for module in alphas}
    rank, alpha = (Counter(found.values()).most_common(1)[0][0] for found in (ranks, alphas))
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        # Patterns are regular expressions that may begin in the middle of a name, except after `^`.
        rank_pattern={f"^{module}": own for module, own in ranks.items() if own != rank},
        alpha_pattern={f"^{module}": own for module, own in alphas.items() if own != alpha},
        target_modules=sorted(alphas),
        use_dora=any(key.endswith("lora_magnitude_vector") for key in weights),
        lora_bias=any(key.endswith("lora_B.bias") for key in weights),
    )
    try:
        inject_adapter_in_model(config, model, state_dict=dict(weights))
        report = set_peft_model_state_dict(model, dict(weights))
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"adapter.path={file}: not a LoRA of this base ({reason})") from error
    missing = [key for key in report.missing_keys if ".lora_" in key]
    if lost := [*report.unexpected_keys, *missing]:
        count = f"{len(lost)} keys are unknown or missing"
        raise ValueError(f"adapter.path={file}: {count}, for example {lost[0]}")
    model._hf_peft_config_loaded = True


def merge_lora(base: BaseModel, path: Path) -> tuple[BaseModel, int]:
    """A copy of the base with a LoRA merged into its weights, and the LoRA's number of parameters.

    It draws what the base with `load_lora` draws, up to rounding, in a quarter less time on a CPU: there are
    no small matrix products beside every layer. Raises ValueError as `load_lora` does, and for a LoRA with a
    bias for a layer that has none.
    """
    merged = replace(base, unet=copy.deepcopy(base.unet), text_encoder=copy.deepcopy(base.text_encoder))
    load_lora(merged, path)
    num_parameters = count_parameters(merged.unet, merged.text_encoder)
    for model in (merged.unet, merged.text_encoder):
        for layer in model.modules():
            if isinstance(layer, BaseTunerLayer):
                try:
                    layer.merge()
                except RuntimeError as error:  # a bias for a layer without one
                    raise ValueError(f"adapter.path={path}: cannot be merged ({error})") from error
        recurse_remove_peft_layers(model)
        # As diffusers' own unloading does: otherwise transformers saves the removed adapter's settings.
        if hasattr(model, "peft_config"):
            del model.peft_config
        model._hf_peft_config_loaded = False
    return merged, num_parameters


def count_parameters(*models: nn.Module) -> int:
    """Number of parameters of the LoRAs that the models carry."""
    return sum(p.numel() for model in models for name, p in model.named_parameters() if "lora_" in name)
