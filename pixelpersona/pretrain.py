"""`python -m pixelpersona.pretrain dataset.path=faces.zip`: make the packaged tiny base from photos.

Each stage reads what the one before wrote below <paths.runs>/pretrain and continues after a kill.
"""

import os
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pixelpersona.build.data import DatasetConfig, PathsConfig, make_source
from pixelpersona.build.measuring import MeasureConfig
from pixelpersona.build.models import ModelConfig
from pixelpersona.build.portraits import PortraitsConfig
from pixelpersona.build.pretraining import StageConfig
from pixelpersona.build.tracking import TrackerConfig, make_tracker
from pixelpersona.door import door
from pixelpersona.pixel.finish import Finish
from pixelpersona.pixel.pixelation import Pixelation

if TYPE_CHECKING:
    from pixelpersona.tracking.tracker import Tracker
    from pixelpersona.training.state import TrainState


class Stage(Enum):
    all = "all"
    autoencoder = "autoencoder"
    unet = "unet"
    portraits = "portraits"
    features = "features"
    measure = "measure"


@dataclass(kw_only=True, slots=True)
class PretrainConfig:
    """stage: one of them, or all: autoencoder, unet and portraits. name: folder below paths.runs.

    warm_start: begin with the weights of `model` instead of at random. The encoder then stays as it is, so
    that latents mean the same before and after; decoder, UNet and text encoder train on.
    """

    name: str = "pretrain"
    stage: Stage = Stage.all
    warm_start: bool = False
    seed: int = 0
    timing: Path | None = None
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    pixelate: Pixelation = field(default_factory=Pixelation)
    model: ModelConfig = field(default_factory=ModelConfig)
    autoencoder: StageConfig = field(default_factory=StageConfig)
    unet: StageConfig = field(default_factory=StageConfig)
    features: StageConfig = field(default_factory=StageConfig)
    portraits: PortraitsConfig = field(default_factory=PortraitsConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    finish: Finish = field(default_factory=Finish)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)


def _open_tracker(config: PretrainConfig, folder: Path, state: "TrainState", resumed: bool) -> "Tracker":
    """The stage's record, continued where its state stands."""
    from pixelpersona.build.record import public_config

    tracker = make_tracker(
        config.tracker,
        folder,
        name=f"{config.name}-{folder.name}",
        job_type="pretrain",
        config=public_config(config),
        run_id=state.tracker_id or None,
        resume_step=state.step if resumed else None,
        resume_rows=state.num_rows if resumed else None,
    )
    state.tracker_id = tracker.run_id
    return tracker


@door("pretrain", PretrainConfig)
def main(config: PretrainConfig) -> None:
    """Run the stages asked for."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # all of them would write the same files
        raise ValueError("pretrain runs in one process; start it without torchrun")
    from pixelpersona.writing import writing_into

    folder = config.paths.runs / config.name
    with writing_into(folder, "with room again the same command goes on"):
        folder.mkdir(parents=True, exist_ok=True)
        _run_stages(config, folder)


def _run_stages(config: PretrainConfig, folder: Path) -> None:
    from pixelpersona.build.features import train_features_stage
    from pixelpersona.build.measuring import measure_stage
    from pixelpersona.build.models import make_base
    from pixelpersona.build.portraits import draw_portraits_stage
    from pixelpersona.build.pretraining import Photos, train_autoencoder_stage, train_unet_stage
    from pixelpersona.models import tiny
    from pixelpersona.models.base import load_base

    start = make_base(config.model) if config.warm_start else None
    photos = Photos(make_source(config.dataset), folder, tiny.IMAGE_SIZE)
    open_tracker = partial(_open_tracker, config)
    if config.stage in (Stage.all, Stage.autoencoder):
        train_autoencoder_stage(photos, folder, config.autoencoder, open_tracker, config.seed, start)
    if config.stage in (Stage.all, Stage.unet):
        train_unet_stage(photos, folder, config.unet, open_tracker, config.seed, config.model.prompt, start)
    if config.stage in (Stage.all, Stage.portraits):
        base = load_base(folder / "base", name="tiny")
        draw_portraits_stage(base, photos, folder, config.portraits, config.seed)
    if config.stage is Stage.features:
        train_features_stage(photos, folder, config.features, config.pixelate, open_tracker, config.seed)
    if config.stage is Stage.measure:
        made = folder / "base"
        base = load_base(made, name="tiny") if made.is_dir() else make_base(config.model)
        measure_stage(base, photos, folder, config.measure, config.model, config.pixelate, config.finish)


if __name__ == "__main__":
    main()
