"""What a training run is about to do, told before it starts."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pixelpersona.build.training import LoopConfig

if TYPE_CHECKING:
    from accelerate import Accelerator

    from pixelpersona.data.pairset import PairSet
    from pixelpersona.training.state import TrainState

_BYTES_TRAINED = 16  # per parameter, float32: the weight, its gradient, AdamW's two moments


def plan(
    title: str,
    folder: Path,
    pair_set: "PairSet",
    state: "TrainState",
    loop: LoopConfig,
    accelerator: "Accelerator",
    *,
    total_steps: int,
    steps_per_epoch: int,
) -> str:
    """Parameters and learning rate per group, memory, device, data, length, and where all of it goes."""
    groups = [
        (str(group["name"]), sum(p.numel() for p in group["params"]), float(group["initial_lr"]))
        for group in state.optimizer.param_groups
    ]
    num_trained = sum(size for _, size, _ in groups)
    num_frozen = sum(p.numel() for p in state.objective.parameters()) - num_trained
    precision = accelerator.mixed_precision if accelerator.mixed_precision != "no" else "fp32"
    processes = f", {accelerator.num_processes} processes" if accelerator.num_processes > 1 else ""
    kept = [f"the best {loop.num_best_kept} by {loop.best_metric} in best/"]
    if loop.ema_decay is not None:
        kept.append("a running mean in ema/")
    return "\n".join(
        [
            f"{title}, on {accelerator.device}{processes}, {precision}",
            f"trains {num_trained:,} of {num_trained + num_frozen:,} parameters, "
            f"{megabytes(_BYTES_TRAINED * num_trained)} with gradients and optimizer",
            *_table(groups),
            f"on {len(pair_set.pairs('train'))} pairs, {len(pair_set.pairs('heldout'))} held out "
            f"({pair_set.folder})",
            f"steps {state.step} to {total_steps} of batch {loop.batch_size}: "
            f"{total_steps / steps_per_epoch:.1f} passes over the pairs",
            f"into {folder}: a checkpoint every {loop.checkpoint_every_steps} steps, {', '.join(kept)}",
        ]
    )


def megabytes(num_bytes: float) -> str:
    return f"{num_bytes / 1e6:.1f} MB"


def _table(groups: Sequence[tuple[str, int, float]]) -> list[str]:
    """One line per group, in columns."""
    width = max(len(name) for name, _, _ in groups)
    return [f"  {name:<{width}}  {size:>13,}  lr {lr:g}" for name, size, lr in groups]
