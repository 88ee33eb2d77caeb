"""Schema of the command `evaluate`."""

from dataclasses import dataclass
from pathlib import Path

from pixelpersona.config.augment import AugmentConfig
from pixelpersona.config.command import CommandConfig
from pixelpersona.config.dataset import DatasetConfig
from pixelpersona.config.eval import EvalConfig
from pixelpersona.config.finetune import FinetuneConfig
from pixelpersona.config.model import ModelConfig
from pixelpersona.config.paths import PathsConfig
from pixelpersona.config.pixelate import PixelationConfig
from pixelpersona.config.postprocess import PostprocessConfig
from pixelpersona.config.sampler import SamplerConfig
from pixelpersona.config.tracker import TrackerConfig


@dataclass(kw_only=True, slots=True)
class OtherAdaptersConfig:
    """LoRAs to compare besides the runs below paths.runs: of other programs, or from other folders.

    paths: LoRA files (diffusers' or kohya's key names) or run folders; the results name each after its file.
    """

    paths: list[Path]


@dataclass(kw_only=True, slots=True)
class EvaluateConfig(CommandConfig):
    """Compare every trained run below paths.runs with the untouched base, on the same photos and seeds.

    Writes result.json, timings.json and sheets/ to paths.runs; with eval.strengths, tradeoff.json instead.

    name: name of the evaluation at the tracker, and of the stage in the timing file.
    """

    dataset: DatasetConfig
    pixelate: PixelationConfig
    augment: AugmentConfig
    model: ModelConfig
    finetune: FinetuneConfig
    sampler: SamplerConfig
    postprocess: PostprocessConfig
    eval: EvalConfig
    adapter: OtherAdaptersConfig
    tracker: TrackerConfig
    paths: PathsConfig
