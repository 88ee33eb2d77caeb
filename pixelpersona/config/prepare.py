"""Schema of the command `prepare`."""

from dataclasses import dataclass

from pixelpersona.config.augment import AugmentConfig
from pixelpersona.config.command import CommandConfig
from pixelpersona.config.dataset import DatasetConfig
from pixelpersona.config.finetune import FinetuneConfig
from pixelpersona.config.model import ModelConfig
from pixelpersona.config.paths import PathsConfig
from pixelpersona.config.pixelate import PixelationConfig


@dataclass(kw_only=True, slots=True)
class PrepareConfig(CommandConfig):
    """Turn photos into pairs and cached latents.

    encode: also fill the cache of latents and text states, which needs the base; the photos are encoded where
        finetune.residual_shift_strength is above 0, because `train` needs them.
    verify: instead of preparing, check everything in paths.cache against its digest and change nothing.
    """

    encode: bool
    verify: bool
    dataset: DatasetConfig
    pixelate: PixelationConfig
    augment: AugmentConfig
    model: ModelConfig
    finetune: FinetuneConfig
    paths: PathsConfig
