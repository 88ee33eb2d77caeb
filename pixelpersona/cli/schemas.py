"""The configuration folder, composing it, and the keys of its schemas.

Each command declares its root schema, a dataclass of pixelpersona/config whose fields are the schemas of its
groups. `register` stores it in Hydra as `<command>_schema`, the first entry of the defaults list in
conf/<command>.yaml.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, OmegaConf, open_dict

PACKAGE = Path(__file__).resolve().parents[1]
HYDRA_VERSION = "1.3"  # whose behaviour is requested, whichever version is installed


def config_folder() -> Path:
    """The absolute folder of the configuration: `pixelpersona/conf` in a wheel, `conf/` in a checkout."""
    for folder in (PACKAGE / "conf", PACKAGE.parent / "conf"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"{PACKAGE / 'conf'}: the configuration folder is missing; install again")


def group_names(folder: Path) -> frozenset[str]:
    """The configuration groups of a folder: its subfolders."""
    return frozenset(path.name for path in folder.iterdir() if path.is_dir())


def register(name: str, schema: type) -> None:
    """Store the root schema of a command in Hydra, for conf/<name>.yaml."""
    ConfigStore.instance().store(name=f"{name}_schema", node=schema, provider="pixelpersona")


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """The files of a command's configuration.

    name: of <folder>/<name>.yaml. extra: a second configuration folder, as given by --config-dir.
    """

    name: str
    folder: Path
    extra: Path | None = None

    def compose(self, words: Sequence[str]) -> DictConfig:
        """The configuration with these overrides, unresolved; its key `hydra` holds Hydra's own."""
        words = list(words)
        if self.extra is not None:
            place = QuotedString(f"file://{self.extra.resolve()}", Quote.single).with_quotes()
            words.insert(0, f"hydra.searchpath=[{place}]")
        with initialize_config_dir(str(self.folder), version_base=HYDRA_VERSION):
            return compose(self.name, words, return_hydra_config=True)

    def options(self, group: str) -> list[str]:
        """The options of a group: the names of its files, sorted."""
        folders = [self.folder] if self.extra is None else [self.folder, self.extra]
        return sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")})


def _represent_path(dumper: yaml.Dumper, path: PurePath) -> yaml.ScalarNode:
    return dumper.represent_str(str(path))


# Without this, a path in --cfg and multirun.yaml is `!!python/object/apply:...`.
yaml.add_multi_representer(PurePath, _represent_path)


# In conf/: `a: ${unless:8,${.b}}` is 8, or null when b is not null.
OmegaConf.register_new_resolver(
    "unless", lambda value, *others: value if all(other is None for other in others) else None, replace=True
)


def to_config(tree: DictConfig) -> Any:
    """The typed configuration, without Hydra's own keys.

    Raises ValueError naming a key whose value is out of its range.
    """
    own = tree.copy()
    with open_dict(own):
        own.pop("hydra", None)
    config = OmegaConf.to_object(own)
    _check_ranges(config, "")
    return config


def _check_ranges(config: Any, prefix: str) -> None:
    """Both ends of a range are accepted if they are finite; null is always accepted."""
    if not dataclasses.is_dataclass(config):
        return
    for field in dataclasses.fields(config):
        key, value = f"{prefix}{field.name}", getattr(config, field.name)
        if isinstance(value, dict):
            for name, item in value.items():
                _check_ranges(item, f"{key}.{name}.")
        _check_ranges(value, f"{key}.")
        if "range" not in field.metadata or value is None:
            continue
        low, high = field.metadata["range"]
        if not (low <= value <= high and math.isfinite(value)):
            accepted = f"{low} to {high}" if math.isfinite(high) else f"{low} or more"
            raise ValueError(f"{key}={value}: accepted {accepted}")


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a schema.

    kind: its type, without None. is_optional: whether null is accepted.
    is_path, is_text: values are file names, or any text; see config/field_kinds.py.
    """

    kind: object
    is_optional: bool = False
    is_path: bool = False
    is_text: bool = False

    @property
    def is_list(self) -> bool:
        return typing.get_origin(self.kind) is list

    @property
    def may_list_texts(self) -> bool:
        """Of type list[str] or list[Path], or Any: a list of texts or one word, as `pixelate.palette`."""
        return self.kind in (list[str], list[Path], Any)


def schema_keys(schema: type, prefix: str = "") -> dict[str, Key]:
    """The keys of a schema by their dotted names, depth first, groups included."""
    keys: dict[str, Key] = {}
    hints = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        name, kind = f"{prefix}{field.name}", hints[field.name]
        is_optional = isinstance(kind, types.UnionType)  # `X | None`
        kind = typing.get_args(kind)[0] if is_optional else kind
        is_path = kind is Path or "path" in field.metadata
        keys[name] = Key(kind, is_optional, is_path, is_text="text" in field.metadata)
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            keys |= schema_keys(kind, f"{name}.")
    return keys
