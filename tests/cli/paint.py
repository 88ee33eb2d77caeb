"""A small command, `paint`: its schemas and configuration files."""

import enum
from dataclasses import dataclass, field
from pathlib import Path

from pixelpersona.config.command import CommandConfig
from pixelpersona.config.field_kinds import PATH


class Kind(enum.Enum):
    mse = "mse"
    huber = "huber"


@dataclass(kw_only=True, slots=True)
class Paths:
    """Where files go.

    runs: run folders.
    cache: caches.
    """

    runs: Path
    cache: Path


@dataclass(kw_only=True, slots=True)
class Lora:
    """A LoRA.

    rank: 1 or more.
    alpha: the rank unless given.
    path: file to start from.
    """

    rank: int
    alpha: int
    path: Path | None


@dataclass(kw_only=True, slots=True)
class Loss:
    """The loss.

    kind: mse or huber.
    weight: factor on the loss.
    betas: a list of numbers, with a description that is long enough to be
        continued on a second line.
    """

    kind: Kind
    weight: float
    betas: list[float]


@dataclass(kw_only=True, slots=True)
class Config(CommandConfig):
    """Paint a picture.

    photo: the photo.
    model: a model.
    steps: number of steps.
    name: name of the run.
    timing: timing file.
    """

    lora: Lora
    loss: Loss
    paths: Paths
    photo: Path | None
    model: str = field(metadata=PATH)
    steps: int


FILES = {
    "paint.yaml": """
        defaults:
          - paint_schema
          - _self_
          - hydra: default
          - paths: default
          - lora: r4
          - experiment: null
        loss:
          kind: mse
          weight: 1.0
          betas: [0.9, 0.999]
        photo: null
        model: tiny
        steps: 10
        name: lora-r${lora.rank}
        timing: null
    """,
    "lora/r4.yaml": """
        rank: 4
        alpha: ${.rank}
        path: null
    """,
    "lora/r8.yaml": """
        rank: 8
        alpha: ${.rank}
        path: null
    """,
    "lora/unfinished.yaml": """
        rank: 4
        path: null
    """,
    "experiment/demo.yaml": """
        # @package _global_
        defaults:
          - override /lora: r8
        steps: 20
    """,
    "experiment/misspelt.yaml": """
        # @package _global_
        lora:
          rnak: 3
    """,
    "unused/option.yaml": "key: 1",
}
