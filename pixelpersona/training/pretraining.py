"""The stages that train on photos: the autoencoder, then UNet and text encoder; and the feature network."""

from collections.abc import Sequence
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
from pixelpersona.training.loop import Hook, train
from pixelpersona.training.objectives.autoencoder import AutoencoderObjective
from pixelpersona.training.objectives.diffusion import DiffusionObjective
from pixelpersona.training.objectives.features import FeaturesObjective
from pixelpersona.training.optim import ParameterGroup, adamw, group_parameters, lr_schedule
from pixelpersona.training.state import TrainState, resume_latest

# Plain caption, the style prompt alone, the style prompt with the person: one in ten has style words.
SPELLING_SHARES = (0.9, 0.06, 0.04)


def new_state(
    objective: nn.Module,
    *,
    lr: float,
    num_steps: int,
    num_warmup_steps: int,
    ema_decay: float,
    identity: dict[str, object],
) -> TrainState:
    """AdamW with one group, cosine to zero after the warm-up, EMA with warm-up."""
    groups = group_parameters(objective.named_parameters(), [ParameterGroup("all", "", lr, 1e-4)])
    optimizer = adamw(groups, beta2=0.99)
    trained = [p for p in objective.parameters() if p.requires_grad]
    return TrainState(
        objective=objective,
        optimizer=optimizer,
        lr_schedule=lr_schedule(optimizer, "cosine", num_steps=num_steps, num_warmup_steps=num_warmup_steps),
        ema=EMAModel(trained, decay=ema_decay, use_ema_warmup=True, power=0.75),
        identity=identity,
    )


def train_autoencoder(
    vae: AutoencoderKL,
    photos: NDArray[np.uint8],
    *,
    folder: Path,
    tracker: Tracker,
    num_steps: int,
    batch_size: int = 16,
    crop: int = 64,
    lr: float = 1.2e-3,
    checkpoint_every_steps: int = 100,
    precision: str = "no",
    keep_encoder: bool = False,
    seed: int = 0,
    hooks: Sequence[Hook] = (),
) -> None:
    """Train in place on crops; continues from folder/checkpoints; ends with the EMA weights in `vae`.

    photos: uint8 [N, 128, 128, 3]. keep_encoder: train the decoder alone, for a UNet that knows the latents.
    """
    vae.to(memory_format=torch.channels_last)
    vae.requires_grad_(True)
    if keep_encoder:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    identity: dict[str, object] = {
        "stage": "autoencoder",
        "seed": seed,
        "num_photos": len(photos),
        "batch": batch_size,
        "keep_encoder": keep_encoder,
    }
    state = new_state(
        AutoencoderObjective(vae, cell=tiny.CELL),
        lr=lr,
        num_steps=num_steps,
        num_warmup_steps=150,
        ema_decay=0.998,
        identity=identity,
    )
    batches = CropBatches(photos, batch_size=batch_size, crop=crop, cell=tiny.CELL, seed=seed)
    _run(
        state,
        batches,
        folder=folder,
        tracker=tracker,
        num_steps=num_steps,
        checkpoint_every_steps=checkpoint_every_steps,
        precision=precision,
        seed=seed,
        hooks=hooks,
    )


def train_denoiser(
    base: BaseModel,
    latents: Tensor,
    captions: Sequence[tuple[str, str, str]],
    *,
    folder: Path,
    tracker: Tracker,
    num_steps: int,
    batch_size: int = 12,
    lr: float = 6e-4,
    checkpoint_every_steps: int = 100,
    precision: str = "no",
    seed: int = 0,
    hooks: Sequence[Hook] = (),
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
        batch_size=batch_size,
        seed=seed,
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
    identity: dict[str, object] = {
        "stage": "unet",
        "seed": seed,
        "num_photos": len(latents),
        "batch": batch_size,
    }
    state = new_state(
        objective, lr=lr, num_steps=num_steps, num_warmup_steps=200, ema_decay=0.999, identity=identity
    )
    _run(
        state,
        batches,
        folder=folder,
        tracker=tracker,
        num_steps=num_steps,
        checkpoint_every_steps=checkpoint_every_steps,
        precision=precision,
        seed=seed,
        hooks=hooks,
    )


def train_features(
    net: PersonaNet,
    batches: ViewBatches,
    *,
    folder: Path,
    tracker: Tracker,
    num_steps: int,
    lr: float = 2e-3,
    checkpoint_every_steps: int = 100,
    precision: str = "no",
    seed: int = 0,
    hooks: Sequence[Hook] = (),
) -> None:
    """Train the feature network in place on two views of each person; ends with the EMA weights in `net`."""
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    net.requires_grad_(True)
    identity: dict[str, object] = {
        "stage": "features",
        "seed": seed,
        "num_photos": len(batches.photos),
        "batch": batches.batch_size,
    }
    state = new_state(
        FeaturesObjective(net),
        lr=lr,
        num_steps=num_steps,
        num_warmup_steps=100,
        ema_decay=0.998,
        identity=identity,
    )
    _run(
        state,
        batches,
        folder=folder,
        tracker=tracker,
        num_steps=num_steps,
        checkpoint_every_steps=checkpoint_every_steps,
        precision=precision,
        seed=seed,
        hooks=hooks,
    )


def _run(
    state: TrainState,
    batches: CropBatches | CaptionedLatentBatches | ViewBatches,
    *,
    folder: Path,
    tracker: Tracker,
    num_steps: int,
    checkpoint_every_steps: int,
    precision: str,
    seed: int,
    hooks: Sequence[Hook],
) -> None:
    resume_latest(state, folder / "checkpoints")
    checkpoints = CheckpointHook(
        folder / "checkpoints", every_steps=checkpoint_every_steps, num_steps=num_steps
    )
    train(
        state,
        batches,
        num_steps=num_steps,
        seed=seed,
        accelerator=Accelerator(mixed_precision=precision),
        tracker=tracker,
        hooks=hooks,
        checkpoints=checkpoints,
        title=folder.name,
    )
    assert state.ema is not None
    state.ema.copy_to(state.trainable().values())
    state.objective.requires_grad_(False).eval()
