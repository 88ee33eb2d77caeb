"""Overrides, the `key=value` words of a command line: quoting them for Hydra, and writing them down again."""

import re
import shlex
from collections.abc import Iterable, Sequence

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString

from pixelpersona.cli.schemas import path_keys


def overrides(schema: type) -> list[str]:
    """The overrides of the running job as they were typed, to be recorded in its run folder.

    schema: the root schema of the command.
    """
    return as_typed(hydra_overrides(), path_keys(schema))


def hydra_overrides() -> list[str]:
    """The overrides of the running job as Hydra parses them, path keys quoted."""
    return [str(word) for word in HydraConfig.get().overrides.task]


def command_line(verb: str, words: Sequence[str]) -> str:
    """The shell command that repeats a job, without its timing file. words: as returned by `overrides`."""
    kept = [word for word in words if not word.startswith("timing=")]
    return shlex.join(["python", "-m", f"pixelpersona.{verb}", *kept])


def drop_plus(words: Iterable[str], groups: frozenset[str]) -> list[str]:
    """`+lora.rank=8` -> `lora.rank=8`, except for groups and Hydra's own keys, where the plus is needed.

    The schemas define every key, so a key that needs the plus is a typing mistake.
    """

    def drop(word: str) -> str:
        key = word.partition("=")[0].lstrip("+")
        return word if key in groups or key.startswith("hydra") else word.lstrip("+")

    return [drop(word) for word in words]


def quote_paths(words: Iterable[str], keys: frozenset[str]) -> list[str]:
    """Quote the values of path keys, so that Hydra takes any file name literally.

    Spaces, commas, `=`, brackets, quotes, backslashes, `${` and every script are accepted unquoted. Values in
    quotes ('...' or "...") are left to Hydra, and `null` still means none (a file called null is `./null`).
    So path keys cannot be swept, and `${...}` in them is not interpolated.
    """
    return [_quote_path(word, keys) for word in words]


def _quote_path(word: str, keys: frozenset[str]) -> str:
    key, equals, value = word.partition("=")
    if not equals or key not in keys or value.strip().lower() == "null":
        return word
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return word
    # OmegaConf reads `${` as an interpolation unless a backslash precedes it, and then halves the backslashes
    # before that one.
    text = re.sub(r"(\\*)\$\{", lambda match: match.group(1) * 2 + r"\${", value)
    return f"{key}={QuotedString(text, Quote.single).with_quotes()}"


def as_typed(words: Iterable[str], keys: frozenset[str]) -> list[str]:
    """Undo `quote_paths`: `out='a b.png'` -> `out=a b.png`.

    A word that `quote_paths` would not turn back into the same quoted word is returned unchanged.
    """

    def undo(word: str) -> str:
        key, equals, value = word.partition("=")
        if key not in keys or len(value) < 2 or value[0] != "'" or value[-1] != "'":
            return word
        text = str(OverridesParser.create().parse_override(word).value())
        plain = re.sub(r"(\\*)\\\$\{", lambda match: match.group(1)[::2] + "${", text)
        typed = f"{key}{equals}{plain}"
        return typed if quote_paths([typed], keys) == [word] else word

    return [undo(word) for word in words]
