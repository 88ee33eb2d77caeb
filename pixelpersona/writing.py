"""Files that are there whole or as they were before, and a disk that is full or closed told in one line."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


def refusal(error: BaseException) -> str | None:
    """Why the system refuses to write, in its words; None for an error that is no such refusal.

    Libraries written in Rust (safetensors, tokenizers) have the system's number in their text alone, numpy
    only says how much of an array was left over.
    """
    if isinstance(error, ValueError):  # worded already
        return None
    if isinstance(error, OSError) and error.errno is not None:
        number: int | None = error.errno
    else:
        found = re.search(r"\(os error (\d+)\)", str(error))
        number = int(found[1]) if found else None
        if re.fullmatch(r"\d+ requested and \d+ written", str(error)):
            number = errno.ENOSPC
    return os.strerror(number) if number in _REFUSALS else None


@contextmanager
def writing_into(folder: Path, left: str) -> Iterator[None]:
    """Turns the system's refusal to write, whichever library meets it, into a ValueError naming the folder.

    A write that fails does not say which file it was for. left: what the user finds there now.
    """
    try:
        yield
    except Exception as error:
        reason = refusal(error)
        if reason is None:
            raise
        if isinstance(error, OSError) and error.filename is not None:
            reason = f"{reason}: {Path(str(error.filename)).name}"
        raise ValueError(f"{folder}: cannot be written ({reason}); {left}") from error


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """Where to write `file`: a draft beside it, which takes its name once all of it is written.

    When that fails, what was there stays, and nothing is left beside it. Its folder is made when missing.
    Raises ValueError naming the file when the system refuses to write.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with drafted(file, file.with_name(f".{file.name}.{os.getpid()}.tmp")) as draft:
            yield draft
    except Exception as error:
        reason = refusal(error)
        if reason is None:
            raise
        raise ValueError(
            f"{file}: cannot be written ({reason}); what was there before is unchanged"
        ) from error


@contextmanager
def drafted(file: Path, draft: Path) -> Iterator[Path]:
    """What is written to `draft` becomes `file` in one moment, or is gone; errors are as they come."""
    try:
        yield draft
        draft.replace(file)
    finally:
        with suppress(OSError):  # what keeps the draft from being removed has been told
            draft.unlink(missing_ok=True)


def write_whole(file: Path, data: str | bytes) -> None:
    """Text as UTF-8, or bytes, written as `whole` does."""
    with whole(file) as draft:
        draft.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)
