"""What the stages of pretraining share: the photos, and the training of one stage."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers.training_utils import EMAModel
from numpy.typing import NDArray
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_wsd_schedule

from pixelpersona.config.pretrain import PretrainConfig, StageConfig, StageLrSchedule
from pixelpersona.data.metadata import SPLITS
from pixelpersona.data.pairset import REJECTED
from pixelpersona.data.photo_batches import photo_array
from pixelpersona.data.sources import open_source
from pixelpersona.data.splits import SplitShares
from pixelpersona.data.survey import left_out, survey
from pixelpersona.files import whole, write_whole
from pixelpersona.runs.records import plain_config, public_config
from pixelpersona.terminal import warn
from pixelpersona.tracking.opening import open_tracker
from pixelpersona.training.accelerator import make_accelerator
from pixelpersona.training.callbacks import CheckpointCallback
from pixelpersona.training.checkpoints import TrainState, resume_latest
from pixelpersona.training.interrupt import ending
from pixelpersona.training.loop import Batches, train
from pixelpersona.training.optimizers import ParameterGroup, adamw, group_parameters, lr_schedule


class Photos:
    """The photos of a pretraining run, as square pictures of the base's size.

    ids, val_ids, test_ids: of the train, val and test photos, sorted. folder: the run's. Photos that cannot
    be used are listed in its rejected.jsonl and reported on stderr.
    """

    def __init__(self, config: PretrainConfig) -> None:
        dataset = config.dataset
        self.source = open_source(dataset.kind, dataset.path)
        for note in self.source.notes:
            warn(note)
        self.folder = config.paths.runs / config.name
        self.image_size = config.model.image_size
        found = survey(
            self.source,
            config.paths.cache,
            size=self.image_size,
            seed=0,
            shares=SplitShares(dataset.val_share, dataset.test_share),
            limit=dataset.limit,
            max_enlargement=dataset.max_enlargement,
            num_workers=dataset.num_workers,
        )
        if found.rejected:
            file = self.folder / REJECTED
            rows = [{"id": photo_id, "reason": reason} for photo_id, reason in found.rejected.items()]
            write_whole(file, "".join(json.dumps(row) + "\n" for row in rows))
            warn(left_out(found.rejected, len(found.photos) + len(rows), file))
        self.ids, self.val_ids, self.test_ids = (
            [photo.id for photo in found.photos if photo.split == split] for split in SPLITS
        )

    def train_file(self, size: int | None = None) -> Path:
        """The .npy of all training photos, uint8 [N, size, size, 3], written when it is missing.

        size: pixels; None for the base's image size. Raises ValueError when the file holds other photos.
        """
        size = size or self.image_size
        file = self.folder / ("photos.npy" if size == self.image_size else f"photos-{size}.npy")
        if not file.is_file():
            photos = photo_array(self.source, self.ids, size)
            with whole(file) as draft, draft.open("wb") as opened:
                np.save(opened, photos)
        if np.load(file, mmap_mode="r").shape != (len(self.ids), size, size, 3):
            raise ValueError(f"{file}: made from other photos; delete it or choose another paths.runs")
        return file

    def train(self) -> NDArray[np.uint8]:
        """All training photos, uint8 [N, image_size, image_size, 3], memory-mapped, writable in memory."""
        photos: NDArray[np.uint8] = np.load(self.train_file(), mmap_mode="c")
        return photos

    def load(self, ids: Sequence[str]) -> NDArray[np.uint8]:
        """These photos, uint8 [N, image_size, image_size, 3]."""
        return photo_array(self.source, ids, self.image_size)


def train_stage(
    objective: nn.Module,
    batches: Batches,
    stage: StageConfig,
    config: PretrainConfig,
    *,
    name: str,
    identity: Mapping[str, object],
) -> None:
    """Train the objective's parameters in place; at the end they hold the moving average, frozen.

    Checkpoints, metrics.jsonl and the W&B run are kept in <paths.runs>/<name of the run>/<name>. Training
    continues from the newest intact checkpoint there.

    identity: what a checkpoint must have been made with to be continued, besides stage, seed and batch size.
    Raises ValueError when the newest checkpoint has another identity.
    """
    accelerator = make_accelerator(stage.precision.value, batch_size=stage.batch_size)
    objective.to(accelerator.device)  # before its parameters are copied for the moving average
    every = ParameterGroup("all", "", stage.lr, stage.weight_decay)
    groups = group_parameters(objective.named_parameters(), [every])
    optimizer = adamw(groups, beta1=stage.beta1, beta2=stage.beta2, eps=stage.eps)
    trained = [p for p in objective.parameters() if p.requires_grad]
    ema = EMAModel(trained, decay=stage.ema_decay, use_ema_warmup=True, power=stage.ema_power)
    state = TrainState(
        objective=objective,
        optimizer=optimizer,
        lr_schedule=_lr_schedule(optimizer, stage, name),
        ema=ema,
        scaler=accelerator.scaler,
        identity={"stage": name, **identity, "seed": config.seed, "batch": stage.batch_size},
    )
    folder = config.paths.runs / config.name / name
    checkpoints = folder / "checkpoints"
    resumed = resume_latest(state, checkpoints)
    tracker = open_tracker(
        folder,
        run_name=f"{config.name}-{name}",
        job_type="pretrain",
        config=public_config(config),
        run_id=state.tracker_id or None,
        resume_step=state.step if resumed else None,
        resume_rows=state.num_rows if resumed else None,
        **plain_config(config.tracker),
    )
    state.tracker_id = tracker.run_id
    every_steps, num_steps = stage.checkpoint_every_steps, stage.num_steps
    with ending(tracker):
        train(
            state,
            batches,
            num_steps=num_steps,
            seed=config.seed,
            accelerator=accelerator,
            tracker=tracker,
            checkpoints=CheckpointCallback(checkpoints, every_steps=every_steps, num_steps=num_steps),
            max_grad_norm=stage.max_grad_norm,
            title=name,
        )
    ema.copy_to(state.trainable().values())
    objective.requires_grad_(False).eval()


def _lr_schedule(optimizer: torch.optim.Optimizer, stage: StageConfig, name: str) -> LambdaLR:
    """Warm-up, then cosine to zero, or constant with a linear decay to zero over the last steps.

    The second is warmup-stable-decay (Hu et al. 2024, arXiv:2404.06395). A finished run can be extended by a
    larger num_steps; with decay_share=0 until then, it equals a run that was that long from the start.
    Raises ValueError naming the key for a share outside 0 to 1, or a decay that would begin before the end of
    the warm-up.
    """
    if not 0.0 <= stage.decay_share <= 1.0:
        raise ValueError(f"{name}.decay_share={stage.decay_share}: accepted 0 to 1")
    num_steps, num_warmup_steps = stage.num_steps, stage.num_warmup_steps
    num_decay_steps = round(stage.decay_share * num_steps)
    if stage.lr_schedule is StageLrSchedule.cosine or num_decay_steps == 0:
        return lr_schedule(
            optimizer, stage.lr_schedule, num_steps=num_steps, num_warmup_steps=num_warmup_steps
        )
    num_stable_steps = num_steps - num_warmup_steps - num_decay_steps
    if num_stable_steps < 0:
        raise ValueError(
            f"{name}.num_warmup_steps={num_warmup_steps}: accepted up to {num_steps - num_decay_steps}, the "
            f"steps before the decay (num_steps={num_steps}, decay_share={stage.decay_share:g})"
        )
    schedule: LambdaLR = get_wsd_schedule(
        optimizer,
        num_warmup_steps=num_warmup_steps,
        num_stable_steps=num_stable_steps,
        num_decay_steps=num_decay_steps,
        decay_type="linear",
    )
    return schedule
