"""`python -m pixelpersona.pretrain dataset.path=faces.zip`: train a base model from photos.

Each stage reads what the ones before wrote to <paths.runs>/<name>, and continues after it was interrupted.
"""

import os

from pixelpersona.cli.command import command
from pixelpersona.config.pretrain import PretrainConfig, Stage
from pixelpersona.files import writing_into
from pixelpersona.runs.names import named_folder
from pixelpersona.tracking.environment import check_environment


@command("pretrain", PretrainConfig)
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

    quiet_libraries()
    jobs = {
        Stage.autoencoder: train_autoencoder,
        Stage.unet: train_denoiser,
        Stage.portraits: draw_portraits,
        Stage.features: train_features,
        Stage.measure: measure_base,
    }
    stages = [config.stage]
    if config.stage is Stage.all:
        stages = [Stage.autoencoder, Stage.unet, Stage.portraits]
    tracked = [stage for stage in stages if stage in (Stage.autoencoder, Stage.unet, Stage.features)]
    if tracked:
        check_environment(config.tracker.mode.value, len(tracked))
    with writing_into(folder, "after freeing space, run the same command again to continue"):
        folder.mkdir(parents=True, exist_ok=True)
        photos = Photos(config)
        for stage in stages:
            jobs[stage](config, photos)


if __name__ == "__main__":
    main()
