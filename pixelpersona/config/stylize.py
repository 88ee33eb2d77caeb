"""Schema of the command `stylize`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pixelpersona.config.adapter import AdapterConfig
from pixelpersona.config.command import CommandConfig
from pixelpersona.config.field_kinds import SEED, TEXT
from pixelpersona.config.model import ModelConfig
from pixelpersona.config.paths import PathsConfig
from pixelpersona.config.postprocess import PostprocessConfig
from pixelpersona.config.sampler import SamplerConfig
from pixelpersona.config.search import SearchConfig


@dataclass(kw_only=True, slots=True)
class StylizeConfig(CommandConfig):
    """Turn one photo into a pixel-art portrait.

    photo: the photo; JPEG, PNG, WebP, BMP, TIFF, AVIF or HEIC.
    out: the enlarged portrait, .png; the true-size indexed PNG is written beside it (me.cells.png).
    seed: random seed of the first candidate, 0 to 4294967295.
    num_candidates: number of seeds to try, 1 to 64; the drawing most like the photo is kept.
    scale: pixels per cell of the enlarged picture, 1 to 64.
    overwrite: whether out may replace the photo itself.
    framing: portrait (head and shoulders) or tight around the face, or center.
    face: main (the largest and most central), all (writes me-1.png, me-2.png), or a number from the left.
    """

    photo: Path
    out: Path = field(metadata=TEXT)
    seed: int = field(metadata=SEED)
    num_candidates: int
    scale: int
    overwrite: bool
    framing: str
    face: Any
    model: ModelConfig
    adapter: AdapterConfig
    sampler: SamplerConfig
    search: SearchConfig
    postprocess: PostprocessConfig
    paths: PathsConfig
