"""The commands and their configurations."""

import importlib
from typing import Any

from omegaconf import DictConfig

from pixelpersona.cli.schemas import ConfigSource, config_folder, register, to_config

# command -> the words without which it does not run
COMMANDS: dict[str, list[str]] = {
    "prepare": [],
    "pretrain": ["dataset.path=photos"],
    "train": [],
    "evaluate": [],
    "report": [],
    "dashboard": [],
    "stylize": ["photo=a.jpg", "out=a.png"],
    "pixelate": ["photo=a.jpg", "out=a.png"],
    "export": ["out=exported"],
}


def root_schema(command: str) -> type[Any]:
    module = importlib.import_module(f"pixelpersona.config.{command}")
    schema: type[Any] = getattr(module, f"{command.capitalize()}Config")
    return schema


def compose_tree(command: str, *words: str) -> DictConfig:
    """The configuration of a command, unresolved, with Hydra's own below `hydra`."""
    register(command, root_schema(command))
    return ConfigSource(command, config_folder()).compose(words)


def compose_typed(command: str, *words: str) -> Any:
    """The typed configuration of a command; every key must have a value. Adds the words it needs."""
    config = to_config(compose_tree(command, *COMMANDS[command], *words))
    assert isinstance(config, root_schema(command))
    return config
