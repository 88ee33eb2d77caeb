"""The steps that all training recipes share: start, state, record, callbacks, loop, end."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import nn

from pixelpersona.config.train import TrainConfig
from pixelpersona.data.loader import LatentBatches, PairBatches
from pixelpersona.data.pairset import PairSet
from pixelpersona.data.training_photos import write_training_photos
from pixelpersona.files import writing_into
from pixelpersona.recipes.loop_settings import check_loop
from pixelpersona.recipes.model import base_stamp
from pixelpersona.recipes.preparation import training_pairs
from pixelpersona.runs.finished import is_finished, mark_finished, mark_unfinished, settings
from pixelpersona.runs.locks import exclusive
from pixelpersona.runs.names import named_folder
from pixelpersona.runs.records import (
    append_speed,
    git_state,
    plain_config,
    public_config,
    versions,
    write_record,
)
from pixelpersona.terminal import say
from pixelpersona.tracking.environment import check_environment
from pixelpersona.tracking.opening import open_tracker
from pixelpersona.tracking.tracker import NoTracker, Tracker
from pixelpersona.training.accelerator import make_accelerator
from pixelpersona.training.callbacks import (
    BestCallback,
    CheckpointCallback,
    PaceCallback,
    SampleCallback,
    ValidationCallback,
    log_baseline,
)
from pixelpersona.training.checkpoints import TrainState, resume_from, set_aside
from pixelpersona.training.dataset_artifact import log_dataset
from pixelpersona.training.interrupt import StopRequest, ending
from pixelpersona.training.loop import Callback, train
from pixelpersona.training.optimizers import ParameterGroup, group_parameters, lr_schedule, make_optimizer
from pixelpersona.training.plan import plan
from pixelpersona.training.samples import Samples

# A checkpoint is continued only with the same training and sampling settings, because the scores of a run are
# compared. Intervals may change: how often something is measured changes no number.
_IDENTITY = (
    "optimizer.",
    "lr_schedule.",
    "loss.",
    "loop.max_grad_norm",
    "loop.ema_decay",
    "sampler.",
    "loop.num_samples",
)


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """A run that is about to be trained. inputs: name → digest of what its weights are made from."""

    config: TrainConfig
    overrides: Sequence[str]
    folder: Path
    accelerator: Accelerator
    pair_set: PairSet
    inputs: dict[str, object]

    @property
    def is_main(self) -> bool:
        """Whether this process is rank 0, the only one that writes."""
        return bool(self.accelerator.is_main_process)


@contextmanager
def start_run(config: TrainConfig, overrides: Sequence[str]) -> Iterator[TrainingRun | None]:
    """Prepare the pairs and hold the run folder while the context is open; None when the run is finished.

    overrides: the command line's settings, as typed. Raises ValueError when settings are not accepted, when
    the folder holds a finished run with other settings, or when another process is writing it.
    """
    check_loop(config.loop)
    check_environment(config.tracker.mode.value)
    folder = named_folder(config.paths.runs, config.name)
    accelerator = make_accelerator(
        config.loop.precision.value,
        batch_size=config.loop.batch_size,
        gradient_accumulation_steps=config.loop.gradient_accumulation_steps,
    )
    with accelerator.main_process_first():  # rank 0 prepares, the others then read
        pair_set = training_pairs(config, is_main=accelerator.is_main_process)
        inputs: dict[str, object] = {"pairs": pair_set.sha256, "base": base_stamp(config.model)}
        finished = config.loop.resume == "auto" and is_finished(folder, config, inputs)
    run = TrainingRun(config, overrides, folder, accelerator, pair_set, inputs)
    if finished:
        if run.is_main:
            say(f"{config.name}: already finished, nothing to do ({folder})")
        yield None
        return
    lock = exclusive(folder) if run.is_main else nullcontext()
    with lock, writing_into(folder, "its checkpoints are unchanged"):
        yield run


def make_state(
    run: TrainingRun, objective: nn.Module, num_steps: int, identity: dict[str, object]
) -> TrainState:
    """Optimizer with its parameter groups, learning-rate schedule and EMA, at step 0.

    identity: what a checkpoint must have been made with to be continued, besides the common settings.
    """
    config, loop = run.config, run.config.loop
    objective.to(run.accelerator.device)  # before its parameters are copied for the moving average
    options = asdict(config.optimizer)
    groups = [
        ParameterGroup(
            name,
            group.pattern,
            config.optimizer.lr * group.lr_scale,
            config.optimizer.weight_decay if group.weight_decay is None else group.weight_decay,
        )
        for name, group in config.optimizer.groups.items()
    ]
    optimizer = make_optimizer(
        config.optimizer.kind,
        group_parameters(objective.named_parameters(), groups),
        **{key: options[key] for key in ("beta1", "beta2", "eps", "momentum", "growth_rate")},
    )
    trained = [p for p in objective.parameters() if p.requires_grad]
    ema = None
    if loop.ema_decay is not None:
        ema = EMAModel(trained, decay=loop.ema_decay, use_ema_warmup=True, power=0.75)
    common = {key: value for key, value in settings(config).items() if key.startswith(_IDENTITY)}
    common |= {
        "pairs": run.pair_set.sha256,
        "mirror": config.dataset.mirror,
        "seed": loop.seed,
        "batch_size": loop.batch_size,
        "num_steps": num_steps,
    }
    return TrainState(
        objective=objective,
        optimizer=optimizer,
        lr_schedule=lr_schedule(optimizer, num_steps=num_steps, **asdict(config.lr_schedule)),
        ema=ema,
        scaler=run.accelerator.scaler,
        identity=identity | common,
    )


def resume_and_record(run: TrainingRun, state: TrainState, base_sha256: str) -> Tracker:
    """Load the checkpoint that `loop.resume` asks for; write the run's record; open its tracker."""
    config = run.config
    resume = config.loop.resume
    resumed = resume_from(state, resume, run.folder / "checkpoints", is_main=run.is_main)
    if not run.is_main:
        return NoTracker()
    if resume not in ("auto", "never"):
        set_aside(run.folder / "best", state.step + 1)
    mark_unfinished(run.folder)
    data = {"pairs": run.pair_set.sha256, "base": base_sha256}
    write_record(run.folder, config, run.overrides, data)
    write_training_photos(run.folder, run.pair_set)
    tracker = open_tracker(
        run.folder,
        run_name=config.name,
        job_type="train",
        # Nested: W&B shows it as lora.rank, and its charts and filters address it as lora.value.rank. The
        # dotted lora.rank that a sweep searches over is set by W&B itself, in the runs of the sweep.
        config=public_config(config) | {"data": data, "versions": versions(), "git": git_state()},
        run_id=state.tracker_id or None,
        resume_step=state.step if resumed else None,
        resume_rows=state.num_rows if resumed else None,
        **plain_config(config.tracker),
    )
    state.tracker_id = tracker.run_id
    return tracker


def train_and_finish(
    run: TrainingRun,
    state: TrainState,
    tracker: Tracker,
    batches: LatentBatches | PairBatches,
    *,
    num_steps: int,
    validate: Callable[[], float],
    samples: Samples | None,
    save: Callable[[Path], Path],
    untouched: Callable[[], AbstractContextManager[None]] | None = None,
    describe: Callable[[Path], None] | None = None,
) -> None:
    """Run the loop with its callbacks, save the last weights and their moving average, mark the run finished.

    validate: the validation loss of the current weights. samples: None for none. save: writes the current
    weights into a folder and returns the file. untouched: while its context is open, `validate` measures the
    base as it was before training; None where the method has no such base. describe: writes what belongs
    beside the last weights.
    A signal outside the loop stops the run at once: what comes before and after the loop can be repeated.
    """
    config, loop = run.config, run.config.loop
    callbacks: list[Callback] = []
    checkpoints = None
    with ending(tracker), StopRequest().listening() as stop, stop.giving_up():
        if run.is_main:
            log_dataset(tracker, run.pair_set)
            _print_plan(run, state, num_steps=num_steps, steps_per_epoch=len(batches))
            # num_rows: a run that was stopped before its first step has the row already.
            if untouched is not None and state.step == 0 and state.num_rows is None:
                state.objective.eval()
                with untouched():
                    log_baseline(tracker, validate, samples)
            callbacks = _callbacks(run, state, tracker, num_steps, validate, samples, save)
            checkpoints = CheckpointCallback(
                run.folder / "checkpoints",
                every_steps=loop.checkpoint_every_steps,
                num_steps=num_steps,
                num_kept=loop.num_checkpoints_kept,
            )
        first_step = state.step
        seconds = train(
            state,
            batches,
            num_steps=num_steps,
            seed=loop.seed,
            accelerator=run.accelerator,
            tracker=tracker,
            callbacks=callbacks,
            checkpoints=checkpoints,
            max_grad_norm=loop.max_grad_norm,
            log_every_steps=loop.log_every_steps,
            title=config.name,
        )
        if run.is_main:
            if state.step > first_step:
                append_speed(
                    run.folder,
                    seconds=seconds,
                    num_steps=state.step - first_step,
                    batch_size=loop.batch_size,
                    num_processes=run.accelerator.num_processes,
                )
            _finish(run, state, tracker, save, describe)


def _print_plan(run: TrainingRun, state: TrainState, *, num_steps: int, steps_per_epoch: int) -> None:
    config, loop = run.config, run.config.loop
    kept = [
        f"a checkpoint every {loop.checkpoint_every_steps} steps",
        f"the best {loop.num_best_kept} by {loop.best_metric} in best/",
    ]
    if state.ema is not None:
        kept.append("the moving average in ema/")
    lines = plan(
        f"{config.name}: {config.method.kind} on {config.model.name}",
        run.folder,
        run.pair_set,
        state,
        run.accelerator,
        num_steps=num_steps,
        steps_per_epoch=steps_per_epoch,
        batch_size=loop.batch_size,
        kept=kept,
    )
    say(*lines)


def _callbacks(
    run: TrainingRun,
    state: TrainState,
    tracker: Tracker,
    num_steps: int,
    validate: Callable[[], float],
    samples: Samples | None,
    save: Callable[[Path], Path],
) -> list[Callback]:
    """In this order: validation, samples, the best weights by what both measured, and the pace."""
    loop = run.config.loop
    callbacks: list[Callback] = [
        ValidationCallback(validate, tracker, every_steps=loop.validate_every_steps, num_steps=num_steps)
    ]
    if samples is not None:
        callbacks.append(
            SampleCallback(samples, tracker, every_steps=loop.sample_every_steps, num_steps=num_steps)
        )
    best = BestCallback(
        run.folder / "best",
        save,
        metric=loop.best_metric,
        higher_is_better=loop.best_is_highest,
        num_kept=loop.num_best_kept,
    )
    return [*callbacks, best, PaceCallback(num_steps=num_steps, start=state.step)]


def _finish(
    run: TrainingRun,
    state: TrainState,
    tracker: Tracker,
    save: Callable[[Path], Path],
    describe: Callable[[Path], None] | None,
) -> None:
    weights = save(run.folder)
    if describe is not None:
        describe(run.folder)
    if state.ema is not None:
        parameters = list(state.trainable().values())
        state.ema.store(parameters)
        state.ema.copy_to(parameters)
        save(run.folder / "ema")
        state.ema.restore(parameters)
    summary: dict[str, object] = {"steps": state.step}
    metadata = dict(state.identity) | {"dataset": run.pair_set.folder.name, "steps": state.step}
    aliases = []
    if state.best:
        value, step = state.best[0]
        summary |= {f"best/{run.config.loop.best_metric}": value, "best/step": step}
        kept = run.folder / "best" / f"step-{step:06d}" / weights.name
        if step == state.step:
            aliases = ["best"]
        elif kept.is_file():  # recorded first: W&B calls the version that comes last "latest"
            tracker.artifact(run.config.name, "model", [kept], metadata | {"steps": step}, ["best"])
    tracker.summary(summary)
    tracker.artifact(run.config.name, "model", [weights], metadata, aliases)
    mark_finished(run.folder, run.config, run.inputs, [weights])
    say(f"wrote {weights}")
