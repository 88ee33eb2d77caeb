"""A disk that is full or closed, told in one line wherever in a run it shows."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

_REASONS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def writing_into(folder: Path, left: str = "the checkpoints there are as they were") -> Iterator[None]:
    """Turns the system's refusal to write, whichever library meets it, into a ValueError naming the folder.

    A write that fails does not say which file it was for; an error that is no such refusal passes as it is.
    left: what the user finds there now.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = _reason(error)
        if reason is None:
            raise
        raise ValueError(f"{folder}: cannot be written ({reason}); {left}") from error


def _reason(error: OSError | SafetensorError) -> str | None:
    if isinstance(error, OSError):
        number, file = error.errno, error.filename
    else:  # it has the system's number in its text alone
        found = re.search(r"os error (\d+)", str(error))
        number, file = int(found[1]) if found else None, None
    if number not in _REASONS:
        return None
    return os.strerror(number) if file is None else f"{os.strerror(number)}: {Path(str(file)).name}"
