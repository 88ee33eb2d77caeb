"""Schema of the command `export`."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pixelpersona.config.adapter import AdapterConfig
from pixelpersona.config.command import CommandConfig
from pixelpersona.config.field_kinds import TEXT
from pixelpersona.config.model import ModelConfig
from pixelpersona.config.paths import PathsConfig
from pixelpersona.config.sampler import SamplerConfig

Format = StrEnum("Format", ["diffusers", "kohya", "merged"])
Weights = StrEnum("Weights", ["fp16", "fp32"])


@dataclass(kw_only=True, slots=True)
class ExportConfig(CommandConfig):
    """Export a LoRA for other programs, with a model card of what was measured.

    out: a new or empty folder for the weights and the model card.
    format: diffusers, kohya (one file for A1111 and ComfyUI) or merged (a whole pipeline).
    weights: fp16 or fp32, of a merged pipeline.
    result: evaluation of these weights; null for the nearest result.json above them that has their sha256.
    strict: refuse to export where otherwise a warning is printed.
    author: name in the header of a kohya file; null for none.
    max_likeness_loss: largest accepted loss of mean likeness against the untouched base.
    """

    out: Path = field(metadata=TEXT)
    format: Format
    weights: Weights
    result: Path | None
    strict: bool
    author: str | None = field(metadata=TEXT)
    max_likeness_loss: float
    model: ModelConfig
    adapter: AdapterConfig
    sampler: SamplerConfig
    paths: PathsConfig
