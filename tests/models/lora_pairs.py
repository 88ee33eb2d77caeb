"""Random LoRAs, written as different programs write them, and merged by hand."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from pixelpersona.models.base import BaseModel

METADATA = "lora_adapter_metadata"
DOWN = "down_blocks.0.attentions.0.transformer_blocks.0"
TEXT = "encoder.layers.0"


@dataclass
class Pair:
    """What training learned of one layer: its weight becomes W + alpha / r * B A."""

    part: str
    module: str
    lora_a: Tensor
    lora_b: Tensor
    alpha: float


def make_pairs(base: BaseModel, *, ranks: tuple[int, ...], alphas: tuple[float, ...] = ()) -> list[Pair]:
    """Random pairs for attention, a feed-forward layer and two convolutions; ranks and alphas in turn."""
    modules = [
        ("unet", f"{DOWN}.attn1.to_q"),
        ("unet", f"{DOWN}.attn2.to_out.0"),
        ("text_encoder", f"{TEXT}.self_attn.q_proj"),
        ("unet", f"{DOWN}.ff.net.2"),
        ("text_encoder", f"{TEXT}.mlp.fc1"),
        ("unet", "conv_in"),
        ("unet", "down_blocks.0.resnets.0.conv1"),
    ]
    rng = torch.Generator().manual_seed(1)
    pairs = []
    for number, (part, module) in enumerate(modules):
        rank = ranks[number % len(ranks)]
        alpha = alphas[number % len(alphas)] if alphas else float(rank)
        out, *rest = getattr(base, part).get_submodule(module).weight.shape
        lora_a = 0.3 * torch.randn(rank, *rest, generator=rng)
        lora_b = 0.3 * torch.randn(out, rank, *(1 for _ in rest[1:]), generator=rng)
        pairs.append(Pair(part, module, lora_a, lora_b, alpha))
    return pairs


def peft_weights(pairs: list[Pair]) -> dict[str, Tensor]:
    weights = {}
    for pair in pairs:
        weights[f"{pair.part}.{pair.module}.lora_A.weight"] = pair.lora_a
        weights[f"{pair.part}.{pair.module}.lora_B.weight"] = pair.lora_b
    return weights


def without_metadata(pairs: list[Pair], file: Path) -> None:
    save_file(peft_weights(pairs), file)


def with_metadata(pairs: list[Pair], file: Path) -> None:
    stored: dict[str, object] = {}
    for part in ("unet", "text_encoder"):
        own = [pair for pair in pairs if pair.part == part]
        stored[f"{part}.r"], stored[f"{part}.lora_alpha"] = len(own[0].lora_a), own[0].alpha
        stored[f"{part}.rank_pattern"] = {pair.module: len(pair.lora_a) for pair in own[1:]}
        stored[f"{part}.alpha_pattern"] = {pair.module: pair.alpha for pair in own[1:]}
    save_file(peft_weights(pairs), file, metadata={"format": "pt", METADATA: json.dumps(stored)})


def in_fp16(pairs: list[Pair], file: Path) -> None:
    for pair in pairs:
        pair.lora_a, pair.lora_b = pair.lora_a.half(), pair.lora_b.half()
    with_metadata(pairs, file)


def with_kohya_names(pairs: list[Pair], file: Path) -> None:
    prefixes = {"unet": "lora_unet_", "text_encoder": "lora_te_text_model_"}
    weights = {}
    for pair in pairs:
        name = prefixes[pair.part] + pair.module.replace(".", "_")
        weights[f"{name}.lora_down.weight"] = pair.lora_a
        weights[f"{name}.lora_up.weight"] = pair.lora_b
        weights[f"{name}.alpha"] = torch.tensor(pair.alpha)
    save_file(weights, file, metadata={"ss_network_module": "networks.lora"})


def with_older_names(pairs: list[Pair], file: Path) -> None:
    """As diffusers' training scripts wrote them in 2023."""
    ends = {"lora_A": "down", "lora_B": "up"}
    weights = {}
    for key, weight in peft_weights(pairs).items():
        name, half, _ = key.rsplit(".", 2)
        if name.startswith("text_encoder."):
            name = f"text_encoder.text_model.{name.removeprefix('text_encoder.')}.lora_linear_layer"
        elif ".attn" in name:
            name = re.sub(r"(attn\d)\.(to_\w+)(\.0)?$", r"\1.processor.\2_lora", name)
        else:
            name += ".lora"
        weights[f"{name}.{ends[half]}.weight"] = weight
    save_file(weights, file)


@torch.no_grad()
def by_hand(base: BaseModel, pairs: list[Pair]) -> BaseModel:
    for pair in pairs:
        weight = getattr(base, pair.part).get_submodule(pair.module).weight
        product = pair.lora_b.float().flatten(1) @ pair.lora_a.float().flatten(1)
        weight += pair.alpha / len(pair.lora_a) * product.view(weight.shape)
    return base
