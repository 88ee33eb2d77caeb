"""Overrides, the `key=value` words of a command line: quoting them for Hydra, and writing them down again."""

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.types import RunMode
from omegaconf import OmegaConf

from pixelpersona.cli.schemas import Key, schema_keys

_QUOTED = r"(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"  # '...' or "..."
_QUOTED_VALUES = re.compile(rf"{_QUOTED}(?:\s*,\s*{_QUOTED})*", re.DOTALL)
_CHOICE = re.compile(r"choice\(.*\)", re.DOTALL)
_FUNCTION = re.compile(r"\s*\w+\(")
_LIST = re.compile(rf"\[((?>(?:{_QUOTED}|[^\[\]])*))\]", re.DOTALL)
_LISTS = re.compile(rf"\s*{_LIST.pattern}(?:\s*,\s*{_LIST.pattern})*\s*", re.DOTALL)
_ITEM = re.compile(rf"(?:\A|,)\s*({_QUOTED}(?=\s*(?:,|\Z))|[^,]*)", re.DOTALL)
_INTERPOLATION = re.compile(r"(\\*)\$\{(?=([^{}]*)\}|)")
_RESOLVER = re.compile(r"(oc\.\w+|hydra|now):")


def overrides(command: str, schema: type, run_name: str | None = None) -> list[str]:
    """The overrides of the running job as they were typed, to record in its run folder.

    They begin with --config-dir and --config-name where these were given. schema: the command's root schema.
    run_name: of the job's run; a sweep gave it that name, so that the job alone is repeated with `name=`.
    """
    hydra = HydraConfig.get()
    sources = hydra.runtime.config_sources
    folders = [Path(source.path) for source in sources if source.provider == "command-line"]
    here = Path.cwd()
    short = [folder.relative_to(here) if folder.is_relative_to(here) else folder for folder in folders]
    return [
        *(f"--config-dir={folder}" for folder in short),
        *([] if hydra.job.config_name == command else [f"--config-name={hydra.job.config_name}"]),
        *_with_name(as_typed(hydra_overrides(), schema_keys(schema)), run_name),
    ]


def _with_name(words: list[str], run_name: str | None) -> list[str]:
    if run_name is None or HydraConfig.get().mode is not RunMode.MULTIRUN:
        return words
    return [*(word for word in words if not word.startswith("name=")), f"name={run_name}"]


def hydra_overrides() -> list[str]:
    """The overrides of the running job as Hydra parses them, quoted by `quote`."""
    # Not resolved: `${lora.rank}` in a word is not a key of Hydra's configuration.
    words: Any = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    return [str(word) for word in words]


def command_line(verb: str, words: Sequence[str]) -> str:
    """The shell command that repeats a job, without its timing file. words: as returned by `overrides`."""
    kept = [word for word in words if not word.startswith("timing=")]
    return shlex.join(["python", "-m", f"pixelpersona.{verb}", *kept])


def drop_plus(words: Iterable[str]) -> list[str]:
    """`+lora.rank=8` -> `lora.rank=8`, except for Hydra's own keys.

    The schemas define every key, and the defaults lists every group: no other word needs the plus.
    """
    is_hydra = re.compile(r"\+*hydra[./]")
    return [word if is_hydra.match(word) else word.lstrip("+") for word in words]


def refuse_unsupported(words: Iterable[str]) -> None:
    """Raise ValueError for keys of Hydra that create empty folders, move relative paths or start a sweep."""
    for word in words:
        key, _, value = word.partition("=")
        match key.lstrip("+"):
            case "hydra.run.dir" | "hydra.sweep.subdir" if value != ".":
                raise ValueError(
                    f"{word}: accepted only the default; paths.runs and name decide where files go"
                )
            case "hydra.job.chdir" if value.lower() != "false":
                raise ValueError(f"{word}: accepted only false; paths are relative to where you call from")
            case "hydra.mode":
                raise ValueError(f"{word}: accepted -m in its place, for a sweep")


def quote(words: Iterable[str], keys: Mapping[str, Key]) -> list[str]:
    """Quote words as Hydra needs them, so that most values can be typed without quotes.

    Paths and texts: spaces, commas, `=`, brackets, quotes, backslashes, `#` and every script are taken
    literally. A path that begins with `~` is expanded. In a text, `${KEY}` is filled in with the value of
    another key, and `${oc.env:NAME}` with that of a variable; any other `${`, and any in a path, is literal.
    Values in quotes ('...' or "...") and lists of them ('a','b', a sweep), `choice(...)` for a text, and
    `null` are left to Hydra (a file called null is `./null`).
    Lists of texts and paths: `[#3a7bd5,123e45]` is quoted item by item, and for every list a single value is
    a list of one; an item with a comma needs quotes of its own. `None`, as W&B's agents write it, is null
    where null is accepted.
    """
    return [_quote(word, keys) for word in words]


def _quote(word: str, keys: Mapping[str, Key]) -> str:
    name, equals, value = word.partition("=")
    key = keys.get(name)
    if not equals or key is None:
        return word
    if key.is_optional and value == "None":
        return f"{name}=null"
    if value.strip().lower() == "null":
        return word
    if key.is_path or key.is_text:
        return f"{name}={_quote_text(value, key, keys)}"
    if key.is_list or key.may_list_texts:
        return f"{name}={_quote_lists(value, key)}"
    if key.is_optional:
        return f"{name}=" + re.sub(r"(?<![^,])None(?![^,])", "null", value)
    return word


def _quote_text(value: str, key: Key, keys: Mapping[str, Key]) -> str:
    if _QUOTED_VALUES.fullmatch(value) or (key.is_text and _CHOICE.fullmatch(value)):
        return value
    if key.is_path and value.startswith("~"):
        value = os.path.expanduser(value)

    def escape(match: re.Match[str]) -> str:
        backslashes, name = match.groups()
        is_known = name is not None and (name in keys or _RESOLVER.match(name))
        if key.is_text and not backslashes and is_known:
            return match.group()
        # OmegaConf reads `${` as an interpolation unless a backslash precedes it, and then halves the
        # backslashes before that one.
        return backslashes * 2 + r"\${"

    return _quoted(_INTERPOLATION.sub(escape, value))


def _quote_lists(value: str, key: Key) -> str:
    """`[a,b]` or a sweep over such lists; a value without brackets is a list of one."""
    if not value.strip() or "${" in value or _FUNCTION.match(value):
        return value
    if not value.lstrip().startswith("["):
        if not key.is_list:  # one word: a palette's name, a number
            return value
        items = [_quote_item(item, key) if key.may_list_texts else item for item in _items(value)]
        return ",".join(f"[{item}]" for item in items)
    if not key.may_list_texts or not _LISTS.fullmatch(value):
        return value
    lists = [_items(match.group(1)) for match in _LIST.finditer(value)]
    return ",".join(f"[{','.join(_quote_item(item, key) for item in items)}]" for items in lists)


def _items(text: str) -> list[str]:
    """`a, 'b,c'` -> [`a`, `'b,c'`]."""
    return [match.group(1).strip() for match in _ITEM.finditer(text)] if text.strip() else []


def _quote_item(item: str, key: Key) -> str:
    if key.kind == list[Path] and item.startswith("~"):
        item = os.path.expanduser(item)
    return item if _QUOTED_VALUES.fullmatch(item) or item.lower() == "null" else _quoted(item)


def _quoted(text: str) -> str:
    return QuotedString(text, Quote.single).with_quotes()


def as_typed(words: Iterable[str], keys: Mapping[str, Key]) -> list[str]:
    """Undo `quote`: `out='a b.png'` -> `out=a b.png`.

    A word that `quote` would not turn back into the same quoted word is returned unchanged.
    """

    def undo(word: str) -> str:
        name, _, value = word.partition("=")
        if not value.startswith(("'", "['")):
            return word
        parsed = OverridesParser.create().parse_override(word)
        if parsed.is_sweep_override():
            return word
        plain = parsed.value()
        text = f"[{','.join(map(str, plain))}]" if isinstance(plain, list) else str(plain)
        text = re.sub(r"(\\*)\\\$\{", lambda match: match.group(1)[::2] + "${", text)
        typed = f"{name}={text}"
        return typed if quote([typed], keys) == [word] else word

    return [undo(word) for word in words]
