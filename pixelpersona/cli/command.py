"""`command`: turns a function of a typed configuration into a command.

    @command("train", TrainConfig)
    def main(config: TrainConfig) -> None: ...

    if __name__ == "__main__":
        main()

`main()` reads sys.argv, `main(["lora.rank=8"])` takes arguments, `main(["-m", "lora.rank=4,8"])` sweeps.
It returns on success and raises SystemExit otherwise, with one of these exit codes:

    2    an error that the user can fix, explained in one line on stderr: unknown keys, wrong types, missing
         files, broken photos, a full disk, any ValueError. HYDRA_FULL_ERROR=1 shows the traceback instead.
    130  Ctrl-C.
    143  SIGTERM, after training has saved a checkpoint.

All other errors are bugs and keep their traceback.

Every schema derives from `config.command.CommandConfig`, whose keys `name` and `timing` are used here.

With `next_steps`, a command that has succeeded ends with the commands to type next (see next_steps.py).

With `run_folder`, each job of a sweep has its own name and folder (see sweeps.py), all jobs share a tracker
group, and a table of them is printed at the end. A failing job does not stop the others.
"""

import functools
import io
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from pixelpersona.cli.errors import describe
from pixelpersona.cli.flags import parse_flags, to_argv
from pixelpersona.cli.help import print_help
from pixelpersona.cli.next_steps import NextStep, show_steps
from pixelpersona.cli.overrides import (
    command_line,
    drop_plus,
    hydra_overrides,
    overrides,
    quote,
    refuse_unsupported,
)
from pixelpersona.cli.schemas import (
    HYDRA_VERSION,
    ConfigSource,
    config_folder,
    register,
    schema_keys,
    to_config,
)
from pixelpersona.cli.sweeps import (
    Sweep,
    SweepJob,
    plan_sweep,
    require_distinct_outputs,
    require_distinct_runs,
    require_no_sweep,
)
from pixelpersona.cli.timing_file import check_timing, record_seconds, restart_clock
from pixelpersona.config.command import CommandConfig
from pixelpersona.reporting.sweep_table import report_sweep
from pixelpersona.runs.locks import exclusive
from pixelpersona.terminal import drop_output, flush_output, say, warn
from pixelpersona.training.interrupt import Interrupted

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130

C = TypeVar("C", bound=CommandConfig)


class FailedJobError(Exception):
    """Tells the process that started a sweep that a job in another process has failed and reported why."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


def command(
    name: str,
    schema: type[C],
    *,
    folder: Path | None = None,
    run_folder: Callable[[C], Path] | None = None,
    next_steps: Callable[[C], list[NextStep]] | None = None,
) -> Callable[[Callable[[C], bool | None]], Callable[..., None]]:
    """Decorate the main function of a command. It may return False when there was nothing to do.

    name: of conf/<name>.yaml, and of the stage in the timing file.
    schema: the root dataclass, the first entry `<name>_schema` of conf/<name>.yaml's defaults list.
    folder: another configuration folder, for tests.
    run_folder: maps a configuration to the folder that the job writes, for commands that can be swept.
    next_steps: what to do when a job with this configuration has finished.
    """

    def decorate(body: Callable[[C], bool | None]) -> Callable[..., None]:
        @functools.wraps(body)
        def main(arguments: Sequence[str] | None = None) -> None:
            words = sys.argv[1:] if arguments is None else arguments
            place = (folder or config_folder()).resolve()
            code = _Command(name, schema, place, body, run_folder, next_steps).run(words)
            if code:
                raise SystemExit(code)

        del main.__wrapped__  # the signature is that of `main`, not that of the body
        return main

    return decorate


@dataclass
class _Command:
    """One call of a command."""

    name: str
    schema: type[Any]
    folder: Path
    body: Callable[[Any], bool | None]
    run_folder: Callable[[Any], Path] | None
    next_steps: Callable[[Any], list[NextStep]] | None
    sweep: Sweep | None = None
    exit_code: int = 0
    finished: bool = False
    argv: list[str] = field(default_factory=lambda: sys.argv)
    process: int = field(default_factory=os.getpid)
    full_error: str = field(default_factory=lambda: os.environ.get("HYDRA_FULL_ERROR", "0"))

    def run(self, words: Sequence[str]) -> int:
        """Run the command; return its exit code."""
        register(self.name, self.schema)
        _escape_unprintable()
        os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors instead of printing them
        try:
            self._run(words)
        except KeyboardInterrupt:
            warn("stopped")
            return EXIT_INTERRUPTED
        except Interrupted as stop:
            warn(f"stopped by {stop}; the same command continues from here")
            return stop.exit_code
        except BrokenPipeError:  # from a table or the help, after the work is done
            drop_output()
        except Exception as error:
            self._report(error)
        finally:
            os.environ["HYDRA_FULL_ERROR"] = self.full_error
            flush_output()
        return self.exit_code

    def _run(self, words: Sequence[str]) -> None:
        flags, settings = parse_flags(words)
        extra = Path(flags.config_dir) if flags.config_dir else None
        if extra is not None and not extra.is_dir():
            raise ValueError(f"--config-dir={extra}: no such folder")
        source = ConfigSource(flags.config_name or self.name, self.folder, extra)
        keys = schema_keys(self.schema)
        settings = quote(drop_plus(settings), keys)
        refuse_unsupported(settings)
        if flags.help:
            print_help(self.name, self.schema, settings, source)
            return
        if flags.multirun and (flags.cfg or flags.info):
            raise ValueError("-m: not accepted with --cfg or --info, which run nothing")
        if flags.multirun:
            require_distinct_runs(settings, source)
        if flags.multirun and self.run_folder is not None:
            self.sweep = plan_sweep(settings, source, self.run_folder)
        elif flags.multirun and "out" in keys:
            require_distinct_outputs(settings, source)
        arguments = [*to_argv(flags), *settings]
        is_main = os.environ.get("RANK", "0") == "0"  # set by torchrun
        if self.sweep is None or not is_main:
            self._hydra_main(arguments)
            if is_main and self.finished and not flags.multirun:
                self._show_next(settings, source)
            return
        place = self.sweep.jobs[0].folder.parent / self.sweep.group
        # A second run of the same sweep at the same time would fail on the jobs of this one.
        with exclusive(place, "sweep"):
            self._hydra_main(arguments)
            rows = [(job.name, job.folder, job.swept) for job in self.sweep.jobs]
            print(report_sweep(rows, place.with_name(f"{place.name}.csv")))
        if not self.exit_code:
            first = self.sweep.jobs[0]
            self._show_next(first.overrides, source, first)

    def _show_next(self, words: Sequence[str], source: ConfigSource, job: SweepJob | None = None) -> None:
        """Print what to type after the job with these overrides, or after the sweep whose first job it is."""
        if self.next_steps is None:
            return
        tree = source.compose(words)
        if job is not None:
            tree.name = job.name
        steps = self.next_steps(to_config(tree))
        say(*show_steps(steps, tree, source, [] if job is None else job.swept))

    def _hydra_main(self, arguments: Sequence[str]) -> None:
        """Let Hydra compose the configuration and run the job, or the jobs of a sweep."""
        main = hydra.main(str(self.folder), self.name, version_base=HYDRA_VERSION)(self._job)
        sys.argv = [self.argv[0], *arguments]  # hydra.main accepts arguments in no other way
        try:
            main()
        except FailedJobError as failed:
            self.exit_code = failed.exit_code
        finally:
            sys.argv = self.argv

    def _job(self, tree: DictConfig) -> None:
        """Run one job. User errors are printed and not raised, so that Hydra starts the sweep's next job."""
        sys.argv = self.argv  # as typed: W&B records it
        _escape_unprintable()  # a parallel job has a stdout of its own
        try:
            self._name_job(tree)
            config = to_config(tree)
            if not isinstance(config, self.schema):
                raise TypeError(f"conf/{self.name}.yaml: defaults must begin with {self.name}_schema")
            check_timing(config)
            if self.body(config) is not False:  # else the seconds of the earlier call stay in the timing file
                record_seconds(self.name, config)
            self.finished = True
        except Interrupted as stop:
            if os.getpid() == self.process:
                raise
            # A BaseException would break the process pool.
            raise FailedJobError(stop.exit_code) from None
        except Exception as error:
            self._report(error)
            if os.getpid() != self.process:  # `self` is a copy: pass the exit code on to the original
                raise FailedJobError(self.exit_code) from None
        finally:
            restart_clock()

    def _name_job(self, tree: DictConfig) -> None:
        """In a sweep, set the job's name and tracker group; else WANDB_NAME names a run without a name.

        Raises ValueError for a sweep without -m.
        """
        if self.sweep is not None:
            tree.name = self.sweep.job(hydra_overrides()).name
            if "tracker" in tree and tree.tracker.group is None:
                tree.tracker.group = self.sweep.group
            return
        if self.run_folder is not None:
            typed = overrides(self.name, self.schema)
            require_no_sweep(hydra_overrides(), command_line(self.name, ["-m", *typed]))
        is_named = any(word.startswith("name=") for word in hydra_overrides())
        is_single = HydraConfig.get().mode is RunMode.RUN
        if "tracker" in tree and tree.tracker.name is None and is_single and not is_named:
            tree.tracker.name = os.environ.get("WANDB_NAME")

    def _report(self, error: Exception) -> None:
        """Print a user error in one line and set the exit code; raise a bug again."""
        line = describe(error, self.schema, self.folder)
        if line is None or self.full_error == "1":
            raise error
        self.exit_code = self.exit_code or EXIT_USER_ERROR
        warn(line)


def _escape_unprintable() -> None:
    """Write `\\ud55c` for a character that the encoding of stdout lacks, as stderr does, and do not fail."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
