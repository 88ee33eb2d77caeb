"""Starting W&B: its key, its settings and its folders."""

import netrc
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import wandb
from pydantic import ValidationError

from pixelpersona.terminal import warn

FLUSH_S = 1  # a killed run loses at most this


def has_key() -> bool:
    """Whether a W&B key is configured for the server in use: WANDB_API_KEY, or an entry in netrc."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    server = os.environ.get("WANDB_BASE_URL") or wandb.setup().settings.base_url
    is_public = server == wandb.Settings.model_fields["base_url"].default
    hosts = {urlsplit(server).netloc} | ({"api.wandb.ai"} if is_public else set())  # its former address
    named = os.environ.get("NETRC")
    for path in [named] if named else map(os.path.expanduser, ("~/.netrc", "~/_netrc")):
        try:
            entries = netrc.netrc(path)
        except (OSError, netrc.NetrcParseError):
            continue  # missing, unreadable or broken, or there is no home
        if any((found := entries.authenticators(host)) and found[2] for host in hosts):
            return True
    return False


def wandb_settings(start_timeout_s: float, finish_timeout_s: float) -> wandb.Settings:
    """Settings of every run: no output, limited waiting, nothing that identifies the machine."""
    chosen: dict[str, Any] = {
        "silent": True,
        "console": "off",  # capturing the progress bar costs time
        "init_timeout": start_timeout_s,
        "login_timeout": start_timeout_s,
        "finish_timeout": finish_timeout_s,
        "save_code": False,
        "disable_job_creation": True,
        "disable_git": True,  # would record the remote of the current folder
        "host": "",  # None would be filled in with the host name
        # Private setting: do not record command line and program path.
        "x_disable_meta": True,
        # Private setting: interval of flushing the offline file, which a killed run loses; default 15 s.
        "x_transaction_log_flush_interval": FLUSH_S,
    }
    # Older versions have no finish_timeout, and private settings may be removed.
    known = wandb.Settings.model_fields
    return wandb.Settings(**{k: v for k, v in chosen.items() if k in known})


def use_writable_folders(replacement: Path) -> None:
    """Move W&B's data and cache folders below `replacement` where they cannot be written.

    The data folder holds the files of artifacts until they are uploaded, the cache folder W&B's log; without
    them W&B refuses artifacts and prints its log on the terminal. Without a home W&B does not start, so
    `replacement` becomes the process's HOME. One line on stderr names what was moved.
    """
    moved = []
    if not os.path.isabs(os.path.expanduser("~")):
        os.environ["HOME"] = str(replacement)
        moved.append("HOME")
    for name, find in (
        (wandb.env.DATA_DIR, wandb.env.get_data_dir),
        (wandb.env.CACHE_DIR, wandb.env.get_cache_dir),
    ):
        if not _is_writable(Path(find())):
            os.environ[name] = str(replacement / name.removeprefix("WANDB_").removesuffix("_DIR").lower())
            moved.append(name)
    if moved:
        warn(f"W&B's own folders cannot be written; {replacement} is used instead ({', '.join(moved)})")


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def start_wandb(arguments: dict[str, Any], mode: str) -> wandb.Run:
    """`wandb.init` with these arguments, never with a prompt. mode: see `WandbTracker`.

    Raises ValueError when W&B does not start, and naming a setting or variable that it does not accept.
    """
    wanted: Any = mode
    with _refuse_settings():
        if mode == "auto":
            wanted = os.environ.get("WANDB_MODE") or ("online" if has_key() else "offline")
        if wanted == "online" and not has_key():
            raise ValueError(
                "mode=online needs a W&B key (WANDB_API_KEY or `wandb login`); or use mode=offline"
            )
        try:
            return wandb.init(mode=wanted, **arguments)
        except wandb.errors.UsageError:
            raise
        except (wandb.Error, OSError) as error:
            reason = " ".join(str(error).split())
        if wanted != "online" or mode != "auto":
            raise ValueError(f"W&B did not start with mode={wanted}: {reason}; mode=offline needs no server")
        warn(f"W&B did not start online, tracking offline (`wandb sync` uploads it): {reason}")
        return wandb.init(mode="offline", **arguments)


@contextmanager
def _refuse_settings() -> Iterator[None]:
    """Turn W&B's refusal of a setting into a ValueError that names it, or its environment variable."""
    try:
        yield
    except wandb.errors.UsageError as error:
        raise ValueError(f"W&B: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        wrong = error.errors()[0]
        key = str(wrong["loc"][0])
        variable = f"WANDB_{key.upper()}"
        name = variable if variable in os.environ else key
        raise ValueError(f"{name}={wrong['input']}: {wrong['msg']}") from None
