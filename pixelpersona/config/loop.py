"""Schema of the group `loop`."""

from dataclasses import dataclass, field
from enum import Enum

from pixelpersona.config.field_kinds import PATH, SEED


class Precision(Enum):
    """Arithmetic of the forward pass; trained weights stay in float32. Values: as accelerate names them."""

    fp32 = "no"
    fp16 = "fp16"
    bf16 = "bf16"


@dataclass(kw_only=True, slots=True)
class LoopConfig:
    """Length of the training, and what happens how often.

    num_steps: optimizer steps of the whole run.
    num_epochs: null, or passes over the pairs in place of num_steps.
    batch_size: samples per optimizer step, over all processes.
    gradient_accumulation_steps: forward passes that share a batch, to need less memory.
    latent_crop: null, or the side of the random square of each sample's latents that a LoRA is trained on, in
        latent cells.
    precision: fp32, fp16 or bf16.
    max_grad_norm: gradients are clipped to this norm.
    seed: random seed of weights, order and noise, 0 to 4294967295.
    resume: auto (from the newest checkpoint of the run folder), never (start anew), or a checkpoint folder.
    ema_decay: null, or the decay of an exponential moving average of the weights, written to ema/.
    best_metric: logged metric that decides which weights are kept in best/.
    best_is_highest: whether a higher best_metric is better.
    num_best_kept: number of weights kept in best/.
    log_every_steps: interval of the losses in metrics.jsonl.
    validate_every_steps: interval of the validation loss.
    sample_every_steps: interval of the samples and their metrics.
    checkpoint_every_steps: interval of the checkpoints.
    num_checkpoints_kept: newest checkpoints kept.
    num_samples: val photos drawn at every sampling; 0 for none.
    """

    num_steps: int
    num_epochs: int | None
    batch_size: int
    gradient_accumulation_steps: int
    latent_crop: int | None
    precision: Precision
    max_grad_norm: float
    seed: int = field(metadata=SEED)
    resume: str = field(metadata=PATH)
    ema_decay: float | None
    best_metric: str
    best_is_highest: bool
    num_best_kept: int
    log_every_steps: int
    validate_every_steps: int
    sample_every_steps: int
    checkpoint_every_steps: int
    num_checkpoints_kept: int
    num_samples: int
