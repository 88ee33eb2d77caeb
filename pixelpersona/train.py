"""`python -m pixelpersona.train lora.rank=8`: fine-tune on pixel-art pairs, tracked and resumable."""

import json
import logging
import os
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pixelpersona.build.data import AugmentConfig, DatasetConfig, PathsConfig, make_pairs
from pixelpersona.build.inference import SamplerConfig
from pixelpersona.build.models import LoraConfig, ModelConfig, base_stamp
from pixelpersona.build.tracking import TrackerConfig, log_dataset, make_tracker
from pixelpersona.build.training import (
    LoopConfig,
    LossConfig,
    LrScheduleConfig,
    MethodConfig,
    MethodKind,
    OptimizerConfig,
    check_loop,
    make_accelerator,
    make_state,
    num_steps,
)
from pixelpersona.door import command_line, door, overrides
from pixelpersona.pixel.pixelation import Pixelation

if TYPE_CHECKING:
    from accelerate import Accelerator

    from pixelpersona.build.jobs import Job
    from pixelpersona.data.pairset import PairSet
    from pixelpersona.tracking.tracker import Tracker
    from pixelpersona.training.state import TrainState

# Beside the job's own: what is learned, and what its samples are drawn by and so the numbers in eval/ mean.
# How often something is measured changes no number: intervals may be others after a stop.
_RECIPE = ("optimizer.", "lr_schedule.", "loss.", "loop.max_grad_norm", "loop.ema_decay")
_MEASURED = ("sampler.", "loop.num_samples")


@dataclass(kw_only=True, slots=True)
class TrainConfig:
    """Everything a training run is. name: run folder under paths.runs. timing: file for seconds per stage."""

    name: str = "lora"
    timing: Path | None = None
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    pixelate: Pixelation = field(default_factory=Pixelation)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    method: MethodConfig = field(default_factory=MethodConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    lr_schedule: LrScheduleConfig = field(default_factory=LrScheduleConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)


def run_folder(config: TrainConfig) -> Path:
    """All that a run writes, caches aside."""
    return config.paths.runs / config.name


@dataclass(frozen=True, slots=True)
class _Run:
    """One run in the making. made_of: name → digest of what its weights descend from."""

    config: TrainConfig
    folder: Path
    pair_set: "PairSet"
    job: "Job"
    total_steps: int
    made_of: dict[str, object]
    accelerator: "Accelerator"


@door("train", TrainConfig, run_folder=run_folder)
def main(config: TrainConfig) -> None:
    """Prepare what is missing, train, keep the weights. A finished run of the same settings is left alone.

    Of several processes the first alone writes: what it prepares, the others then find.
    """
    from pixelpersona.build.finished import is_finished
    from pixelpersona.training.lock import alone_in
    from pixelpersona.writing import writing_into

    check_loop(config.loop)
    folder = run_folder(config)
    accelerator = make_accelerator(config.loop)
    with accelerator.main_process_first():
        pair_set = make_pairs(config.dataset, config.pixelate, config.augment, config.model, config.paths)
        made_of: dict[str, object] = {"pairs": pair_set.sha256, "base": base_stamp(config.model)}
        finished = config.loop.resume == "auto" and is_finished(folder, config, made_of)
    if finished:
        if accelerator.is_main_process:
            print(f"{config.name}: finished already, nothing to do ({folder})")
        return
    alone = alone_in(folder) if accelerator.is_main_process else nullcontext()
    with alone, writing_into(folder, "the checkpoints there are as they were"):
        with accelerator.main_process_first():
            job = _make_job(config, pair_set)
            total_steps = num_steps(config.loop, job.steps_per_epoch)
            run = _Run(config, folder, pair_set, job, total_steps, made_of, accelerator)
            state, tracker = _begin(run)
        _train_and_keep(run, state, tracker)


def _train_and_keep(run: _Run, state: "TrainState", tracker: "Tracker") -> None:
    """A signal outside of the loop stops at once: what comes before and after it can be done again."""
    from pixelpersona.training.interrupt import StopRequest, ending

    with ending(tracker), StopRequest().listening() as stop, stop.giving_up():
        log_dataset(tracker, run.pair_set)
        _train(run, state, tracker)
        if run.accelerator.is_main_process:
            _keep(run, state, tracker)


def _make_job(config: TrainConfig, pair_set: "PairSet") -> "Job":
    from pixelpersona.build.jobs import make_lora_job, make_translator_job

    match config.method.kind:
        case MethodKind.lora:
            return make_lora_job(
                config.model,
                config.lora,
                config.loss,
                config.loop,
                config.sampler,
                config.paths,
                pair_set,
                mirror=config.dataset.mirror,
            )
        case MethodKind.translator:
            return make_translator_job(
                config.model,
                config.method,
                config.loss,
                config.loop,
                pair_set,
                mirror=config.dataset.mirror,
            )


def _identity(run: _Run) -> dict[str, object]:
    """What a checkpoint must have been made with to be continued by this run."""
    from pixelpersona.build.finished import settings

    config = run.config
    recipe = {k: v for k, v in settings(config).items() if k.startswith(_RECIPE + _MEASURED)}
    return (
        run.job.identity
        | recipe
        | {
            "pairs": run.pair_set.sha256,
            "mirror": config.dataset.mirror,
            "seed": config.loop.seed,
            "batch_size": config.loop.batch_size,
            "num_steps": run.total_steps,
        }
    )


def _begin(run: _Run) -> tuple["TrainState", "Tracker"]:
    """State at step 0 or at the newest checkpoint, the run folder's record, and its tracker."""
    from pixelpersona.build.finished import mark_begun
    from pixelpersona.build.record import git_state, public_config, versions, write_record
    from pixelpersona.tracking.tracker import NoTracker
    from pixelpersona.training.state import resume_from

    config, folder, identity = run.config, run.folder, _identity(run)
    state = make_state(
        run.job.objective,
        config.optimizer,
        config.lr_schedule,
        run.total_steps,
        identity,
        config.loop.ema_decay,
    )
    resumed = resume_from(state, config.loop.resume, folder / "checkpoints")
    if not run.accelerator.is_main_process:
        return state, NoTracker()
    mark_begun(folder)
    data = {"pairs": run.pair_set.sha256, "base": run.job.base.sha256}
    write_record(folder, config, overrides(TrainConfig), data)
    tracker = make_tracker(
        config.tracker,
        folder,
        name=config.name,
        job_type="train",
        config=public_config(config) | identity | {"versions": versions(), "git": git_state()},
        run_id=state.tracker_id or None,
        resume_step=state.step if resumed else None,
        resume_rows=state.num_rows if resumed else None,
    )
    state.tracker_id = tracker.run_id
    return state, tracker


def _train(run: _Run, state: "TrainState", tracker: "Tracker") -> None:
    from pixelpersona.build.hooks import make_checkpoints, make_hooks
    from pixelpersona.build.plan import plan
    from pixelpersona.training.loop import train

    config, loop, is_main = run.config, run.config.loop, run.accelerator.is_main_process
    if is_main:
        title = f"{config.name}: {config.method.kind.value} on {config.model.name}"
        sizes = {"total_steps": run.total_steps, "steps_per_epoch": run.job.steps_per_epoch}
        print(plan(title, run.folder, run.pair_set, state, loop, run.accelerator, **sizes))
        checkpoints = make_checkpoints(loop, run.folder, run.total_steps)
        hooks = make_hooks(
            loop, run.job, run.pair_set, run.folder, tracker, num_steps=run.total_steps, start=state.step
        )
    started, first_step = time.perf_counter(), state.step
    train(
        state,
        run.job.batches,
        num_steps=run.total_steps,
        seed=loop.seed,
        accelerator=run.accelerator,
        tracker=tracker,
        hooks=hooks if is_main else [],
        checkpoints=checkpoints if is_main else None,
        max_grad_norm=loop.max_grad_norm,
        log_every_steps=loop.log_every_steps,
        title=config.name,
    )
    if is_main:
        seconds, steps = time.perf_counter() - started, state.step - first_step
        _log_speed(run.folder, seconds, steps, loop.batch_size, run.accelerator.num_processes)


def _keep(run: _Run, state: "TrainState", tracker: "Tracker") -> None:
    """What was learned, as files; after the last of them the run counts as finished."""
    from pixelpersona.build.finished import mark_finished

    config, folder, job = run.config, run.folder, run.job
    weights = job.save(folder)
    if config.method.kind is MethodKind.lora:
        _write_card(config, folder, run.total_steps)
    if state.ema is not None:
        _save_average(state, job, folder / "ema")
    tracker.summary({"steps": state.step} | _best(config.loop.best_metric, state))
    lineage = {"dataset": run.pair_set.folder.name, "steps": state.step}
    tracker.artifact(config.name, "model", [weights], dict(state.identity) | lineage)
    mark_finished(folder, config, run.made_of, [weights])
    print(f"wrote {weights}")


def _best(metric: str, state: "TrainState") -> dict[str, object]:
    """Empty when the metric was never a number."""
    return {f"best/{metric}": state.best[0][0], "best/step": state.best[0][1]} if state.best else {}


def _save_average(state: "TrainState", job: "Job", folder: Path) -> None:
    """The running mean of the weights, beside the last ones, which stay in the model."""
    assert state.ema is not None
    parameters = list(state.trainable().values())
    state.ema.store(parameters)
    state.ema.copy_to(parameters)
    job.save(folder)
    state.ema.restore(parameters)


def _write_card(config: TrainConfig, folder: Path, total_steps: int) -> None:
    """README.md beside the LoRA, as Hugging Face reads it."""
    from pixelpersona.build.card import card_info
    from pixelpersona.build.record import public_config
    from pixelpersona.reporting.card import write_card

    plain = public_config(config) | {"model": asdict(config.model)}
    command = command_line("train", overrides(TrainConfig))
    write_card(folder, card_info(plain, title=config.name, steps=total_steps, commands=[command]))


def _log_speed(
    folder: Path, seconds: float, num_steps_taken: int, batch_size: int, num_processes: int
) -> None:
    """Speeds differ from run to run, so they have a file of their own beside metrics.jsonl."""
    row = {
        "seconds": round(seconds, 3),
        "steps": num_steps_taken,
        "images_per_s": round(num_steps_taken * batch_size / seconds, 3),
        "num_cores": os.cpu_count(),
        "num_processes": num_processes,
    }
    with (folder / "timings.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    main()
