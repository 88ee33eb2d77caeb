"""`door`: the wrapper around every command's main. Composes the configuration, checks it, times the job.

    @door("train", TrainConfig)
    def main(config: TrainConfig) -> None: ...

    if __name__ == "__main__":
        main()

`main()` reads sys.argv, `main(["lora.rank=8"])` takes arguments, `main(["-m", "lora.rank=4,8"])` sweeps.
It returns on success and else raises SystemExit: 2 after one line on stderr for what a user can mend
(unknown keys, wrong types, missing files, broken photos, a full disk, any ValueError), 130 after Ctrl-C, 143
after a SIGTERM that training answered by saving. Everything else is a bug and keeps its traceback;
HYDRA_FULL_ERROR=1 shows the traceback of the first kind, too.

A schema may have two fields the door itself uses: `timing: Path | None` (the JSON file that collects the
seconds of each stage) and `name: str` (the run, when one command runs several times: the stage is then
`train lora-r4`). A job's seconds count from the start of the process, imports included; the second job of a
sweep counts from the end of the first.

A command whose job fills one folder says which (`run_folder`): each job of a sweep then has a name and folder
of its own (see sweep.py), all have one tracker group, and the sweep ends with a table over them. A job that
fails does not stop the others, in whatever process they run.
"""

import functools
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar, cast

from hydra._internal.utils import _run_hydra, get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pixelpersona.config import (
    as_typed,
    config_folder,
    drop_plus,
    explain,
    group_names,
    one_line,
    path_keys,
    quote_paths,
    register,
)
from pixelpersona.pixel.photo import PhotoError
from pixelpersona.sweep import Sweep, plan_sweep
from pixelpersona.training.interrupt import Interrupted
from pixelpersona.training.lock import alone_in
from pixelpersona.writing import refusal, write_whole

USER_ERRORS = (
    HydraException,
    OmegaConfBaseException,
    PhotoError,
    ValueError,
    FileNotFoundError,
    FileExistsError,
    NotADirectoryError,
    IsADirectoryError,
    PermissionError,
)
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


C = TypeVar("C")


class FailedJobError(Exception):
    """From a process of a sweep to the one that started it: a job failed, and has told why."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


def door(
    name: str,
    schema: type[C],
    *,
    folder: Path | None = None,
    run_folder: Callable[[C], Path] | None = None,
) -> Callable[[Callable[[C], None]], Callable[..., None]]:
    """Turn a function of a typed configuration into a command.

    name: of conf/<name>.yaml and of the stage in the timing file. schema: the root dataclass, first in
    conf/<name>.yaml's defaults list as `<name>_schema`. folder: another configuration folder (tests).
    run_folder: the one folder a job writes, for commands whose jobs have one.
    """

    def decorate(body: Callable[[C], None]) -> Callable[..., None]:
        @functools.wraps(body)
        def main(arguments: Sequence[str] | None = None) -> None:
            words = sys.argv[1:] if arguments is None else arguments
            code = _Door(name, schema, folder or config_folder(), body, run_folder).run(words)
            if code:
                raise SystemExit(code)

        del (
            main.__wrapped__
        )  # `main` takes words, not the body's configuration: inspect must not look through
        return main

    return decorate


def overrides(schema: type) -> list[str]:
    """What the running job was told on the command line, to be stored in its run folder.

    schema: the door's; file names are without the quotes the door puts around them.
    """
    return as_typed(_hydra_words(), path_keys(schema))


def command_line(verb: str, words: Sequence[str]) -> str:
    """What repeats a command in a shell, but for where its seconds go. words: as `overrides` gives them."""
    kept = [word for word in words if not word.startswith("timing=")]
    return shlex.join(["python", "-m", f"pixelpersona.{verb}", *kept])


def _hydra_words() -> list[str]:
    return [str(word) for word in HydraConfig.get().overrides.task]


def seconds_since_start() -> float:
    """Seconds since the process started (since the previous job's end in a sweep)."""
    return time.perf_counter() - _lap_start


class _Door:
    """One call of a command."""

    def __init__(
        self,
        name: str,
        schema: type[Any],
        folder: Path,
        body: Callable[[Any], None],
        run_folder: Callable[[Any], Path] | None,
    ) -> None:
        self.name = name
        self.schema = schema
        self.folder = folder.resolve()
        self.body = body
        self.run_folder = run_folder
        self.sweep: Sweep | None = None
        self.exit_code = 0
        self.process = os.getpid()
        self.wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"

    def run(self, words: Sequence[str]) -> int:
        register("", f"{self.name}_schema", self.schema)
        before = os.environ.get("HYDRA_FULL_ERROR")
        os.environ["HYDRA_FULL_ERROR"] = "1"  # let exceptions through: the door words them
        try:
            words = drop_plus(words, group_names(self.folder))
            self._compose_and_run(quote_paths(words, path_keys(self.schema)))
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            return EXIT_INTERRUPTED
        except Interrupted as stop:
            print(f"stopped by {stop}; the same command goes on from here", file=sys.stderr)
            return stop.exit_code
        except Exception as error:
            self._report(error)
        finally:
            if before is None:
                del os.environ["HYDRA_FULL_ERROR"]
            else:
                os.environ["HYDRA_FULL_ERROR"] = before
        return self.exit_code

    def _compose_and_run(self, words: list[str]) -> None:
        # hydra.main does these three steps too, but takes sys.argv only and answers a wrong flag with
        # argparse's page of usage.
        parser = get_args_parser()
        options, unknown = parser.parse_known_intermixed_args(words)
        if unknown:
            raise ValueError(f"{unknown[0]}: no such flag; settings are given as key=value (see --help)")
        if options.multirun and self.run_folder is not None:
            extra = None if options.config_dir is None else Path(options.config_dir)
            config_name = options.config_name or self.name
            self.sweep = plan_sweep(options.overrides, config_name, self.folder, self.run_folder, extra)
        with nullcontext() if self.sweep is None else self._alone_in(self.sweep):
            try:
                _run_hydra(
                    args=options,
                    args_parser=parser,
                    task_function=self._job,
                    config_path=str(self.folder),
                    config_name=self.name,
                )
            except FailedJobError as failed:
                self.exit_code = failed.exit_code
            self._end_sweep()

    def _alone_in(self, sweep: Sweep) -> AbstractContextManager[None]:
        """The same sweep twice at once would take turns at failing on each other's jobs."""
        return alone_in(self._table(sweep).with_suffix(""), "sweep") if _is_first_process() else nullcontext()

    def _table(self, sweep: Sweep) -> Path:
        return sweep.jobs[0].folder.parent / f"{sweep.group}.csv"

    def _job(self, tree: Any) -> None:
        """One job: of a sweep the next one runs although this one failed, as Hydra's launcher has it."""
        try:
            self._name(tree)
            config = OmegaConf.to_object(tree)
            if not isinstance(config, self.schema):
                raise TypeError(f"conf/{self.name}.yaml: defaults must begin with {self.name}_schema")
            self.body(config)
            _record_seconds(self.name, config)
        except Interrupted as stop:
            if os.getpid() == self.process:
                raise
            # A BaseException would break the pool of processes.
            raise FailedJobError(stop.exit_code) from None
        except Exception as error:
            self._report(error)
            if os.getpid() != self.process:  # this is a copy: the exit code is the original's
                raise FailedJobError(self.exit_code) from None
        finally:
            _start_lap()

    def _name(self, tree: Any) -> None:
        """In a sweep: the job's own name, and the group of all."""
        if self.run_folder is None or HydraConfig.get().mode is not RunMode.MULTIRUN:
            return
        if self.sweep is None:
            raise ValueError("hydra.mode=MULTIRUN: a sweep is asked for by -m on the command line")
        tree.name = self.sweep.job(_hydra_words()).name
        if "tracker" in tree and tree.tracker.group is None:
            tree.tracker.group = self.sweep.group

    def _end_sweep(self) -> None:
        """The table over its jobs, printed and kept; by the first process only, where there are several."""
        if self.sweep is not None and _is_first_process():
            from pixelpersona.reporting.sweep import report_sweep

            rows = [(job.name, job.folder, job.swept) for job in self.sweep.jobs]
            print(report_sweep(rows, self._table(self.sweep)))

    def _report(self, error: Exception) -> None:
        """Tell what a user can mend in one line; raise a bug again."""
        line = self._told(error)
        if line is None or self.wants_traceback:
            raise error
        self.exit_code = self.exit_code or EXIT_USER_ERROR
        print(line, file=sys.stderr)

    def _told(self, error: Exception) -> str | None:
        if isinstance(error, HydraException | OmegaConfBaseException):
            return explain(error, self.schema, self.folder)
        if isinstance(error, USER_ERRORS):
            return one_line(error)
        # A write that nobody words: Hydra's own files, a library's.
        reason = refusal(error)
        if reason is None:
            return None
        file = getattr(error, "filename", None)
        return f"cannot be written: {reason}" if file is None else f"{file}: cannot be written ({reason})"


def _is_first_process() -> bool:
    """Of those that torchrun started; alone otherwise."""
    return os.environ.get("RANK", "0") == "0"


# --- seconds per stage ----------------------------------------------------------------------------


def _process_age() -> float:
    """Seconds since this process started; 0 where /proc does not tell (macOS, Windows)."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)
    except (OSError, AttributeError):
        return 0.0


_lap_start = time.perf_counter() - _process_age()


def _start_lap() -> None:
    global _lap_start
    _lap_start = time.perf_counter()


def _record_seconds(stage: str, config: object) -> None:
    """Set this stage's seconds in the timing file, where the configuration names one."""
    file = getattr(config, "timing", None)
    if file is None:
        return
    name = getattr(config, "name", None)
    if name and name != stage:
        stage = f"{stage} {name}"
    file = Path(file)
    stages = cast(dict[str, float], json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}
    stages[stage] = round(seconds_since_start(), 2)
    write_whole(file, json.dumps(stages, indent=2) + "\n")
