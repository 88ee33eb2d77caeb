"""`method`, `optimizer`, `lr_schedule`, `loss`, `loop`: what is trained and how."""

import os
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from torch import nn

    from pixelpersona.training.state import TrainState


class MethodKind(Enum):
    lora = "lora"
    translator = "translator"


@dataclass(kw_only=True, slots=True)
class MethodConfig:
    """run_name: name of the run folder unless `name` is given. lr, num_steps, batch_size: what suits the
    method, taken over by optimizer.lr and loop. widths: the translator's channels per level.
    """

    kind: MethodKind = MethodKind.lora
    run_name: str = "lora"
    lr: float = 1e-4
    num_steps: int = 300
    batch_size: int = 8
    widths: list[int] = field(default_factory=lambda: [64, 96, 128])


@dataclass(kw_only=True, slots=True)
class GroupConfig:
    """pattern: regular expression found in the names of its parameters.

    lr_scale: its learning rate is optimizer.lr times this. weight_decay: null for optimizer.weight_decay.
    """

    pattern: str = ""
    lr_scale: float = 1.0
    weight_decay: float | None = None


class OptimizerKind(Enum):
    adamw = "adamw"
    sgd = "sgd"
    prodigy = "prodigy"


@dataclass(kw_only=True, slots=True)
class OptimizerConfig:
    """groups: name → parameters with their own learning rate; every parameter falls into exactly one.

    beta1, beta2, eps: of adamw and prodigy. momentum: of sgd. growth_rate: of prodigy, null for no limit.
    """

    kind: OptimizerKind = OptimizerKind.adamw
    lr: float = 1e-4
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    momentum: float = 0.9
    growth_rate: float | None = None
    groups: dict[str, GroupConfig] = field(default_factory=dict)


@dataclass(kw_only=True, slots=True)
class LrScheduleConfig:
    """kind: constant, cosine or linear. num_warmup_steps: steps of linear rise before it."""

    kind: str = "cosine"
    num_warmup_steps: int = 0


@dataclass(kw_only=True, slots=True)
class LossConfig:
    """kind: mse or huber (the translator also takes l1). huber_delta: error from which huber is linear.

    snr_gamma: null, or 5 for min-SNR weights. max_timestep: noise levels drawn below it. start_strength: 0,
    or the strength of img2img whose path from photo to art is learnt; it sets max_timestep, too.
    photo_probability: share of the samples that walk this path; the others learn plain noise.
    timestep_power: above 1, low noise is drawn more often: 2 draws 71 % below the middle.
    noise_offset: deviation of a shift per picture and channel added to the noise, 0 for none.
    caption_dropout: share of samples with an empty caption.
    """

    kind: str = "mse"
    huber_delta: float = 1.0
    snr_gamma: float | None = None
    max_timestep: int = 1000
    start_strength: float = 0.0
    photo_probability: float = 1.0
    timestep_power: float = 1.0
    noise_offset: float = 0.0
    caption_dropout: float = 0.0


FEWEST_FOR_DISTANCE = 4  # samples; KID and FID of fewer are not defined


class Precision(Enum):
    fp32 = "no"
    fp16 = "fp16"
    bf16 = "bf16"


@dataclass(kw_only=True, slots=True)
class LoopConfig:
    """num_epochs: null, or passes over the pairs in place of num_steps.

    resume: auto (continue the run folder's newest checkpoint), never (start anew), or a checkpoint's folder.
    ema_decay: null, or the decay of a running mean of the weights, written to ema/ beside the last ones.
    best_metric: of those logged, the one that decides which weights are kept in best/; the num_best_kept with
    the lowest value, or the highest with best_is_highest.
    num_samples: held-out photos drawn at every sampling; 0 for none.
    batch_size: samples per optimizer step, over all processes. gradient_accumulation_steps: passes that each
    process takes for its share, one after the other, to need less memory; what is learned stays the same.
    """

    num_steps: int = 300
    num_epochs: int | None = None
    batch_size: int = 8
    gradient_accumulation_steps: int = 1
    precision: Precision = Precision.fp32
    max_grad_norm: float = 1.0
    seed: int = 0
    resume: str = field(default="auto", metadata={"path": True})
    ema_decay: float | None = None
    best_metric: str = "val/loss"
    best_is_highest: bool = False
    num_best_kept: int = 1
    log_every_steps: int = 10
    validate_every_steps: int = 100
    sample_every_steps: int = 100
    checkpoint_every_steps: int = 100
    num_checkpoints_kept: int = 2
    num_samples: int = 8


def check_loop(loop: LoopConfig) -> None:
    """What can be told before anything is loaded. Raises ValueError naming the key and what is accepted."""
    if loop.resume not in ("auto", "never") and not Path(loop.resume).is_dir():
        raise ValueError(
            f"loop.resume={loop.resume}: no such checkpoint; accepted auto, never, or its folder"
        )
    if loop.ema_decay is not None and not 0.0 < loop.ema_decay < 1.0:
        raise ValueError(f"loop.ema_decay={loop.ema_decay}: accepted null, or above 0 and below 1")
    measured = ["val/loss"]
    if loop.num_samples > 0:
        measured.append("eval/grid_contrast")
    if loop.num_samples >= FEWEST_FOR_DISTANCE:
        measured += ["eval/kid_persona", "eval/fid_persona"]
    if loop.best_metric not in measured:
        raise ValueError(f"loop.best_metric={loop.best_metric}: accepted {', '.join(measured)}")
    if loop.num_best_kept < 1:
        raise ValueError(f"loop.num_best_kept={loop.num_best_kept}: accepted 1 or more")


def make_accelerator(loop: LoopConfig) -> "Accelerator":
    """Device, precision and processes of one job.

    Raises ValueError naming the keys when a batch does not split into equal parts, or when torchrun started
    processes that would not know of each other.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    passes = loop.gradient_accumulation_steps
    if passes < 1:
        raise ValueError(f"loop.gradient_accumulation_steps={passes}: accepted 1 or more")
    AcceleratorState._reset_state()  # a sweep's job before this one may have had another precision
    accelerator = Accelerator(mixed_precision=loop.precision.value, gradient_accumulation_steps=passes)
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if accelerator.num_processes != started:
        raise ValueError(
            f"torchrun started {started} processes, accelerate found {accelerator.num_processes}; "
            "without a GPU set ACCELERATE_USE_CPU=1"
        )
    num_parts = accelerator.num_processes * passes
    if loop.batch_size % num_parts:
        raise ValueError(
            f"loop.batch_size={loop.batch_size}: accepted multiples of {num_parts} ({started} processes, "
            f"loop.gradient_accumulation_steps={passes})"
        )
    return accelerator


def num_steps(loop: LoopConfig, steps_per_epoch: int) -> int:
    """Optimizer steps of the whole run. Raises ValueError when there would be none."""
    steps = loop.num_steps if loop.num_epochs is None else loop.num_epochs * steps_per_epoch
    if steps < 1 or loop.batch_size < 1:
        raise ValueError(f"loop.num_steps={steps}, loop.batch_size={loop.batch_size}: accepted 1 or more")
    return steps


def make_state(
    objective: "nn.Module",
    optimizer: OptimizerConfig,
    schedule: LrScheduleConfig,
    total_steps: int,
    identity: dict[str, object],
    ema_decay: float | None = None,
) -> "TrainState":
    """Optimizer with its named groups, learning-rate schedule and, with a decay, EMA; at step 0."""
    from diffusers.training_utils import EMAModel

    from pixelpersona.training.optim import ParameterGroup, group_parameters, lr_schedule
    from pixelpersona.training.state import TrainState

    groups = [
        ParameterGroup(
            name,
            group.pattern,
            optimizer.lr * group.lr_scale,
            optimizer.weight_decay if group.weight_decay is None else group.weight_decay,
        )
        for name, group in optimizer.groups.items()
    ]
    trained = [p for p in objective.parameters() if p.requires_grad]
    built = _make_optimizer(optimizer, group_parameters(objective.named_parameters(), groups))
    return TrainState(
        objective=objective,
        optimizer=built,
        lr_schedule=lr_schedule(
            built, schedule.kind, num_steps=total_steps, num_warmup_steps=schedule.num_warmup_steps
        ),
        ema=None
        if ema_decay is None
        else EMAModel(trained, decay=ema_decay, use_ema_warmup=True, power=0.75),
        identity=identity,
    )


def _make_optimizer(optimizer: OptimizerConfig, groups: "list[dict[str, object]]") -> "torch.optim.Optimizer":
    from pixelpersona.training import optim

    match optimizer.kind:
        case OptimizerKind.adamw:
            return optim.adamw(groups, beta1=optimizer.beta1, beta2=optimizer.beta2, eps=optimizer.eps)
        case OptimizerKind.sgd:
            return optim.sgd(groups, momentum=optimizer.momentum)
        case OptimizerKind.prodigy:
            return optim.prodigy(
                groups,
                beta1=optimizer.beta1,
                beta2=optimizer.beta2,
                eps=optimizer.eps,
                growth_rate=float("inf") if optimizer.growth_rate is None else optimizer.growth_rate,
            )
