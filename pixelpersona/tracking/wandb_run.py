"""A Weights & Biases run that never prompts and never blocks training."""

import atexit
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import wandb
from PIL import Image

from pixelpersona.files import read_json, write_whole
from pixelpersona.terminal import say, warn
from pixelpersona.tracking.directions import best_key, is_better
from pixelpersona.tracking.wandb_start import FLUSH_S, start_wandb, use_writable_folders, wandb_settings

STEP_KEY = "train/step"
RUN_RECORD = Path("wandb", "run.json")  # in the run folder: id, project, entity and address of its W&B run
_STOP_TIMEOUT_S = 4.0
_EXIT_INTERRUPTED = 130


class WandbTracker:
    """One W&B run in folder/wandb.

    init: project, entity, name, group, job_type, tags, notes and config, as `wandb.init` has them; with None
    or [] W&B reads its environment variable (WANDB_ENTITY, WANDB_TAGS, ...).
    mode: "online", "offline", or "auto": online when a key is configured (WANDB_API_KEY or netrc), else
    offline; the environment variable WANDB_MODE takes precedence over auto. When W&B cannot start online,
    auto continues offline and reports it once on stderr; "online" raises ValueError. It never prompts.
    start_timeout_s: how long to wait for the server at the start. finish_timeout_s: how long to wait for
    uploads at the end; what is not uploaded by then can be uploaded with `wandb sync`, and the run still
    counts as successful. W&B itself waits without limit for a server that became unreachable. See `finish`
    for runs that were stopped by a signal.
    run_id: id of the run to continue, from its checkpoint; None for a new run. Offline, the continued run is
    a second folder with the same id, and `wandb sync` appends the folders in the order they were started.
    earlier: the rows of metrics.jsonl that the continued run keeps.
    code: folder whose .py and .yaml files are stored with the run as an artifact.

    Every row carries train/step, the x axis of all charts, because W&B's own step cannot go back on a
    resume. The summary holds the last value of every metric under its own key, and under best/<metric> the
    best one of those in `BETTER`; step 0, the base before training, does not count.
    Command line, host name, paths and git remote are not sent: they may contain names and secrets of this
    machine. The run's id, project and address are written to folder/wandb/run.json.
    """

    def __init__(
        self,
        folder: Path,
        *,
        mode: str,
        start_timeout_s: float,
        finish_timeout_s: float,
        run_id: str | None = None,
        earlier: Sequence[Mapping[str, float]] = (),
        code: Path | None = None,
        **init: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        use_writable_folders(folder / "wandb" / "home")
        self._settings = wandb_settings(start_timeout_s, finish_timeout_s)
        arguments = {key: value or None for key, value in init.items()} | {
            "dir": folder,
            "id": run_id,
            "resume": None if run_id is None else "allow",
            # The jobs of a sweep share one process, each with a run of its own.
            "reinit": "create_new",
            "settings": self._settings,
        }
        num_own_steps = 0 if run_id is None else _num_own_steps(folder, run_id)
        with _exit_without_waiting("W&B was still waiting for its server"):
            self._run = start_wandb(arguments, mode)
            if code is not None:
                name = artifact_name(f"{init['project']}-code")
                with _report_refusal("the package's code"):
                    self._run.log_code(str(code), name, include_fn=_is_code)
        # Online, the server knows the last step of a continued run; offline it is read from the files.
        self._own_step = num_own_steps if num_own_steps and self._run.offline else None
        # No summary=: with it W&B would write {"min": ..., "last": ...} in place of the number, and a sweep
        # reads numbers at the top level only (`SweepRun.metric_extremum` of the package sweeps).
        self._run.define_metric(STEP_KEY)
        self._run.define_metric("*", step_metric=STEP_KEY)
        self._best: dict[str, float] = {}
        if earlier:  # `wandb sync` replaces the summary of earlier parts by that of the last one
            last = {key: value for row in earlier for key, value in row.items() if key != "step"}
            for row in earlier:
                last |= self._improved(row, int(row["step"]))
            self._run.summary.update(last)
        if not self._run.disabled:
            self._write_record(folder / RUN_RECORD)
        if self.url is not None:
            say(f"W&B: {self.url}")

    @property
    def run_id(self) -> str:
        return str(self._run.id)

    @property
    def url(self) -> str | None:
        """Address of the run's page; None when the run is offline or disabled."""
        return None if self._run.offline or self._run.disabled else self._run.url

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self._log(dict(values), step)
        if improved := self._improved(values, step):
            self._run.summary.update(improved)

    def rows_on_disk(self) -> int:
        """0: a resumed run may record rows twice here, with the same train/step."""
        return 0

    def images(
        self, key: str, images: Sequence[Image.Image], step: int, captions: Sequence[str] = ()
    ) -> None:
        if captions and len(captions) != len(images):
            raise ValueError(f"{key}: {len(captions)} captions for {len(images)} images")
        with _report_refusal(key):
            shown = [wandb.Image(image, caption=text) for image, text in zip_longest(images, captions)]
            self._log({key: shown}, step)

    def table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[object]], step: int) -> None:
        with _report_refusal(key):
            data = [[wandb.Image(c) if isinstance(c, Image.Image) else c for c in row] for row in rows]
            self._log({key: wandb.Table(columns=list(columns), data=data)}, step)

    def summary(self, values: Mapping[str, object]) -> None:
        self._run.summary.update(dict(values))

    def add_result(self, folder: Path, values: Mapping[str, float]) -> None:
        """Online only: `wandb sync` replaces the summary of a run by that of the part that is synced last.

        Does nothing where `folder` has no W&B run. One that W&B does not know, such as an offline run before
        `wandb sync`, is reported on stderr.
        """
        file = folder / RUN_RECORD
        if self.url is None or not file.is_file():
            return
        try:
            record = read_json(file, dict)
            which = {key: record[key] for key in ("id", "project", "entity")}
        except (ValueError, KeyError, TypeError):
            warn(f"{file}: not readable, this W&B run does not get its results")
            return
        with _report_refusal(f"the results of {folder.name} for its summary"):
            judged = wandb.init(
                **which,
                dir=folder,
                resume="must",
                mode="online",
                reinit="create_new",
                settings=self._settings,
            )
            judged.summary.update(dict(values))
            judged.finish()

    def artifact(
        self,
        name: str,
        kind: str,
        files: Sequence[Path],
        metadata: Mapping[str, object],
        aliases: Sequence[str] = (),
    ) -> None:
        """Metadata carries the digests of the inputs because use_artifact does not work offline.

        When the server is unreachable or W&B's folders cannot be written, W&B keeps no artifact; stderr
        reports it.
        """
        with _report_refusal(name):
            artifact = wandb.Artifact(artifact_name(name), type=kind, metadata=dict(metadata))
            for file in files:
                artifact.add_file(str(file), name=file.name)
            self._run.log_artifact(artifact, aliases=list(aliases))

    def alert(self, title: str, text: str) -> None:
        self._run.alert(title=title, text=text, level="ERROR")

    def finish(self, exit_code: int = 0) -> None:
        """exit_code above 128 (stopped by a signal): wait at most 4 s, because the sender of the signal will
        soon kill the process, and skip W&B's own waiting at exit. A Ctrl-C while waiting for uploads has the
        same effect. Data that is not uploaded stays on disk, and a message names the command to upload it.
        """
        place = Path(self._run.dir).parent
        if self._run.offline and not self._run.disabled:
            say(f"W&B: recorded offline in {place}; with a key, `wandb sync {place}` uploads it")
        rest = f"`wandb sync --include-online {place}` uploads the rest"
        with _exit_without_waiting(f"W&B did not receive all of the run; {rest}"):
            if exit_code <= 128 or self.url is None:
                self._run.finish(exit_code=exit_code)
                return
            end = threading.Thread(target=self._run.finish, kwargs={"exit_code": exit_code}, daemon=True)
            end.start()
            end.join(_STOP_TIMEOUT_S)
        if end.is_alive():
            warn(f"W&B did not receive all of the run in time; {rest}")
            atexit.register(_exit_now, exit_code)  # the last registered runs first

    def _improved(self, values: Mapping[str, float], step: int) -> dict[str, float]:
        """best/<metric> → value of the metrics in `values` that are better than before."""
        better = {
            key: float(value)
            for key, value in values.items()
            if step > 0 and is_better(key, float(value), self._best.get(key))
        }
        self._best |= better
        return {best_key(key): value for key, value in better.items()}

    def _write_record(self, file: Path) -> None:
        run = self._run
        record = {"id": run.id, "project": run.project, "entity": run.entity or None, "url": self.url}
        write_whole(file, json.dumps(record, indent=1, ensure_ascii=False) + "\n")

    def _log(self, row: dict[str, Any], step: int) -> None:
        own_step, self._own_step = self._own_step, None  # after the first row W&B counts by itself
        self._run.log({**row, STEP_KEY: step}, step=own_step, commit=True)


@contextmanager
def _report_refusal(what: str) -> Iterator[None]:
    """Report on stderr what W&B refuses, and let the run go on: its record is metrics.jsonl.

    Artifacts need an answer from the server, and artifacts and media need a folder that can be written.
    """
    try:
        yield
    except (wandb.errors.Error, OSError) as error:
        warn(f"W&B did not accept {what}: {' '.join(str(error).split())}")


@contextmanager
def _exit_without_waiting(message: str) -> Iterator[None]:
    """After a Ctrl-C inside, the process exits without W&B's waiting for a server that does not answer."""
    try:
        yield
    except KeyboardInterrupt:
        warn(message)
        time.sleep(2 * FLUSH_S)  # until all logged rows are in the run's file
        atexit.register(_exit_now, _EXIT_INTERRUPTED)
        raise


def _exit_now(exit_code: int) -> None:
    """End the process before W&B's exit handler, which waits for uploads as long as `finish` does."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def artifact_name(name: str) -> str:
    """An artifact name that W&B accepts: ASCII letters, digits, "-_."; a changed name gets a digest."""
    accepted = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[:100]
    if accepted == name:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{accepted.strip('-') or 'run'}-{digest}"


def _is_code(path: str, root: str) -> bool:
    return path.endswith((".py", ".yaml"))


def _num_own_steps(folder: Path, run_id: str) -> int:
    """Number of W&B's own steps in the offline parts of a run; 0 when there are none.

    W&B merges rows of one run that have the same own step, so each part must start where the previous one
    ended. Of a part that was cut off by a kill, the readable rows count.
    """
    last = -1
    for part in (folder / "wandb").glob(f"offline-run-*-{run_id}"):
        command = [sys.executable, "-m", "wandb", "leet", "inspect", str(part), "--json"]
        out = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        for record in map(json.loads, out.stdout.splitlines()):
            if record["type"] == "history":
                last = max(last, record["history"]["item"]["_step"])
    return last + 1
