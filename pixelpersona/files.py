"""Atomic writes, one-line errors when a file must not or cannot be written, and reading JSON."""

import errno
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

_Kind = TypeVar("_Kind")
_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


def refusal(error: BaseException) -> str | None:
    """The system's message if it refused to write (full, read-only, no permission); None for other errors.

    Libraries written in Rust (safetensors, tokenizers) give the error number in their message only, and numpy
    only says how much of an array was written.
    """
    if isinstance(error, ValueError):  # already a message for the user
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
    """Turn a refusal to write, raised by any library, into a ValueError that names the folder.

    For writers whose errors do not name the file. left: what is in the folder afterwards, for the message.
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
    """Write a file atomically: yields a draft beside it, which replaces the file when the context ends.

    After an error the old file is unchanged and the draft is removed. Makes the folder if it is missing.
    Raises ValueError naming the file when the system refuses to write.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # A digest, because a draft's name made from a long name would be too long for the file system.
        digest = hashlib.sha256(os.fsencode(file.name)).hexdigest()[:16]
        with drafted(file, file.with_name(f".{digest}.{os.getpid()}.tmp")) as draft:
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
    """Rename `draft` to `file` when the context ends, or remove it after an error, which is passed on."""
    try:
        yield draft
        draft.replace(file)
    finally:
        with suppress(OSError):  # the error that prevents removal has already been raised
            draft.unlink(missing_ok=True)


def write_whole(file: Path, data: str | bytes) -> None:
    """Write text (as UTF-8) or bytes atomically, as `whole` does."""
    with whole(file) as draft:
        draft.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)


def check_targets(source: Path, targets: Mapping[str, Path | None], *, overwrite: bool) -> None:
    """Raise ValueError naming the key of a file to write that is a folder, the source, or another target.

    targets: key -> file; None is left out. overwrite: one of them may be the source.
    """
    written: dict[Path, str] = {}
    for key, file in targets.items():
        if file is None:
            continue
        if file.is_dir():
            raise ValueError(f"{key}={file}: is a folder; accepted the name of a file")
        if not overwrite and file.exists() and source.exists() and file.samefile(source):
            raise ValueError(f"{key}={file}: is the photo itself; accepted another name, or overwrite=true")
        other = written.setdefault(Path(os.path.realpath(file)), key)
        if other != key:
            raise ValueError(f"{key}={file}: is the file of {other}; accepted another name")


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text with finite numbers; Python's own reader accepts NaN, Infinity and 1e999.

    Raises ValueError for anything else, also for a text that is nested too deeply or not UTF-8.
    """

    def finite(number: str) -> float:
        value = float(number)
        if not math.isfinite(value):
            raise ValueError(f"{number} is not a finite number")
        return value

    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        return json.loads(decoded, parse_float=finite, parse_constant=finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json(path: Path, kind: type[_Kind]) -> _Kind:
    """The object (dict) or array (list) in a JSON file.

    Raises FileNotFoundError, and ValueError naming the file when it cannot be read or holds something else.
    """
    try:
        value = parse_json(path.read_bytes())
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not readable ({' '.join(str(error).split())})") from None
    if not isinstance(value, kind):
        raise ValueError(f"{path}: expected a {kind.__name__}, found a {type(value).__name__}")
    return value


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON Lines file, in order; [] for an empty file.

    A last line without a newline is the incomplete row of a killed writer and is skipped.
    Raises ValueError when the file is missing or cannot be read, or naming file and line when a line is not a
    JSON object.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except OSError as error:
        raise ValueError(f"{path}: not readable ({error.strerror})") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = parse_json(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: not JSON ({error})") from None
        if not isinstance(row, dict):
            raise ValueError(f"{path}, line {number}: not a JSON object")
        rows.append(row)
    return rows
