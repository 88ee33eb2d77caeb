"""A lock per run folder: two processes would mix their rows and delete each other's checkpoints."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def exclusive(folder: Path, what: str = "run") -> Iterator[None]:
    """Hold `folder` until the context or the process ends.

    The lock is a hidden file beside the folder (flock, through filelock), which remains; the folder need not
    exist. what: the word for the folder in the error message.
    Raises ValueError at once when another process holds it, or when the lock file cannot be written.
    """
    place = folder.resolve()
    lock = FileLock(place.with_name(f".{place.name}.lock"))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        raise ValueError(
            f"{folder}: another process is writing this {what}; accepted another name, or wait until it ends"
        ) from None
    except OSError as error:
        raise ValueError(f"{folder}: cannot be written ({error.strerror or error})") from error
    try:
        yield
    finally:
        lock.release()
