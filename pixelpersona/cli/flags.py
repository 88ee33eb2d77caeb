"""The flags of a command line, which are Hydra's: https://hydra.cc/docs/advanced/hydra-command-line-flags/."""

import argparse
from collections.abc import Sequence
from typing import NoReturn

_SWITCHES = "--help -h, --run -r, --multirun -m, --resolve, --hydra-help, --version, --shell-completion -sc"
_WITH_VALUE = "--package -p, --config-name -cn, --config-dir -cd"
_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


def parse_flags(words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The flags and, in their order, all other words. Flags may stand anywhere between them.

    Hydra's own parser expects the flags first, and answers a wrong one with a page of usage.
    Raises ValueError naming the wrong flag.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    for names in _SWITCHES.split(", "):
        parser.add_argument(*names.split(), action="store_true")
    for names in _WITH_VALUE.split(", "):
        parser.add_argument(*names.split())
    parser.add_argument("--cfg", "-c", choices=("job", "hydra", "all"))
    parser.add_argument("--info", "-i", nargs="?", const="all", choices=_INFO)
    flags, others = parser.parse_known_args(words)
    for word in others:
        if word.startswith("--config-path"):
            raise ValueError(f"{word}: accepted --config-dir=FOLDER, which adds options to those of conf/")
        if word.startswith("-") and "=" in word:
            setting = word.lstrip("-")
            raise ValueError(
                f"{word}: settings have no dashes; write {setting} (in a W&B sweep, ${{args_no_hyphens}})"
            )
        if word.startswith("-"):
            raise ValueError(f"{word}: no such flag; settings are given as key=value (see --help)")
    return flags, others


def to_argv(flags: argparse.Namespace) -> list[str]:
    """The flags as words of a command line."""
    given = {f"--{name}".replace("_", "-"): value for name, value in vars(flags).items() if value}
    return [name if value is True else f"{name}={value}" for name, value in given.items()]


class _Parser(argparse.ArgumentParser):
    """Raises ValueError instead of printing and exiting."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)
