"""A Weights & Biases run that never asks a question and never stands in the way of training."""

from __future__ import annotations

import atexit
import hashlib
import json
import netrc
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import wandb
from PIL import Image

from pixelpersona.tracking.directions import BETTER

Mode = Literal["online", "offline", "disabled", "auto"]
MODES: tuple[Mode, ...] = ("online", "offline", "disabled", "auto")
STEP_KEY = "train/step"
_STOP_TIMEOUT_S = 4.0
_FLUSH_S = 1
_EXIT_INTERRUPTED = 130


class WandbTracker:
    """One W&B run in folder/wandb.

    mode: "auto" is online when a key is configured (WANDB_API_KEY or netrc), else offline; WANDB_MODE in
    the environment decides before that. If W&B does not start online, auto goes on offline and says so once
    on stderr; "online" raises ValueError instead. There is never a prompt.
    run_id: of the run to continue, from its checkpoint; None for a new one. Offline, a continued run is
    a second folder with the same id, and `wandb sync` appends the folders in the order they were begun.
    Every row carries train/step, the x axis of all charts: W&B's own step cannot go back on a resume. The
    run's summary holds last and best value of every metric that has a better side (`BETTER`).
    finish_timeout_s: how long the end waits for uploads; then W&B names `wandb sync`, and the run has ended
    well. W&B itself would wait for ever for a server that went away. A run that a signal stopped has no such
    time, as whoever sent the signal will soon kill: see `finish`.
    code: a package's folder, kept with the run as an artifact of its .py and .yaml files.
    W&B collects no command line, paths or git remote: they may hold names and secrets of this machine.
    """

    def __init__(
        self,
        folder: Path,
        *,
        project: str,
        name: str | None = None,
        group: str | None = None,
        job_type: str | None = None,
        tags: Sequence[str] = (),
        config: Mapping[str, Any] | None = None,
        mode: Mode = "auto",
        run_id: str | None = None,
        code: Path | None = None,
        start_timeout_s: float = 30.0,
        finish_timeout_s: float = 300.0,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"mode={mode!r} is none of {', '.join(MODES)}")
        folder.mkdir(parents=True, exist_ok=True)
        arguments: dict[str, Any] = {
            "dir": folder,
            "project": project,
            "name": name,
            "group": group,
            "job_type": job_type,
            "tags": list(tags),
            "config": dict(config or {}),
            "id": run_id,
            "resume": None if run_id is None else "allow",
            # Jobs of a sweep share one process: each has its own run, finished on its own.
            "reinit": "create_new",
            "settings": _settings(start_timeout_s, finish_timeout_s),
        }
        earlier = 0 if run_id is None else _num_own_steps(folder, run_id)
        with _leaving_when_interrupted("W&B was still waiting for its server"):
            self._run = _start(arguments, mode)
            if code is not None:
                with _without_server("the package's code"):
                    self._run.log_code(str(code), artifact_name(f"{project}-code"), include_fn=_is_code)
        # Online the server says where a continued run stands; offline nobody does.
        self._own_step = earlier if earlier and self._run.offline else None
        self._run.define_metric(STEP_KEY)
        self._run.define_metric("*", step_metric=STEP_KEY)
        for name, better in BETTER.items():
            self._run.define_metric(name, step_metric=STEP_KEY, summary=f"{better},last")

    @property
    def run_id(self) -> str:
        return str(self._run.id)

    @property
    def url(self) -> str | None:
        """Where the run is seen; None when it is offline or disabled."""
        return None if self._run.offline or self._run.disabled else self._run.url

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self._log(dict(values), step)

    def rows_on_disk(self) -> int:
        """0: metrics.jsonl is the record. Rows that a resumed run repeats here repeat their train/step."""
        return 0

    def images(
        self, key: str, images: Sequence[Image.Image], step: int, captions: Sequence[str] = ()
    ) -> None:
        if captions and len(captions) != len(images):
            raise ValueError(f"{key}: {len(captions)} captions for {len(images)} images")
        shown = [
            wandb.Image(image, caption=captions[i] if captions else None) for i, image in enumerate(images)
        ]
        self._log({key: shown}, step)

    def table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[object]], step: int) -> None:
        data = [[wandb.Image(c) if isinstance(c, Image.Image) else c for c in row] for row in rows]
        self._log({key: wandb.Table(columns=list(columns), data=data)}, step)

    def summary(self, values: Mapping[str, object]) -> None:
        self._run.summary.update(dict(values))

    def artifact(self, name: str, kind: str, files: Sequence[Path], metadata: Mapping[str, object]) -> None:
        """Lineage travels as digests in the metadata: use_artifact does not work offline.

        Where the server has gone away, W&B keeps no artifact, and stderr says so.
        """
        artifact = wandb.Artifact(artifact_name(name), type=kind, metadata=dict(metadata))
        for file in files:
            artifact.add_file(str(file), name=file.name)
        with _without_server(name):
            self._run.log_artifact(artifact)

    def alert(self, title: str, text: str) -> None:
        self._run.alert(title=title, text=text, level="ERROR")

    def finish(self, exit_code: int = 0) -> None:
        """exit_code above 128, as of a process that a signal stopped: waits 4 s at most, and the process ends
        without W&B's own waiting. So it does after a Ctrl-C while it waits for uploads. What is not uploaded
        yet is on disk, and the message says so.
        """
        rest = f"`wandb sync --include-online {Path(self._run.dir).parent}` uploads the rest"
        with _leaving_when_interrupted(f"W&B did not take all of the run; {rest}"):
            if exit_code <= 128 or self.url is None:
                self._run.finish(exit_code=exit_code)
                return
            end = threading.Thread(target=self._run.finish, kwargs={"exit_code": exit_code}, daemon=True)
            end.start()
            end.join(_STOP_TIMEOUT_S)
        if end.is_alive():
            print(f"W&B did not take all of the run in time; {rest}", file=sys.stderr)
            atexit.register(_leave, exit_code)  # the last registered is the first to run

    def _log(self, row: dict[str, Any], step: int) -> None:
        own_step, self._own_step = self._own_step, None  # from there on W&B counts by itself
        self._run.log({**row, STEP_KEY: step}, step=own_step, commit=True)


@contextmanager
def _without_server(what: str) -> Iterator[None]:
    """An artifact asks the server before it is kept: a run is not to fail at its end because none answers."""
    try:
        yield
    except wandb.errors.CommError as error:
        print(f"W&B did not take {what}: {' '.join(str(error).split())}", file=sys.stderr)


@contextmanager
def _leaving_when_interrupted(told: str) -> Iterator[None]:
    """A Ctrl-C inside means the whole process, which would still wait for a server that does not answer."""
    try:
        yield
    except KeyboardInterrupt:
        print(told, file=sys.stderr)
        time.sleep(2 * _FLUSH_S)  # then what was logged is in the run's file
        atexit.register(_leave, _EXIT_INTERRUPTED)
        raise


def _leave(exit_code: int) -> None:
    """End the process here and now: W&B's own exit handler waits for uploads as long as a finish does."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def artifact_name(name: str) -> str:
    """A name W&B accepts: ASCII letters, digits, -_. and at most 128; one that is changed gets a digest."""
    accepted = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[:100]
    if accepted == name:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{accepted.strip('-') or 'run'}-{digest}"


def _is_code(path: str, root: str) -> bool:
    return path.endswith((".py", ".yaml"))


def has_key() -> bool:
    """Whether a W&B key is configured for the server in use: WANDB_API_KEY, or an entry in netrc."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    server = os.environ.get("WANDB_BASE_URL") or wandb.setup().settings.base_url
    hosts = {urlsplit(server).netloc}
    if server == wandb.Settings.model_fields["base_url"].default:
        hosts.add("api.wandb.ai")  # what the public server was called before it moved
    named = os.environ.get("NETRC")
    for path in [Path(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        try:
            entries = netrc.netrc(path)
        except (OSError, netrc.NetrcParseError):
            continue  # no file, not ours to read, or broken: then there is no key in it
        if any((found := entries.authenticators(host)) and found[2] for host in hosts):
            return True
    return False


def _num_own_steps(folder: Path, run_id: str) -> int:
    """One more than the last of W&B's own steps in the offline parts of a run; 0 when there are none.

    W&B takes rows of one run with the same own step for one row, so a part begins where the last one ended.
    Of a part that a kill tore, what can be read counts.
    """
    last = -1
    for part in (folder / "wandb").glob(f"offline-run-*-{run_id}"):
        command = [sys.executable, "-m", "wandb", "leet", "inspect", str(part), "--json"]
        out = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        for record in map(json.loads, out.stdout.splitlines()):
            if record["type"] == "history":
                last = max(last, record["history"]["item"]["_step"])
    return last + 1


def _settings(start_timeout_s: float, finish_timeout_s: float) -> wandb.Settings:
    chosen: dict[str, Any] = {
        "silent": True,
        "console": "off",  # the progress bar is not worth uploading, and capturing it costs time
        "init_timeout": start_timeout_s,
        "login_timeout": start_timeout_s,
        "finish_timeout": finish_timeout_s,
        "save_code": False,
        "disable_job_creation": True,
        "disable_git": True,  # of the folder it is started in, with the remote's address
        # Private: the command line and the program's path, which name files of this machine.
        "x_disable_meta": True,
        # Private: the offline file is flushed every 15 s, so a killed run loses that much; 1 s is enough.
        "x_transaction_log_flush_interval": _FLUSH_S,
    }
    known = wandb.Settings.model_fields  # private ones come and go, finish_timeout is young
    return wandb.Settings(**{k: v for k, v in chosen.items() if k in known})


def _start(arguments: dict[str, Any], mode: Mode) -> wandb.Run:
    wanted: str = mode
    if mode == "auto":
        wanted = os.environ.get("WANDB_MODE") or ("online" if has_key() else "offline")
    if wanted == "online" and not has_key():
        raise ValueError("mode=online needs a W&B key (WANDB_API_KEY or `wandb login`); or use mode=offline")
    try:
        return wandb.init(mode=wanted, **arguments)  # type: ignore[arg-type]
    except (wandb.Error, OSError) as error:
        reason = " ".join(str(error).split())
        if wanted != "online" or mode != "auto":
            raise ValueError(
                f"W&B did not start with mode={wanted}: {reason}; mode=offline needs no server"
            ) from None
    print(f"W&B did not start online, tracking offline (`wandb sync` uploads it): {reason}", file=sys.stderr)
    return wandb.init(mode="offline", **arguments)
