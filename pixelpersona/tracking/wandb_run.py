"""A Weights & Biases run that never prompts and never blocks training."""

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
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import wandb
from PIL import Image

from pixelpersona.terminal import warn
from pixelpersona.tracking.directions import BETTER

STEP_KEY = "train/step"
_STOP_TIMEOUT_S = 4.0
_FLUSH_S = 1
_EXIT_INTERRUPTED = 130


class WandbTracker:
    """One W&B run in folder/wandb.

    init: project, name, group, job_type, tags and config, as `wandb.init` has them.
    mode: "online", "offline", or "auto": online when a key is configured (WANDB_API_KEY or netrc), else
    offline; the environment variable WANDB_MODE takes precedence over auto. When W&B cannot start online,
    auto continues offline and reports it once on stderr; "online" raises ValueError. It never prompts.
    start_timeout_s: how long to wait for the server at the start. finish_timeout_s: how long to wait for
    uploads at the end; what is not uploaded by then can be uploaded with `wandb sync`, and the run still
    counts as successful. W&B itself waits without limit for a server that became unreachable. See `finish`
    for runs that were stopped by a signal.
    run_id: id of the run to continue, from its checkpoint; None for a new run. Offline, the continued run is
    a second folder with the same id, and `wandb sync` appends the folders in the order they were started.
    code: folder whose .py and .yaml files are stored with the run as an artifact.

    Every row carries train/step, the x axis of all charts, because W&B's own step cannot go back on a
    resume. The summary of the run holds last and best value of every metric in `BETTER`.
    Command line, paths and git remote are not sent: they may contain names and secrets of this machine.
    """

    def __init__(
        self,
        folder: Path,
        *,
        mode: str,
        start_timeout_s: float,
        finish_timeout_s: float,
        run_id: str | None = None,
        code: Path | None = None,
        **init: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        arguments = init | {
            "dir": folder,
            "id": run_id,
            "resume": None if run_id is None else "allow",
            # The jobs of a sweep share one process, each with a run of its own.
            "reinit": "create_new",
            "settings": _settings(start_timeout_s, finish_timeout_s),
        }
        earlier = 0 if run_id is None else _num_own_steps(folder, run_id)
        with _exit_without_waiting("W&B was still waiting for its server"):
            self._run = _start(arguments, mode)
            if code is not None:
                with _report_refusal("the package's code"):
                    name = artifact_name(f"{init['project']}-code")
                    self._run.log_code(str(code), name, include_fn=_is_code)
        # Online, the server knows the last step of a continued run; offline it is read from the files.
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
        """Address of the run's page; None when the run is offline or disabled."""
        return None if self._run.offline or self._run.disabled else self._run.url

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self._log(dict(values), step)

    def rows_on_disk(self) -> int:
        """0: a resumed run may record rows twice here, with the same train/step."""
        return 0

    def images(
        self, key: str, images: Sequence[Image.Image], step: int, captions: Sequence[str] = ()
    ) -> None:
        if captions and len(captions) != len(images):
            raise ValueError(f"{key}: {len(captions)} captions for {len(images)} images")
        shown = [wandb.Image(image, caption=text) for image, text in zip_longest(images, captions)]
        self._log({key: shown}, step)

    def table(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[object]], step: int) -> None:
        data = [[wandb.Image(c) if isinstance(c, Image.Image) else c for c in row] for row in rows]
        self._log({key: wandb.Table(columns=list(columns), data=data)}, step)

    def summary(self, values: Mapping[str, object]) -> None:
        self._run.summary.update(dict(values))

    def artifact(self, name: str, kind: str, files: Sequence[Path], metadata: Mapping[str, object]) -> None:
        """Metadata carries the digests of the inputs because use_artifact does not work offline.

        When the server is unreachable, W&B keeps no artifact; stderr reports it.
        """
        artifact = wandb.Artifact(artifact_name(name), type=kind, metadata=dict(metadata))
        for file in files:
            artifact.add_file(str(file), name=file.name)
        with _report_refusal(name):
            self._run.log_artifact(artifact)

    def alert(self, title: str, text: str) -> None:
        self._run.alert(title=title, text=text, level="ERROR")

    def finish(self, exit_code: int = 0) -> None:
        """exit_code above 128 (stopped by a signal): wait at most 4 s, because the sender of the signal will
        soon kill the process, and skip W&B's own waiting at exit. A Ctrl-C while waiting for uploads has the
        same effect. Data that is not uploaded stays on disk, and a message names the command to upload it.
        """
        rest = f"`wandb sync --include-online {Path(self._run.dir).parent}` uploads the rest"
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

    def _log(self, row: dict[str, Any], step: int) -> None:
        own_step, self._own_step = self._own_step, None  # after the first row W&B counts by itself
        self._run.log({**row, STEP_KEY: step}, step=own_step, commit=True)


@contextmanager
def _report_refusal(what: str) -> Iterator[None]:
    """Artifacts need an answer of the server; without one, report it instead of failing the run."""
    try:
        yield
    except wandb.errors.CommError as error:
        warn(f"W&B did not accept {what}: {' '.join(str(error).split())}")


@contextmanager
def _exit_without_waiting(message: str) -> Iterator[None]:
    """After a Ctrl-C inside, the process exits without W&B's waiting for a server that does not answer."""
    try:
        yield
    except KeyboardInterrupt:
        warn(message)
        time.sleep(2 * _FLUSH_S)  # until all logged rows are in the run's file
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


def has_key() -> bool:
    """Whether a W&B key is configured for the server in use: WANDB_API_KEY, or an entry in netrc."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    server = os.environ.get("WANDB_BASE_URL") or wandb.setup().settings.base_url
    is_public = server == wandb.Settings.model_fields["base_url"].default
    hosts = {urlsplit(server).netloc} | ({"api.wandb.ai"} if is_public else set())  # its former address
    named = os.environ.get("NETRC")
    for path in [Path(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        try:
            entries = netrc.netrc(path)
        except (OSError, netrc.NetrcParseError):
            continue  # missing, unreadable or broken
        if any((found := entries.authenticators(host)) and found[2] for host in hosts):
            return True
    return False


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


def _settings(start_timeout_s: float, finish_timeout_s: float) -> wandb.Settings:
    chosen: dict[str, Any] = {
        "silent": True,
        "console": "off",  # capturing the progress bar costs time
        "init_timeout": start_timeout_s,
        "login_timeout": start_timeout_s,
        "finish_timeout": finish_timeout_s,
        "save_code": False,
        "disable_job_creation": True,
        "disable_git": True,  # would record the remote of the current folder
        # Private setting: do not record command line and program path.
        "x_disable_meta": True,
        # Private setting: interval of flushing the offline file, which a killed run loses; default 15 s.
        "x_transaction_log_flush_interval": _FLUSH_S,
    }
    # Older versions have no finish_timeout, and private settings may be removed.
    known = wandb.Settings.model_fields
    return wandb.Settings(**{k: v for k, v in chosen.items() if k in known})


def _start(arguments: dict[str, Any], mode: str) -> wandb.Run:
    wanted: Any = mode
    if mode == "auto":
        wanted = os.environ.get("WANDB_MODE") or ("online" if has_key() else "offline")
    if wanted == "online" and not has_key():
        raise ValueError("mode=online needs a W&B key (WANDB_API_KEY or `wandb login`); or use mode=offline")
    try:
        return wandb.init(mode=wanted, **arguments)
    except (wandb.Error, OSError) as error:
        reason = " ".join(str(error).split())
        if wanted != "online" or mode != "auto":
            advice = "mode=offline needs no server"
            raise ValueError(f"W&B did not start with mode={wanted}: {reason}; {advice}") from None
    warn(f"W&B did not start online, tracking offline (`wandb sync` uploads it): {reason}")
    return wandb.init(mode="offline", **arguments)
