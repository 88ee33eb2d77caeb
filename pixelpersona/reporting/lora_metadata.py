"""Metadata in the header of a LoRA file: kohya's `ss_*` keys and ModelSpec's `modelspec.*` keys."""

import json
from collections.abc import Mapping
from typing import Any

from pixelpersona.reporting.card import CardInfo
from pixelpersona.reporting.table import flat_settings

_SETTINGS = {
    "ss_learning_rate": "optimizer.lr",
    "ss_unet_lr": "optimizer.lr",
    "ss_optimizer": "optimizer.kind",
    "ss_lr_scheduler": "lr_schedule.kind",
    "ss_lr_warmup_steps": "lr_schedule.num_warmup_steps",
    "ss_num_epochs": "loop.num_epochs",
    "ss_total_batch_size": "loop.batch_size",
    "ss_gradient_accumulation_steps": "loop.gradient_accumulation_steps",
    "ss_mixed_precision": "loop.precision",
    "ss_max_grad_norm": "loop.max_grad_norm",
    "ss_seed": "loop.seed",
    "ss_network_dropout": "lora.dropout",
    "ss_loss_type": "loss.kind",
    "ss_noise_offset": "loss.noise_offset",
    "ss_min_snr_gamma": "loss.snr_gamma",
    "ss_caption_dropout_rate": "loss.caption_dropout",
}
# Where sd-scripts has other names for the same.
_NAMES = {"ss_loss_type": {"mse": "l2"}, "ss_mixed_precision": {"fp32": "no"}}


def lora_metadata(
    info: CardInfo,
    config: Mapping[str, Any],
    *,
    is_sd1: bool,
    author: str | None = None,
    date: str | None = None,
    num_steps: int | None = None,
    num_images: int | None = None,
) -> dict[str, str]:
    """What programs that load a LoRA display, as far as it is known.

    ModelSpec 1.0.0 (github.com/Stability-AI/ModelSpec) and the keys that sd-scripts writes
    (github.com/kohya-ss/sd-scripts, train_network.py), all values as text. The hashes of the tensors are
    added by `write_kohya`.
    config: that of `train` as plain values, or at least its `model` and `sampler`. is_sd1: whether the LoRA
    fits Stable Diffusion 1.x. date: of the training, ISO 8601. num_steps: optimizer steps of the training.
    num_images: pairs that it was trained on.
    """
    model = config["model"]
    size = model["image_size"]
    known: dict[str, object] = {
        "modelspec.sai_model_spec": "1.0.0",
        # The form that sd-scripts writes; the specification's own example has a hyphen instead of the slash.
        "modelspec.architecture": f"{'stable-diffusion-v1' if is_sd1 else 'pixelpersona-tiny'}/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.title": info.title,
        "modelspec.description": f"Redraws a portrait photo as pixel art. {info.limits}".strip(),
        "modelspec.author": author,
        "modelspec.date": date,
        "modelspec.license": info.license_note if info.license == "other" else info.license,
        "modelspec.usage_hint": f"Image to image with the prompt: {info.prompt}",
        "modelspec.trigger_phrase": info.prompt,
        "modelspec.resolution": f"{size}x{size}",
        "modelspec.prediction_type": "epsilon",
        "ss_base_model_version": "sd_v1" if is_sd1 else "pixelpersona_tiny",
        "ss_sd_model_name": info.base_model,
        "ss_v2": False,
        "ss_output_name": info.title,
        "ss_resolution": f"({size}, {size})",
        "ss_num_train_images": num_images,
        "ss_steps": num_steps,
        "ss_max_train_steps": num_steps,
    }
    if num_images is not None:
        known["ss_tag_frequency"] = json.dumps({"pairs": {info.prompt: num_images}}, ensure_ascii=False)
    settings = flat_settings(config)
    known |= {key: settings.get(name) for key, name in _SETTINGS.items()}
    for key, names in _NAMES.items():
        known[key] = names.get(str(known[key]), known[key])
    return {key: str(value) for key, value in known.items() if value is not None}
