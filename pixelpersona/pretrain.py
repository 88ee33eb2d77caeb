"""`python -m pixelpersona.pretrain dataset.path=faces.zip`: train a base model from photos.

Each stage reads what the ones before wrote to <paths.runs>/<name>, and continues after it was interrupted.
"""

import os

from pixelpersona.cli.command import command
from pixelpersona.cli.next_steps import NextStep
from pixelpersona.config.pretrain import PretrainConfig, Stage
from pixelpersona.config.train import TrainConfig
from pixelpersona.files import writing_into
from pixelpersona.runs.names import named_folder
from pixelpersona.tracking.environment import check_environment

_NEXT_STAGE = {Stage.autoencoder: Stage.unet, Stage.unet: Stage.portraits}  # after all others: measure
_SHARED = (
    *("dataset", "pixelate", "model", "postprocess", "tracker", "paths", "name", "warm_start", "seed"),
    *("autoencoder", "unet", "portraits", "features", "landmarks", "measure"),
)


def next_steps(config: PretrainConfig) -> list[NextStep]:
    """The next stage; after the last one, fine-tune the base, if this run has trained one.

    No stage reads the landmark network.
    """
    if config.stage is Stage.landmarks:
        return []
    if config.stage is not Stage.measure:
        stage = _NEXT_STAGE.get(config.stage, Stage.measure)
        purpose = "measure it" if stage is Stage.measure else "the next stage"
        return [NextStep(purpose, "pretrain", PretrainConfig, _SHARED, (f"stage={stage}",))]
    base = config.paths.runs / config.name / "base"
    if not base.is_dir():
        return []
    words = (f"model.path={base}",)
    return [NextStep("fine-tune the new base", "train", TrainConfig, ("model", "pixelate"), words)]


@command("pretrain", PretrainConfig, next_steps=next_steps)
def main(config: PretrainConfig) -> None:
    """Run the selected stages."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # all processes would write the same files
        raise ValueError("pretrain runs in one process; start it without torchrun")
    folder = named_folder(config.paths.runs, config.name)
    from pixelpersona.models.base import quiet_libraries
    from pixelpersona.recipes.pretraining.draw_portraits import draw_portraits
    from pixelpersona.recipes.pretraining.measure_base import measure_base
    from pixelpersona.recipes.pretraining.stage import Photos
    from pixelpersona.recipes.pretraining.train_autoencoder import train_autoencoder
    from pixelpersona.recipes.pretraining.train_denoiser import train_denoiser
    from pixelpersona.recipes.pretraining.train_features import train_features
    from pixelpersona.recipes.pretraining.train_landmarks import train_landmarks

    quiet_libraries()
    jobs = {
        Stage.autoencoder: train_autoencoder,
        Stage.unet: train_denoiser,
        Stage.portraits: draw_portraits,
        Stage.features: train_features,
        Stage.landmarks: train_landmarks,
        Stage.measure: measure_base,
    }
    stages = [config.stage]
    if config.stage is Stage.all:
        stages = [Stage.autoencoder, Stage.unet, Stage.portraits]
    tracked = [stage for stage in stages if stage not in (Stage.portraits, Stage.measure)]
    if tracked:
        check_environment(config.tracker.mode.value, len(tracked))
    with writing_into(folder, "after freeing space, run the same command again to continue"):
        folder.mkdir(parents=True, exist_ok=True)
        photos = Photos(config)
        for stage in stages:
            jobs[stage](config, photos)


if __name__ == "__main__":
    main()
