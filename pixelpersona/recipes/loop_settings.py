"""Checks of the settings of the training loop, and its number of steps."""

from pathlib import Path

from pixelpersona.config.loop import LoopConfig
from pixelpersona.evaluation.distribution import MIN_PICTURES

_AT_LEAST_ONE = (
    *("num_steps", "num_epochs", "batch_size", "num_best_kept", "num_checkpoints_kept"),
    *("log_every_steps", "validate_every_steps", "sample_every_steps", "checkpoint_every_steps"),
)


def check_loop(loop: LoopConfig) -> None:
    """Raises ValueError naming the key and the accepted values, before anything is loaded."""
    if loop.resume not in ("auto", "never") and not Path(loop.resume).is_dir():
        raise ValueError(
            f"loop.resume={loop.resume}: no such checkpoint; accepted auto, never, or its folder"
        )
    if loop.ema_decay is not None and not 0.0 < loop.ema_decay < 1.0:
        raise ValueError(f"loop.ema_decay={loop.ema_decay}: accepted null, or above 0 and below 1")
    measured = ["val/loss"]
    if loop.num_samples > 0:
        measured.append("eval/grid_contrast")
    if loop.num_samples >= MIN_PICTURES:
        measured += ["eval/kid_persona", "eval/fid_persona"]
    if loop.best_metric not in measured:
        raise ValueError(f"loop.best_metric={loop.best_metric}: accepted {', '.join(measured)}")
    for key, lowest in [*((key, 1) for key in _AT_LEAST_ONE), ("num_samples", 0)]:
        value = getattr(loop, key)
        if value is not None and value < lowest:
            raise ValueError(f"loop.{key}={value}: accepted {lowest} or more")


def count_steps(loop: LoopConfig, steps_per_epoch: int) -> int:
    """Optimizer steps of the whole run."""
    return loop.num_steps if loop.num_epochs is None else loop.num_epochs * steps_per_epoch
