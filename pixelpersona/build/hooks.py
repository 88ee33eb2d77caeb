"""What a training run does between its steps, from its settings."""

from pathlib import Path
from typing import TYPE_CHECKING

from pixelpersona.build.jobs import Job
from pixelpersona.build.training import LoopConfig

if TYPE_CHECKING:
    from pixelpersona.data.pairset import PairSet
    from pixelpersona.tracking.tracker import Tracker
    from pixelpersona.training.hooks import CheckpointHook
    from pixelpersona.training.loop import Hook


def make_hooks(
    loop: LoopConfig,
    job: Job,
    pair_set: "PairSet",
    folder: Path,
    tracker: "Tracker",
    *,
    num_steps: int,
    start: int,
) -> "list[Hook]":
    """In their order: validation, samples, the best weights by what both measured, and the pace.

    num_steps: of the whole run. start: the step it begins at now.
    """
    from pixelpersona.build.samples import Samples
    from pixelpersona.training.hooks import BestHook, PaceHook, SampleHook, ValidationHook

    hooks: list[Hook] = [
        ValidationHook(job.validate, tracker, every_steps=loop.validate_every_steps, num_steps=num_steps)
    ]
    if loop.num_samples:
        samples = Samples(job, pair_set, loop.num_samples)
        hooks.append(SampleHook(samples, tracker, every_steps=loop.sample_every_steps, num_steps=num_steps))
    best = BestHook(
        folder / "best",
        job.save,
        metric=loop.best_metric,
        higher_is_better=loop.best_is_highest,
        num_kept=loop.num_best_kept,
    )
    return [*hooks, best, PaceHook(num_steps=num_steps, start=start)]


def make_checkpoints(loop: LoopConfig, folder: Path, num_steps: int) -> "CheckpointHook":
    """Saves below a run's folder, apart from the hooks because it comes after all of them."""
    from pixelpersona.training.hooks import CheckpointHook

    return CheckpointHook(
        folder / "checkpoints",
        every_steps=loop.checkpoint_every_steps,
        num_steps=num_steps,
        num_kept=loop.num_checkpoints_kept,
    )
