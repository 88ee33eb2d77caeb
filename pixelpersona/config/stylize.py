"""Schema of the command `stylize`."""

from dataclasses import dataclass
from pathlib import Path

from pixelpersona.config.adapter import AdapterConfig
from pixelpersona.config.command import CommandConfig
from pixelpersona.config.model import ModelConfig
from pixelpersona.config.paths import PathsConfig
from pixelpersona.config.postprocess import PostprocessConfig
from pixelpersona.config.sampler import SamplerConfig
from pixelpersona.config.search import SearchConfig


@dataclass(kw_only=True, slots=True)
class StylizeConfig(CommandConfig):
    """Turn one photo into a pixel-art portrait.

    photo: the photo; JPEG, PNG or WebP.
    out: the enlarged portrait, .png; the true-size indexed PNG is written beside it (me.cells.png).
    seed: random seed of the first candidate.
    num_candidates: number of seeds to try, 1 to 64; the drawing most like the photo is kept.
    scale: pixels per cell of the enlarged picture, 1 to 64.
    framing: tight, wide or center.
    """

    photo: Path
    out: Path
    seed: int
    num_candidates: int
    scale: int
    framing: str
    model: ModelConfig
    adapter: AdapterConfig
    sampler: SamplerConfig
    search: SearchConfig
    postprocess: PostprocessConfig
    paths: PathsConfig
