"""The text of `--help`: a command's keys with their values, the groups it uses, and examples.

Descriptions come from the docstrings of the schemas in pixelpersona/config. After a summary, they have one
entry per key, `key: text`, whose further lines are indented.
"""

import enum
import inspect
import os
import re
import shutil
import sys
import textwrap
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError

from pixelpersona.cli.schemas import ConfigSource

EXAMPLES: Mapping[str, Sequence[str]] = {
    "prepare": (
        "dataset=folder dataset.path=photos",
        "dataset=folder dataset.path=photos dataset.variants=4 encode=false",
        "verify=true",
    ),
    "pretrain": ("dataset.path=faces.zip", "dataset.path=faces.zip stage=unet warm_start=true"),
    "train": (
        "lora.rank=8",
        "dataset=folder dataset.path=photos name=mine",
        "-m lora.rank=4,8 optimizer=adamw,lora_plus",
    ),
    "evaluate": (
        "paths.runs=runs/demo",
        "paths.runs=runs/demo eval=tradeoff",
        "adapter.paths=[style.safetensors]",
    ),
    "report": ("paths.runs=runs/demo", "paths.runs=runs/demo title=Ranks"),
    "stylize": (
        "photo=me.jpg out=me.png",
        "photo=me.jpg out=me.png adapter.path=runs/lora-r8",
        "photo=me.jpg out=me.png seed=3 postprocess.num_colors=8",
    ),
    "pixelate": (
        "photo=me.jpg out=me.png",
        "photo=me.jpg out=me.png pixelate=drawn pixelate.factor=16",
        "photo=photos out=art shared=true palette_out=ours.gpl",
    ),
    "export": (
        "adapter.path=runs/lora-r8 out=exported",
        "adapter.path=runs/lora-r8 out=exported format=kohya",
    ),
    "dashboard": ("tracker.project=faces", "tracker.project=faces tracker.entity=team"),
}
_GROUPS_WITHOUT_SCHEMA = {
    "experiment": "Settings of several groups at once, for one study or data set.",
    "hydra": "Where the jobs of a sweep run: one after another, in several processes, or on a Slurm cluster.",
}
_FLAGS = {
    "-m": "sweep: one job per combination of comma-separated values, as in lora.rank=4,8",
    "--cfg job": "print the composed configuration instead of running",
    "--help": "print this text, with the values that the other arguments give",
}


def print_help(name: str, schema: type, overrides: Sequence[str], source: ConfigSource) -> None:
    """Print the help of one command, wrapped at the width of the terminal.

    overrides: change the values and options that are shown; sweeps among them are ignored.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    single = [o.input_line or "" for o in parsed if not o.is_sweep_override()]
    tree = source.compose(single)
    choices = {str(group): choice for group, choice in tree.hydra.runtime.choices.items()}
    page = _Page(shutil.get_terminal_size().columns)

    page.paragraph(f"usage: python -m pixelpersona.{name} [flags] [key=value | group=option] ...")
    page.paragraph(parse_docstring(schema)[0])
    page.heading("keys")
    _keys(page, tree, schema, "")
    hints = typing.get_type_hints(schema)
    sections = {k: kind for k, kind in hints.items() if isinstance(kind, type) and is_dataclass(kind)}
    own = [key for key in sections if key not in choices]
    groups = [key for key in [*sections, *_GROUPS_WITHOUT_SCHEMA] if key in choices]
    for key in [*own, *groups]:
        title = key
        if key in choices:
            options = source.options(key)
            chosen = (f"{option} (chosen)" if option == choices[key] else option for option in options)
            title = f"group {key}: {', '.join(chosen)}"
        if key in sections:
            page.heading(title, parse_docstring(sections[key])[0])
            _keys(page, tree[key], sections[key], f"{key}.")
        else:
            page.heading(title, _GROUPS_WITHOUT_SCHEMA[key])
    page.heading("flags")
    for flag, text in _FLAGS.items():
        page.entry(flag, text)
    if name in EXAMPLES:
        page.heading("examples")
        page.lines += [f"  python -m pixelpersona.{name} {words}" for words in EXAMPLES[name]]
    page.print()


def parse_docstring(schema: type) -> tuple[str, dict[str, str]]:
    """The summary of a schema and key -> description, those of inherited keys included; no line breaks."""
    summary: list[str] = []
    texts: dict[str, str] = {}
    for cls in filter(is_dataclass, reversed(schema.__mro__)):
        entries: dict[str, list[str]] = {}
        lines = summary = []
        for line in inspect.cleandoc(cls.__doc__ or "").splitlines():
            if match := re.match(r"(\w+): (.+)", line):
                lines = entries.setdefault(match.group(1), [])
                line = match.group(2)
            lines.append(line.strip())
        texts |= {key: " ".join(lines).strip() for key, lines in entries.items()}
    return " ".join(summary).strip(), texts


def _keys(page: "_Page", tree: DictConfig, schema: type, prefix: str) -> None:
    """The keys of one schema and of the dataclasses in it, except those in a root schema."""
    texts = parse_docstring(schema)[1]
    hints = typing.get_type_hints(schema)
    for field in fields(schema):
        key, text = f"{prefix}{field.name}", texts.get(field.name, "")
        if is_dataclass(hints[field.name]):
            if prefix:
                _keys(page, tree[field.name], hints[field.name], f"{key}.")
            continue
        if OmegaConf.is_missing(tree, field.name):
            page.entry(f"{key}=...", f"required: {text}")
        else:
            page.entry(f"{key}={_value(tree, field.name)}", text)


def _value(tree: DictConfig, key: str) -> str:
    """A value as it would be typed."""
    try:
        value: Any = tree[key]
    except InterpolationResolutionError:
        raw: Any = OmegaConf.to_container(tree, resolve=False)
        value = raw[key]
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, str | Path):
        return " ".join(str(value).split()) or "''"
    if isinstance(value, DictConfig | ListConfig):
        plain = OmegaConf.to_container(value, resolve=True, enum_to_str=True)
        return yaml.safe_dump(
            plain, default_flow_style=True, width=2**20, allow_unicode=True, sort_keys=False
        ).strip()
    return "null" if value is None else str(value).lower()


class _Page:
    """Lines of help: two columns, as argparse lays them out."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.column = min(34, width * 2 // 5)
        self.lines: list[str] = []

    def paragraph(self, text: str) -> None:
        self.lines += [*textwrap.wrap(text, self.width), ""]

    def heading(self, title: str, text: str = "") -> None:
        if self.lines and self.lines[-1]:
            self.lines.append("")
        self.lines += textwrap.wrap(title, self.width, subsequent_indent="  ")
        self.lines += textwrap.wrap(text, self.width, initial_indent="  ", subsequent_indent="  ")

    def entry(self, term: str, text: str) -> None:
        """The description beside the term, or below it when the term is too long."""
        head = textwrap.wrap(term, self.width, initial_indent="  ", subsequent_indent=" " * 6)
        first = indent = " " * self.column
        if len(head) == 1 and len(head[0]) < self.column - 1:
            first = head.pop().ljust(self.column)
        self.lines += head + textwrap.wrap(text, self.width, initial_indent=first, subsequent_indent=indent)

    def print(self) -> None:
        try:
            print("\n".join(self.lines))
            sys.stdout.flush()
        except BrokenPipeError:  # as in `--help | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
