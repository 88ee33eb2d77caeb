"""The commands to type next, printed when a command has finished."""

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pixelpersona.cli.overrides import command_line, quote
from pixelpersona.cli.schemas import ConfigSource, register, schema_keys


@dataclass(frozen=True, slots=True)
class NextStep:
    """A command that continues where another one has ended.

    purpose: what it does, in a few words. command, schema: as given to the decorator `command`.
    shared: top-level keys that must have the same values in both commands, such as "paths".
    words: its further settings, as typed.
    """

    purpose: str
    command: str
    schema: type
    shared: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


def show_steps(
    steps: Sequence[NextStep], tree: DictConfig, source: ConfigSource, swept: Collection[str] = ()
) -> list[str]:
    """One line for each step: `next: python -m pixelpersona.evaluate paths.runs=runs/mine  # compare ...`.

    tree: the configuration of the job that has finished, with Hydra's own below `hydra`. source: its files.
    swept: keys in which the jobs of a sweep differ; the steps have their defaults there.
    """
    lines: list[str] = []
    for step in steps:
        words = _settings(step, tree, replace(source, name=step.command), swept)
        extra = [] if source.extra is None else [f"--config-dir={source.extra}"]
        start = "  or" if lines else "next"
        lines.append(f"{start}: {command_line(step.command, [*extra, *words])}  # {step.purpose}")
    return lines


def _settings(step: NextStep, tree: DictConfig, source: ConfigSource, swept: Collection[str]) -> list[str]:
    """The step's own words, then the options and values of `tree` that are not the step's defaults."""
    register(step.command, step.schema)
    keys = schema_keys(step.schema)
    words = list(step.words)
    fixed = {*swept, *(word.partition("=")[0] for word in words)}

    def is_shared(name: str) -> bool:
        is_fixed = any(name == key or name.startswith(f"{key}.") for key in fixed)
        return name.partition(".")[0] in step.shared and not is_fixed

    groups = {name: option for name, option in tree.hydra.runtime.choices.items() if is_shared(name)}
    while True:  # an option may choose that of another group
        composed = source.compose(quote(words, keys))
        options = composed.hydra.runtime.choices
        other = [f"{group}={option}" for group, option in groups.items() if option != options[group]]
        if not other:
            break
        words.append(other[0])
    for name in filter(is_shared, keys):
        value = OmegaConf.select(tree, name)
        if not OmegaConf.is_dict(value) and value != OmegaConf.select(composed, name):
            words.append(f"{name}={_typed(value)}")
    return words


def _typed(value: Any) -> str:
    """A value as it is typed on a command line; `quote` makes it one of Hydra's."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, enum.Enum):
        return value.name
    if OmegaConf.is_list(value):
        return f"[{','.join(map(str, value))}]"
    return str(value)
