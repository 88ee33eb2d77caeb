"""Schema of the command `train`."""

from dataclasses import dataclass

from pixelpersona.config.augment import AugmentConfig
from pixelpersona.config.command import CommandConfig
from pixelpersona.config.dataset import DatasetConfig
from pixelpersona.config.finetune import FinetuneConfig
from pixelpersona.config.loop import LoopConfig
from pixelpersona.config.lora import LoraConfig
from pixelpersona.config.loss import LossConfig
from pixelpersona.config.lr_schedule import LrScheduleConfig
from pixelpersona.config.method import MethodConfig
from pixelpersona.config.model import ModelConfig
from pixelpersona.config.optimizer import OptimizerConfig
from pixelpersona.config.paths import PathsConfig
from pixelpersona.config.pixelate import PixelationConfig
from pixelpersona.config.sampler import SamplerConfig
from pixelpersona.config.tracker import TrackerConfig


@dataclass(kw_only=True, slots=True)
class TrainConfig(CommandConfig):
    """Fine-tune a LoRA, or train the supervised baseline, on pairs of photo and pixel art.

    name: run folder below paths.runs.
    """

    dataset: DatasetConfig
    pixelate: PixelationConfig
    augment: AugmentConfig
    model: ModelConfig
    finetune: FinetuneConfig
    method: MethodConfig
    lora: LoraConfig
    optimizer: OptimizerConfig
    lr_schedule: LrScheduleConfig
    loss: LossConfig
    loop: LoopConfig
    sampler: SamplerConfig
    tracker: TrackerConfig
    paths: PathsConfig
