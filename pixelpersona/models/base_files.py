"""Checks of a base: its folder, the weights of its parts, and that the parts fit each other.

diffusers and transformers only warn about missing and unknown weights, and fill the missing ones with random
numbers.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

from pixelpersona.files import parse_json

# Part → the configuration file that it must have.
_CONFIGS = {
    "tokenizer": None,
    "text_encoder": "config.json",
    "vae": "config.json",
    "unet": "config.json",
    "scheduler": "scheduler_config.json",
}
# Two alternatives: newer versions of transformers write the first, all read the second.
_TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"))
_NUM_BYTES = 256  # byte-pair encoding has at least one token per byte
_NOISE_LEVELS = ("beta_start", "beta_end", "beta_schedule")


class Parts(NamedTuple):
    """The parts of a base."""

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    vae: AutoencoderKL
    unet: UNet2DConditionModel
    noise_schedule: DDIMScheduler


def check_source(source: str) -> None:
    """Raises ValueError naming model.path when it is neither a complete folder nor a possible hub id.

    All configuration files of a folder are read, because the libraries treat a damaged one as missing.
    """
    folder = Path(source)
    if folder.is_dir():
        missing = ", ".join(part for part in _CONFIGS if not (folder / part).is_dir())
        if missing:
            raise ValueError(f"model.path={source}: no {missing} folder; expected diffusers' layout")
        for part, config in _CONFIGS.items():
            if config is not None and not (folder / part / config).is_file():
                raise ValueError(f"model.path={source}: no {part}/{config}")
            for file in sorted((folder / part).glob("*.json")):
                _check_json(file, f"model.path={source}: {part}/{file.name}")
            is_model = part not in ("tokenizer", "scheduler")
            if is_model and not any(f.suffix in (".safetensors", ".bin") for f in (folder / part).iterdir()):
                raise ValueError(f"model.path={source}: no weights in {part} (a file ending in .safetensors)")
        files = {file.name for file in (folder / "tokenizer").iterdir()}
        if not any(files.issuperset(names) for names in _TOKENIZERS):
            raise ValueError(f"model.path={source}: no tokenizer.json, nor vocab.json with merges.txt")
    elif source.count("/") != 1 or folder.is_absolute() or source.startswith("."):
        raise ValueError(f"model.path={source}: no such folder (a folder in diffusers' layout, or a hub id)")


def _check_json(file: Path, shown: str) -> None:
    try:
        found = parse_json(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{shown}: not readable ({error})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{shown}: accepted a JSON object")


@contextmanager
def reading(source: str, part: str) -> Iterator[None]:
    """Turn what a library raises while it reads or runs a part into a ValueError naming path and file."""
    try:
        yield
    except Exception as error:  # OSError, SafetensorError, KeyError, assertions: any type, for damaged files
        damaged = _damaged_weights(Path(source) / part)
        reason = " ".join(str(error).split()) or type(error).__name__
        where = part if damaged is None else f"{part}/{damaged.name}"
        raise ValueError(f"model.path={source}: {where}: cannot be loaded ({reason})") from error


def _damaged_weights(folder: Path) -> Path | None:
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, framework="pt"):
                pass
        except (OSError, SafetensorError):
            return file
    return None


def check_weights(source: str, part: str, model: nn.Module, report: Mapping[str, Collection[Any]]) -> None:
    """Raises ValueError with the number of wrong weights and one example.

    report: `output_loading_info` of diffusers or transformers.
    """
    tensors = model.state_dict()
    problems = {
        "missing": [str(key) for key in report["missing_keys"]],
        "not known to this model": [str(key) for key in report["unexpected_keys"]],
        "of another shape": [str(key) for key, *_ in report["mismatched_keys"]],
        "not finite": [] if report["missing_keys"] else _not_finite(tensors),
    }
    for problem, keys in problems.items():
        if keys:
            raise ValueError(
                f"model.path={source}: {part}: {len(keys)} weights are {problem}, for example {min(keys)}"
            )


def _not_finite(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    return [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]


def check_parts(source: str, parts: Parts) -> None:
    """Raises ValueError naming a part whose size does not fit another, or a schedule without valid betas."""
    tokenizer, text_encoder, vae, unet, noise_schedule = parts

    def refuse_unless(is_accepted: bool, problem: str) -> None:
        if not is_accepted:
            raise ValueError(f"model.path={source}: {problem}")

    text, tokens, length = text_encoder.config, len(tokenizer), tokenizer.model_max_length
    refuse_unless(
        _NUM_BYTES <= tokens <= text.vocab_size,
        f"tokenizer: {tokens} tokens; accepted {_NUM_BYTES} to {text.vocab_size}, as the text_encoder",
    )
    refuse_unless(
        isinstance(length, int) and 2 <= length <= text.max_position_embeddings,
        f"tokenizer: model_max_length={length}; accepted 2 to {text.max_position_embeddings}",
    )
    channels, width = unet.config.in_channels, unet.config.cross_attention_dim
    refuse_unless(
        channels == vae.config.latent_channels,
        f"unet: in_channels={channels}; accepted {vae.config.latent_channels}, as the vae",
    )
    refuse_unless(
        not isinstance(width, int) or width == text.hidden_size,
        f"unet: cross_attention_dim={width}; accepted {text.hidden_size}, as the text_encoder",
    )
    schedule = noise_schedule.config
    left_out = sorted(set(schedule.get("_use_default_values", ())) & set(_NOISE_LEVELS))
    file = "scheduler/scheduler_config.json"
    refuse_unless(not left_out or schedule.trained_betas is not None, f"{file}: no {', '.join(left_out)}")
    betas = noise_schedule.betas
    is_noise = bool(((betas > 0.0) & (betas <= 1.0)).all())
    refuse_unless(is_noise, f"{file}: its betas are not all above 0 and at most 1")


@torch.no_grad()
def try_parts(source: str, parts: Parts) -> None:
    """Run every part once, on the smallest input: some settings raise an error only then.

    Raises ValueError naming the part that fails.
    """
    tokenizer, text_encoder, vae, unet, noise_schedule = parts
    side = 2 ** max(len(model.config.block_out_channels) - 1 for model in (vae, unet))
    scheduler = DDIMScheduler.from_config(noise_schedule.config)
    with reading(source, "tokenizer"):
        tokens = tokenizer("", padding="max_length", truncation=True, return_tensors="pt").input_ids
    with reading(source, "text_encoder"):
        text = text_encoder(tokens).last_hidden_state
    with reading(source, "vae"):
        latents = vae.encode(torch.zeros(1, 3, side * side, side * side)).latent_dist.mean
        vae.decode(latents)
    with reading(source, "unet"):
        noise = unet(latents, 1, text).sample
    with reading(source, "scheduler"):
        scheduler.set_timesteps(2)
        scheduler.step(noise, scheduler.timesteps[0], latents)
