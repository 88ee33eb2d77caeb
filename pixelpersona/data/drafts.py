"""Writing into a cache: draft names, one-line errors, and removal of the drafts of killed processes."""

import hashlib
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

_DRAFT = re.compile(r"\.(?:pairs|latents|text|photos)-.*\.([0-9a-f]{8})-([0-9]+)-[0-9a-f]{8}")
_WEEK_S = 7 * 24 * 3600.0


@contextmanager
def writing(folder: Path, what: str) -> Iterator[None]:
    """Turn an OSError (disk full, read-only folder, no permission) into a ValueError that names the folder.

    Its message says that nothing there was changed: inside the context, write to a `draft_path` and rename.
    what: what is written, for the message.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(
            f"{folder}: {what} cannot be written there ({reason}); what was there before is unchanged"
        ) from error


def draft_path(target: Path) -> Path:
    """A new hidden name beside the target that identifies the writing process and its machine."""
    return target.with_name(f".{target.name}.{_machine()}-{os.getpid()}-{secrets.token_hex(4)}")


def remove_leftovers(folder: Path) -> None:
    """Remove the drafts of processes that no longer run from a folder; those of running ones stay.

    Processes on other machines that share the folder cannot be checked: their drafts are removed after a week
    without a change.
    """
    try:
        names = os.listdir(folder)
    except OSError:  # missing or not readable: the next write reports it
        return
    for match in filter(None, map(_DRAFT.fullmatch, names)):
        path = folder / match[0]
        if not ((match[1] == _machine() and _is_gone(int(match[2]))) or _is_old(path)):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


@cache
def _machine() -> str:
    """8 hex digits for host and process namespace: process ids mean nothing outside their container."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return hashlib.sha256(f"{socket.gethostname()} {namespace}".encode()).hexdigest()[:8]


def _is_gone(process: int) -> bool:
    try:
        if os.name == "posix":  # on Windows, os.kill(process, 0) would end the process
            os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > _WEEK_S
    except OSError:
        return False
