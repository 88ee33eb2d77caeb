"""Errors that a user can fix, each explained in one line."""

import difflib
import enum
import errno
import re
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from pixelpersona.cli.schemas import group_names, schema_keys
from pixelpersona.files import refusal
from pixelpersona.pixel.photo import PhotoError

_FILE_ERRORS = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)


def describe(error: Exception, schema: type, folder: Path) -> str | None:
    """One line for an error that a user can fix; None for a bug.

    schema, folder: root schema and configuration folder of the command, to suggest what was meant.
    """
    if isinstance(error, HydraException | OmegaConfBaseException):
        return explain(error, schema, folder)
    wrong_path = isinstance(error, OSError) and error.errno in (errno.ENAMETOOLONG, errno.ELOOP)
    if wrong_path or isinstance(error, (PhotoError, ValueError, *_FILE_ERRORS)):
        return one_line(error)
    # A failed write that our own code did not catch: Hydra's files, a library's.
    reason = refusal(error)
    if reason is None:
        return None
    file = getattr(error, "filename", None)
    return f"cannot be written: {reason}" if file is None else f"{file}: cannot be written ({reason})"


def explain(error: BaseException, schema: type, folder: Path) -> str:
    """One line for an error of Hydra or OmegaConf: what is wrong and what would be accepted."""
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__ or error.__context__
    if isinstance(error, MissingConfigException) and error.options is not None:
        return _no_such_option(error)
    if isinstance(error, OverrideParseException):
        return f"{error.override}: cannot be read; write key=value, and quote odd characters: key='a, b'"
    if isinstance(cause, MissingMandatoryValue):
        return f"{cause.full_key}: is missing; give {cause.full_key}=..."
    in_file = re.match(r"In '([^']+)': \w+ raised while composing", str(error))
    where = f"conf/{in_file.group(1)}.yaml: " if in_file else ""
    if isinstance(cause, (ConfigKeyError, ConfigAttributeError)) and cause.full_key:
        return where + _no_such_key(str(cause.full_key), schema, folder)
    if isinstance(cause, ValidationError) and cause.full_key:
        return where + _wrong_value(cause, schema)
    return _explain_text(error, schema, folder)


def one_line(error: BaseException) -> str:
    """The message of an error without its line breaks; an OSError as `file: reason`."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {(error.strerror or 'cannot be opened').lower()}"
    lines = [line.strip() for line in str(error).split("\n")]
    return " ".join(line for line in lines if line) or type(error).__name__


def _explain_text(error: BaseException, schema: type, folder: Path) -> str:
    """Errors that Hydra distinguishes by their message only."""
    text = one_line(error)
    if match := re.search(r"Could not override '([^']+)'", text):
        return _no_such_key(match.group(1), schema, folder)
    if match := re.search(r"Missing mandatory value: (\S+)", text):  # of the key that an interpolation names
        return f"{match.group(1)}: is missing; give {match.group(1)}=..."
    if match := re.search(r"Ambiguous value for argument '(.+)' 1\. To use it as a list", text):
        way = "give one list, [a,b]" if "],[" in match.group(1) else "quote the value"
        return f"{match.group(1)}: several values are a sweep; add -m, or {way}"
    if match := re.search(r"Sweep parameters '(.+)' requires --multirun", text):
        return f"{match.group(1)}: several values are a sweep; add -m"
    if error.__cause__ is not None and (text == type(error).__name__ or text.startswith("Error merging")):
        return f"{text.removeprefix('Error merging override ')}: {one_line(error.__cause__)}"
    return text


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]}?" if close else ""


def _no_such_key(key: str, schema: type, folder: Path) -> str:
    keys = schema_keys(schema).keys()
    parent, _, last = key.rpartition(".")
    siblings = sorted(name for name in keys if name.rpartition(".")[0] == parent)
    known = set(siblings) if parent else keys | group_names(folder)
    close = difflib.get_close_matches(last, [name.rpartition(".")[2] for name in known], n=1)
    # The name may exist elsewhere: `rank` for `lora.rank`.
    places = [name for name in known - {key} if name.rpartition(".")[2] in close]
    if places:
        return f"{key}: no such key. Did you mean {min(places, key=len)}?"
    if parent and not siblings:
        return f"{key}: no such key.{_did_you_mean(key, keys)}"
    return f"{key}: no such key. Keys here: {', '.join(siblings)}."


def _no_such_option(error: MissingConfigException) -> str:
    options = sorted(error.options or ())
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    if group == "hydra/launcher" and option.startswith(("joblib", "submitit")):
        extra = option.partition("_")[0]
        return f"{group}={option}: needs a package: pip install 'pixelpersona[{extra}]'"
    guess = _did_you_mean(option, options)
    return f"{group}={option}: no such option.{guess} Options: {', '.join(options) or 'none'}."


def _wrong_value(error: ValidationError, schema: type) -> str:
    name = str(error.full_key)
    message = str(error.msg).splitlines()[0]
    keys = schema_keys(schema)
    key = keys.get(name) or keys.get(name.partition("[")[0])  # `betas[0]` is an element of a list
    if key is None:  # below a mapping
        return f"{name}: {message}"
    if re.search(r"Incompatible value '?None|[Nn]on.optional|not Optional", message):
        return f"{name}: null is not accepted; give {_accepted(key.kind)}"
    if match := re.match(r"(?:Invalid value|Value) '(.*?)'(?: of type|,|$)", message, re.DOTALL):
        return f"{name}: '{match.group(1)}' is not accepted; give {_accepted(key.kind)}"
    return f"{name}: {message}"


def _accepted(kind: object) -> str:
    """The values that a key of this type accepts, in words."""
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return "one of " + ", ".join(kind.__members__)
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}
    if isinstance(kind, type) and kind in words:
        return words[kind]
    arguments: Sequence[object] = typing.get_args(kind)
    if typing.get_origin(kind) in (list, tuple) and arguments:
        return f"a list, [a, b], each {_accepted(arguments[0])}"
    return f"a value of type {getattr(kind, '__name__', kind)}"
