"""Where the configuration lies, which schema checks it, and how its mistakes are told in one line.

This module imports no room, so that a door pays only for what it opens: each door module declares its
root schema (a dataclass whose fields are the schemas of its groups) and `door` registers it with Hydra
under `<door>_schema`; the first entry of conf/<door>.yaml's defaults list is that name. A group whose
options differ in shape is typed `Any` or by a base class, and each shape is registered with `register`.
"""

import dataclasses
import difflib
import enum
import re
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath

import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

PACKAGE = Path(__file__).resolve().parent


def config_folder() -> Path:
    """The absolute folder of the configuration: `pixelpersona/conf` in a wheel, `conf/` in a checkout."""
    for folder in (PACKAGE / "conf", PACKAGE.parent / "conf"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"{PACKAGE / 'conf'}: the configuration folder is missing; install again")


def register(group: str, name: str, schema: type) -> None:
    """Make a dataclass known to Hydra, for an option file that begins `defaults: [<name>, _self_]`.

    Only needed for a group whose options differ in shape; `group` is "" for a door's root schema.
    """
    ConfigStore.instance().store(name=name, node=schema, group=group or None, provider="pixelpersona")


def to_yaml(config: object) -> str:
    """The resolved configuration as YAML. config: the dataclass a door's body is given."""
    return OmegaConf.to_yaml(OmegaConf.structured(config), resolve=True)


def _represent_path(dumper: yaml.Dumper, path: PurePath) -> yaml.ScalarNode:
    return dumper.represent_str(str(path))


# Without this, a path in --help, --cfg, multirun.yaml and config.yaml is `!!python/object/apply:...`.
yaml.add_multi_representer(PurePath, _represent_path)


# --- the keys of a schema -------------------------------------------------------------------------


def _without_none(annotation: object) -> object:
    """`X | None` → X; other annotations as they are."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
        return kinds[0] if len(kinds) == 1 else annotation
    return annotation


def schema_keys(schema: type, prefix: str = "") -> Iterator[tuple[str, object, bool]]:
    """Every (dotted key, type without None, is a path) of a dataclass schema, nested ones included.

    A key is a path when its type is Path, or when its field says `field(metadata={"path": True})`:
    for a text that may be a folder or a hub id.
    """
    hints = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        kind = _without_none(hints[field.name])
        key = f"{prefix}{field.name}"
        yield key, kind, kind is Path or bool(field.metadata.get("path"))
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            yield from schema_keys(kind, f"{key}.")


def path_keys(schema: type) -> frozenset[str]:
    """The keys of a schema whose values are file names."""
    return frozenset(key for key, _, is_path in schema_keys(schema) if is_path)


def group_names(folder: Path) -> frozenset[str]:
    """The configuration groups of a folder: its subfolders."""
    return frozenset(path.name for path in folder.iterdir() if path.is_dir())


def drop_plus(arguments: Iterable[str], groups: frozenset[str]) -> list[str]:
    """`+lora.rank=8` → `lora.rank=8`: Hydra's plus adds keys past the schema, where typing mistakes hide.

    Schemas name every key, so the plus is only kept for what Hydra needs it for: groups and its own keys.
    """

    def drop(argument: str) -> str:
        key = argument.partition("=")[0].lstrip("+")
        return argument if key in groups or key.startswith("hydra") else argument.lstrip("+")

    return [drop(argument) for argument in arguments]


def quote_paths(arguments: Iterable[str], keys: frozenset[str]) -> list[str]:
    """Quote the values of path keys, so that Hydra takes any file name as it stands.

    Spaces, commas, `=`, brackets, quotes, backslashes, `${` and every script pass unquoted. A value that
    is already quoted ('...' or "...") is left to Hydra, and `null` still means none (a file called null
    is `./null`). So one cannot sweep over a path key, and `${...}` in it is text.
    """
    return [_quote_path(argument, keys) for argument in arguments]


def _quote_path(argument: str, keys: frozenset[str]) -> str:
    key, equals, value = argument.partition("=")
    if not equals or key not in keys or value.strip().lower() == "null":
        return argument
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return argument
    # OmegaConf reads `${` in any text as an interpolation unless a backslash stands before it; backslashes
    # that were there are then doubled.
    text = re.sub(r"(\\*)\$\{", lambda match: match.group(1) * 2 + r"\${", value)
    return f"{key}={QuotedString(text, Quote.single).with_quotes()}"


def as_typed(words: Iterable[str], keys: frozenset[str]) -> list[str]:
    """Undo `quote_paths`: `out='a b.png'` → `out=a b.png`, for people to read and to give again.

    A word that would then be quoted otherwise stays as it is.
    """

    def undo(word: str) -> str:
        key, equals, value = word.partition("=")
        if key not in keys or len(value) < 2 or value[0] != "'" or value[-1] != "'":
            return word
        text = OverridesParser.create().parse_override(word).value()
        plain = re.sub(
            r"(\\*)\\\$\{", lambda match: match.group(1)[::2] + "${", str(getattr(text, "text", text))
        )
        typed = f"{key}{equals}{plain}"
        return typed if quote_paths([typed], keys) == [word] else word

    return [undo(word) for word in words]


# --- mistakes, in one line ------------------------------------------------------------------------


def explain(error: BaseException, schema: type, folder: Path) -> str:
    """One line that says what is wrong and what would be accepted.

    schema, folder: the door's root schema and the configuration folder, to guess what was meant.
    """
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__ or error.__context__
    if isinstance(error, MissingConfigException) and error.options is not None:
        return _no_such_option(error)
    if isinstance(error, OverrideParseException):
        return f"{error.override}: cannot be read; write key=value, and quote odd characters: key='a, b'"
    if isinstance(cause, MissingMandatoryValue):
        return f"{cause.full_key}: is missing; give {cause.full_key}=..."
    if isinstance(cause, (ConfigKeyError, ConfigAttributeError)) and cause.full_key:
        return _where(error) + _no_such_key(str(cause.full_key), schema, folder)
    if isinstance(cause, ValidationError) and cause.full_key:
        return _where(error) + _wrong_value(cause, schema)
    return _explain_text(error, schema, folder)


def one_line(error: BaseException) -> str:
    """The message of an error without its line breaks; an OSError as `file: reason`."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {(error.strerror or 'cannot be opened').lower()}"
    lines = [line.strip() for line in str(error).splitlines()]
    return " ".join(line for line in lines if line) or type(error).__name__


def _explain_text(error: BaseException, schema: type, folder: Path) -> str:
    """What Hydra tells in words only."""
    text = one_line(error)
    if match := re.search(r"Could not override '([^']+)'", text):
        return _no_such_key(match.group(1), schema, folder)
    if match := re.search(r"Ambiguous value for argument '(.+)' 1\. To use it as a list", text):
        return f"{match.group(1)}: several values are a sweep; add -m, or quote the value"
    if match := re.search(r"Sweep parameters '(.+)' requires --multirun", text):
        return f"{match.group(1)}: several values are a sweep; add -m"
    if error.__cause__ is not None and (text == type(error).__name__ or text.startswith("Error merging")):
        return f"{text.removeprefix('Error merging override ')}: {one_line(error.__cause__)}"
    return text


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]}?" if close else ""


def _no_such_key(key: str, schema: type, folder: Path) -> str:
    keys = {name for name, _, _ in schema_keys(schema)}
    parent, _, last = key.rpartition(".")
    siblings = sorted(name for name in keys if name.rpartition(".")[0] == parent)
    known = set(siblings) if parent else keys | group_names(folder)
    close = difflib.get_close_matches(last, [name.rpartition(".")[2] for name in known], n=1)
    if close:
        # A right name in a wrong place: `rank` for `lora.rank`.
        places = sorted((name for name in known - {key} if name.rpartition(".")[2] == close[0]), key=len)
        if places:
            return f"{key}: no such key. Did you mean {places[0]}?"
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
    key = str(error.full_key)
    message = str(error.msg).splitlines()[0]
    kinds: dict[str, object] = {name: kind for name, kind, _ in schema_keys(schema)}
    # A list's or mapping's entry has the key `betas[0]`.
    kind = kinds.get(key, kinds.get(key.partition("[")[0]))
    if re.search(r"Incompatible value '?None|[Nn]on.optional|not Optional", message):
        return f"{key}: null is not accepted; give {_accepted(kind)}"
    match = re.match(r"(?:Invalid value|Value) '(.*?)'(?: of type|,|$)", message, re.DOTALL)
    if match is None:
        return f"{key}: {message}"
    return f"{key}: '{match.group(1)}' is not accepted; give {_accepted(kind)}"


def _accepted(kind: object) -> str:
    """What a key of this type takes, in words."""
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return "one of " + ", ".join(kind.__members__)
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}
    if isinstance(kind, type) and kind in words:
        return words[kind]
    arguments: Sequence[object] = typing.get_args(kind)
    if typing.get_origin(kind) in (list, tuple) and arguments:
        return f"a list, [a, b], each {_accepted(arguments[0])}"
    return f"a value of type {getattr(kind, '__name__', kind)}"


def _where(error: BaseException) -> str:
    """`conf/experiment/demo.yaml: ` when the mistake stands in a file and not on the command line."""
    match = re.match(r"In '([^']+)': \w+ raised while composing", str(error))
    return f"conf/{match.group(1)}.yaml: " if match else ""
