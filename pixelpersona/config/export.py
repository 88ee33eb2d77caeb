"""Schema of the command `export`."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pixelpersona.config.adapter import AdapterConfig
from pixelpersona.config.model import ModelConfig
from pixelpersona.config.paths import PathsConfig
from pixelpersona.config.sampler import SamplerConfig


class Format(Enum):
    """Layouts of an exported adapter."""

    diffusers = "diffusers"
    kohya = "kohya"
    merged = "merged"


class Weights(Enum):
    """Number formats of a merged pipeline."""

    fp16 = "fp16"
    fp32 = "fp32"


@dataclass(kw_only=True, slots=True)
class ExportConfig:
    """Export a LoRA for other programs, with a model card of what was measured.

    name: name of the stage in the timing file.
    timing: JSON file that collects seconds per stage; null for none.
    out: a new or empty folder for the weights and the model card.
    format: diffusers, kohya (one file for A1111 and ComfyUI) or merged (a whole pipeline).
    weights: fp16 or fp32, of a merged pipeline.
    result: evaluation of these weights; null for the nearest result.json above them that has their sha256.
    strict: refuse to export where otherwise a warning is printed.
    max_likeness_loss: largest accepted loss of mean likeness against the untouched base.
    """

    name: str
    timing: Path | None
    out: Path
    format: Format
    weights: Weights
    result: Path | None
    strict: bool
    max_likeness_loss: float
    model: ModelConfig
    adapter: AdapterConfig
    sampler: SamplerConfig
    paths: PathsConfig
