"""The summary of a training run that is printed before it starts."""

from collections.abc import Sequence
from pathlib import Path

from accelerate import Accelerator

from pixelpersona.data.metadata import TRAIN, VAL
from pixelpersona.data.pairset import PairSet
from pixelpersona.training.checkpoints import TrainState

_BYTES_TRAINED = 16  # per parameter in float32: the weight, its gradient, AdamW's two moments


def plan(
    title: str,
    folder: Path,
    pair_set: PairSet,
    state: TrainState,
    accelerator: Accelerator,
    *,
    num_steps: int,
    steps_per_epoch: int,
    batch_size: int,
    kept: Sequence[str],
) -> list[str]:
    """Lines: parameters and learning rate per group, memory, device, data, length, what is written where.

    kept: what the run keeps in `folder`, in words.
    """
    groups = [
        (str(group["name"]), sum(p.numel() for p in group["params"]), float(group["initial_lr"]))
        for group in state.optimizer.param_groups
    ]
    num_trained = sum(size for _, size, _ in groups)
    num_parameters = sum(p.numel() for p in state.objective.parameters())
    precision = accelerator.mixed_precision if accelerator.mixed_precision != "no" else "fp32"
    processes = f", {accelerator.num_processes} processes" if accelerator.num_processes > 1 else ""
    sizes = pair_set.sizes()
    width = max(len(name) for name, _, _ in groups)
    return [
        f"{title}, on {accelerator.device}{processes}, {precision}",
        f"trains {num_trained:,} of {num_parameters:,} parameters, "
        f"{_BYTES_TRAINED * num_trained / 1e6:.1f} MB with gradients and optimizer",
        *(f"  {name:<{width}}  {size:>13,}  lr {lr:g}" for name, size, lr in groups),
        f"on {sizes[TRAIN]} train pairs, validated on {sizes[VAL]} val pairs ({pair_set.folder})",
        f"steps {state.step} to {num_steps} of batch {batch_size}: {num_steps / steps_per_epoch:.1f} epochs",
        f"into {folder}: {', '.join(kept)}",
    ]
