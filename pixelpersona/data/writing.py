"""Writing into a cache: aside and renamed, failures told in one line, what killed processes left removed."""

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

__all__ = ["aside", "remove_leftovers", "writing"]

_ASIDE = re.compile(r"\.(?:pairs|latents|text)-.*\.([0-9a-f]{8})-([0-9]+)-[0-9a-f]{8}")
_WEEK_S = 7 * 24 * 3600.0


@contextmanager
def writing(folder: Path, what: str) -> Iterator[None]:
    """Turns an OSError (disk full, read-only folder, no permission) into a ValueError that names the folder.

    It says that nothing there was changed: whoever writes inside must write aside and rename.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(
            f"{folder}: {what} cannot be written there ({reason}); what was there before is unchanged"
        ) from error


def aside(target: Path) -> Path:
    """A new name beside the target, hidden, that tells which process of which machine writes there."""
    return target.with_name(f".{target.name}.{_machine()}-{os.getpid()}-{secrets.token_hex(4)}")


def remove_leftovers(folder: Path) -> None:
    """Removes what was being written in a folder by processes that are gone; never what a living one writes.

    Of other machines that share the folder it cannot know: their leftovers go after a week untouched.
    """
    try:
        names = [name for name in os.listdir(folder) if name.startswith(".")]
    except OSError:  # not there yet, or not readable: whoever writes next will say so
        return
    for name in names:
        match = _ASIDE.fullmatch(name)
        if match is None:
            continue
        machine, process = match[1], int(match[2])
        path = folder / name
        if (machine == _machine() and _is_gone(process)) or _is_old(path):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


@cache
def _machine() -> str:
    """8 hex digits. Containers count processes on their own, so a number says nothing outside of them."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return hashlib.sha256(f"{socket.gethostname()} {namespace}".encode()).hexdigest()[:8]


def _is_gone(process: int) -> bool:
    if os.name != "posix":  # elsewhere os.kill ends the process it is asked about
        return False
    try:
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
