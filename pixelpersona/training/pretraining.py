"""The stages that train on photos: the autoencoder, then UNet and text encoder; and the feature network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import AutoencoderKL
from diffusers.training_utils import EMAModel
from numpy.typing import NDArray
from torch import Tensor, nn

from pixelpersona.data.pretraining import CaptionedLatentBatches, CropBatches
from pixelpersona.data.views import ViewBatches
from pixelpersona.models import tiny
from pixelpersona.models.base import BaseModel
from pixelpersona.models.codec import tokenize
from pixelpersona.models.persona_net import PersonaNet
from pixelpersona.tracking.tracker import Tracker
from pixelpersona.training.hooks import CheckpointHook
from pixelpersona.training.interrupt import ending
from pixelpersona.training.loop import train
from pixelpersona.training.objectives.autoencoder import AutoencoderObjective
from pixelpersona.training.objectives.diffusion import DiffusionObjective
from pixelpersona.training.objectives.features import FeaturesObjective
from pixelpersona.training.optim import ParameterGroup, adamw, group_parameters, lr_schedule
from pixelpersona.training.state import TrainState, resume_latest

# Plain caption, the style prompt alone, the style prompt with the person: one in ten has style words.
SPELLING_SHARES = (0.9, 0.06, 0.04)

OpenTracker = Callable[[Path, TrainState, bool], Tracker]
"""(a stage's folder, its state, whether that stands at a checkpoint) → its record, to go on from there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRun:
    """What every stage's training is told. folder: holds its checkpoints. lr: peak learning rate.

    open_tracker: asked once it is known which checkpoint was whole. precision: accelerate's word for it:
    "no", "fp16" or "bf16".
    """

    folder: Path
    open_tracker: OpenTracker
    num_steps: int
    batch_size: int
    lr: float
    checkpoint_every_steps: int
    precision: str
    seed: int


def train_autoencoder(
    vae: AutoencoderKL,
    photos: NDArray[np.uint8],
    run: StageRun,
    *,
    crop: int = 64,
    keep_encoder: bool = False,
) -> None:
    """Train in place on crops; continues from its checkpoints; ends with the EMA weights in `vae`.

    photos: uint8 [N, 128, 128, 3]. keep_encoder: train the decoder alone, for a UNet that knows the latents.
    """
    vae.to(memory_format=torch.channels_last)
    vae.requires_grad_(True)
    if keep_encoder:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    identity: dict[str, object] = {
        "stage": "autoencoder",
        "num_photos": len(photos),
        "keep_encoder": keep_encoder,
    }
    batches = CropBatches(photos, batch_size=run.batch_size, crop=crop, cell=tiny.CELL, seed=run.seed)
    objective = AutoencoderObjective(vae, cell=tiny.CELL)
    _train(objective, batches, run, num_warmup_steps=150, ema_decay=0.998, identity=identity)


def train_denoiser(
    base: BaseModel, latents: Tensor, captions: Sequence[tuple[str, str, str]], run: StageRun
) -> None:
    """Train UNet and text encoder in place on cached latents; ends with the EMA weights in `base`.

    latents: float [N, 6, 32, 32], mean 0 and deviation 1 per channel. captions: spellings of each photo.
    """
    unique = sorted({text for spellings in captions for text in spellings})
    ids = dict(zip(unique, tokenize(base, unique), strict=True))
    tokens = torch.stack([torch.stack([ids[text] for text in spellings]) for spellings in captions])
    batches = CaptionedLatentBatches(
        latents,
        tokens,
        tokenize(base, [""])[0],
        batch_size=run.batch_size,
        seed=run.seed,
        spelling_shares=SPELLING_SHARES,
    )
    base.unet.to(memory_format=torch.channels_last)
    base.unet.requires_grad_(True)
    base.text_encoder.requires_grad_(True)
    objective = DiffusionObjective(
        base.unet,
        base.noise_schedule,
        text_encoder=base.text_encoder,
        snr_gamma=5.0,
    )
    identity: dict[str, object] = {"stage": "unet", "num_photos": len(latents)}
    _train(objective, batches, run, num_warmup_steps=200, ema_decay=0.999, identity=identity)


def train_features(net: PersonaNet, batches: ViewBatches, run: StageRun) -> None:
    """Train the feature network in place on two views of each person; ends with the EMA weights in `net`.

    batches: of run.batch_size people, drawn by run.seed.
    """
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    net.requires_grad_(True)
    identity: dict[str, object] = {"stage": "features", "num_photos": len(batches.photos)}
    _train(FeaturesObjective(net), batches, run, num_warmup_steps=100, ema_decay=0.998, identity=identity)


def _train(
    objective: nn.Module,
    batches: CropBatches | CaptionedLatentBatches | ViewBatches,
    run: StageRun,
    *,
    num_warmup_steps: int,
    ema_decay: float,
    identity: dict[str, object],
) -> None:
    """AdamW with one group, cosine to zero after the warm-up, EMA with warm-up and at last in the weights."""
    groups = group_parameters(objective.named_parameters(), [ParameterGroup("all", "", run.lr, 1e-4)])
    optimizer = adamw(groups, beta2=0.99)
    ema = EMAModel(
        [p for p in objective.parameters() if p.requires_grad],
        decay=ema_decay,
        use_ema_warmup=True,
        power=0.75,
    )
    state = TrainState(
        objective=objective,
        optimizer=optimizer,
        lr_schedule=lr_schedule(
            optimizer, "cosine", num_steps=run.num_steps, num_warmup_steps=num_warmup_steps
        ),
        ema=ema,
        identity=identity | {"seed": run.seed, "batch": run.batch_size},
    )
    _train_tracked(state, batches, run)
    ema.copy_to(state.trainable().values())
    objective.requires_grad_(False).eval()


def _train_tracked(
    state: TrainState, batches: CropBatches | CaptionedLatentBatches | ViewBatches, run: StageRun
) -> None:
    """From the newest checkpoint that is whole, with the record as it was then."""
    checkpoints = run.folder / "checkpoints"
    resumed = resume_latest(state, checkpoints)
    tracker = run.open_tracker(run.folder, state, resumed)
    with ending(tracker):
        train(
            state,
            batches,
            num_steps=run.num_steps,
            seed=run.seed,
            accelerator=Accelerator(mixed_precision=run.precision),
            tracker=tracker,
            checkpoints=CheckpointHook(
                checkpoints, every_steps=run.checkpoint_every_steps, num_steps=run.num_steps
            ),
            title=run.folder.name,
        )
