"""One process at a time writes a folder: two would mix their rows and drop each other's checkpoints."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone_in(folder: Path, what: str = "run") -> Iterator[None]:
    """Holds `folder` until the context ends, or the process, however it ends: the system itself lets go.

    What is locked is a hidden file beside the folder (flock, through filelock), which stays; the folder need
    not exist. what: the word for it in the message.
    Raises ValueError at once when it is held already, or when the file cannot be written.
    """
    from filelock import FileLock, Timeout  # doors that lock nothing need not wait for it

    place = folder.resolve()
    lock = FileLock(place.with_name(f".{place.name}.lock"))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        raise ValueError(
            f"{folder}: another process is at this {what}; accepted another name, or wait for its end"
        ) from None
    except OSError as error:
        raise ValueError(f"{folder}: cannot be written ({error.strerror or error})") from error
    try:
        yield
    finally:
        lock.release()
