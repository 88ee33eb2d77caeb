"""The supervised baseline: a U-Net that maps a photo to its pixel art, without diffusion."""

from collections.abc import Sequence

import torch

from pixelpersona.config.train import TrainConfig
from pixelpersona.data.loader import PairBatches
from pixelpersona.data.metadata import TRAIN, VAL
from pixelpersona.inference.direct import DirectStylizer, NetworkDraw
from pixelpersona.models.baseline import BaselineUNet, save_baseline
from pixelpersona.recipes.loop_settings import count_steps
from pixelpersona.recipes.model import load_model, picture_framing
from pixelpersona.recipes.training_run import (
    make_state,
    resume_and_record,
    start_run,
    train_and_finish,
)
from pixelpersona.training.objectives.regression import RegressionObjective
from pixelpersona.training.samples import Samples
from pixelpersona.training.validation import regression_loss


def train_supervised_baseline(config: TrainConfig, overrides: Sequence[str]) -> bool:
    """Train the baseline and write it to <paths.runs>/<name>/, with its record and checkpoints.

    A finished run of the same settings is left alone, an unfinished one continues from its newest checkpoint.
    Returns whether there was anything to train.
    overrides: the command line's settings, as typed. Raises ValueError for settings that are not accepted.
    """
    model, loop, widths = config.model, config.loop, config.method.widths
    if widths is None or len(widths) != 3:
        raise ValueError(f"method.widths={widths}: accepted three numbers, multiples of 8")
    if loop.latent_crop is not None:
        raise ValueError(f"loop.latent_crop={loop.latent_crop}: accepted null with method=supervised")
    with start_run(config, overrides) as run:
        if run is None:
            return False
        with run.accelerator.main_process_first():
            # Only the digest of the base is needed: results are compared per base.
            base = load_model(model)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(loop.seed)
                network = BaselineUNet(cell=model.cell, widths=(widths[0], widths[1], widths[2]))
            objective = RegressionObjective(network, kind=config.loss.kind)
            batches = PairBatches(
                run.pair_set, TRAIN, loop.batch_size, loop.seed, mirror=config.dataset.mirror
            )
            val_batches = PairBatches(run.pair_set, VAL, loop.batch_size, loop.seed)

        samples = None
        if loop.num_samples and run.is_main:
            stylizer = DirectStylizer(NetworkDraw(network), cell=model.cell)
            framing = picture_framing(config.dataset, model)
            samples = Samples(
                stylizer, None, run.pair_set, loop.num_samples, cell=model.cell, framing=framing
            )
        with run.accelerator.main_process_first():
            num_steps = count_steps(loop, len(batches))
            identity: dict[str, object] = {
                "widths": list(widths),
                "loss": config.loss.kind,
                "base": base.sha256,
            }
            state = make_state(run, objective, num_steps, identity)
            tracker = resume_and_record(run, state, base.sha256)
        train_and_finish(
            run,
            state,
            tracker,
            batches,
            num_steps=num_steps,
            validate=lambda: float(regression_loss(objective, val_batches).mean()),
            samples=samples,
            save=lambda folder: save_baseline(network, folder),
        )
    return True
