"""The configuration folder, composing it, and the keys of its schemas.

Each command declares its root schema, a dataclass of pixelpersona/config whose fields are the schemas of its
groups. `register` stores it in Hydra as `<command>_schema`, the first entry of the defaults list in
conf/<command>.yaml.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, OmegaConf

PACKAGE = Path(__file__).resolve().parents[1]
HYDRA_VERSION = "1.3"  # of the behaviour that is asked of Hydra, whichever version is installed


def config_folder() -> Path:
    """The absolute folder of the configuration: `pixelpersona/conf` in a wheel, `conf/` in a checkout."""
    for folder in (PACKAGE / "conf", PACKAGE.parent / "conf"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"{PACKAGE / 'conf'}: the configuration folder is missing; install again")


def register(name: str, schema: type) -> None:
    """Store the root schema of a command in Hydra, for conf/<name>.yaml."""
    ConfigStore.instance().store(name=f"{name}_schema", node=schema, provider="pixelpersona")


def compose_config(folder: Path, name: str, words: Sequence[str], extra: Path | None = None) -> DictConfig:
    """<folder>/<name>.yaml, unresolved; its key `hydra` holds Hydra's own configuration.

    words: overrides. extra: a second configuration folder, as given by --config-dir.
    """
    words = list(words)
    if extra is not None:
        place = QuotedString(f"file://{extra.resolve()}", Quote.single).with_quotes()
        words.insert(0, f"hydra.searchpath=[{place}]")
    with initialize_config_dir(str(folder), version_base=HYDRA_VERSION):
        return compose(name, words, return_hydra_config=True)


def _represent_path(dumper: yaml.Dumper, path: PurePath) -> yaml.ScalarNode:
    return dumper.represent_str(str(path))


# Without this, a path in --cfg and multirun.yaml is `!!python/object/apply:...`.
yaml.add_multi_representer(PurePath, _represent_path)


# In conf/: `a: ${unless:8,${.b}}` is 8, or null when b is not null.
OmegaConf.register_new_resolver(
    "unless", lambda value, *others: value if all(other is None for other in others) else None, replace=True
)


def to_config(tree: DictConfig) -> Any:
    """The typed configuration. Raises ValueError naming a key whose value is out of its range."""
    config = OmegaConf.to_object(tree)
    _check_ranges(config, "")
    return config


def _check_ranges(config: Any, prefix: str) -> None:
    """For keys whose field has metadata {"range": (low, high)}, both accepted if they are finite."""
    if not dataclasses.is_dataclass(config):
        return
    for field in dataclasses.fields(config):
        key, value = f"{prefix}{field.name}", getattr(config, field.name)
        if isinstance(value, dict):
            for name, item in value.items():
                _check_ranges(item, f"{key}.{name}.")
        _check_ranges(value, f"{key}.")
        low, high = field.metadata.get("range", (None, None))
        if low is not None and value is not None and not (low <= value <= high and math.isfinite(value)):
            accepted = f"{low} to {high}" if math.isfinite(high) else f"{low} or more"
            raise ValueError(f"{key}={value}: accepted {accepted}")


# --- the keys of a schema -------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class TypedKeys:
    """What the values of keys are, for words that are typed without quotes (`overrides.quote`).

    all: every key. optional: those that accept null. paths: file names. texts: any text. lists: lists.
    text_lists: lists of texts, or in palette's case perhaps one.
    """

    all: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()
    text_lists: frozenset[str] = frozenset()


def schema_keys(schema: type) -> Iterator[tuple[str, object, bool]]:
    """(dotted key, type without None, whether it is a path), depth first.

    Path keys are those typed Path and those whose field has metadata {"path": True}.
    """
    for key, kind, _, metadata in _fields(schema, ""):
        yield key, kind, kind is Path or bool(metadata.get("path"))


def typed_keys(schema: type) -> TypedKeys:
    """The keys of a schema by what their values are. Text keys have metadata {"text": True}."""
    found = list(_fields(schema, ""))
    texts = {key for key, _, _, metadata in found if metadata.get("text")}
    return TypedKeys(
        all=frozenset(key for key, *_ in found),
        optional=frozenset(key for key, _, is_optional, _ in found if is_optional),
        paths=path_keys(schema),
        texts=frozenset(key for key, kind, *_ in found if key in texts and kind in (str, Path)),
        lists=frozenset(key for key, kind, *_ in found if typing.get_origin(kind) is list),
        text_lists=frozenset(
            key for key, kind, *_ in found if kind == list[str] or (key in texts and kind is Any)
        ),
    )


def path_keys(schema: type) -> frozenset[str]:
    """The keys of a schema whose values are file names."""
    return frozenset(key for key, _, is_path in schema_keys(schema) if is_path)


def _fields(schema: type, prefix: str) -> Iterator[tuple[str, object, bool, Mapping[Any, Any]]]:
    """(dotted key, type without None, whether None is accepted, metadata), depth first."""
    hints = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        kind, key = hints[field.name], f"{prefix}{field.name}"
        is_optional = isinstance(kind, types.UnionType)  # `X | None`
        kind = typing.get_args(kind)[0] if is_optional else kind
        yield key, kind, is_optional, field.metadata
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            yield from _fields(kind, f"{key}.")


def group_names(folder: Path) -> frozenset[str]:
    """The configuration groups of a folder: its subfolders."""
    return frozenset(path.name for path in folder.iterdir() if path.is_dir())


def default_groups(name: str, *folders: Path | None) -> frozenset[str]:
    """The groups in the defaults list of <name>.yaml, in the first of these folders that has this file."""
    files = [folder / f"{name}.yaml" for folder in folders if folder is not None]
    file = next((file for file in files if file.is_file()), None)
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8")) if file else None
    except (yaml.YAMLError, UnicodeDecodeError):  # reported when it is composed
        return frozenset()
    entries = tree.get("defaults") or () if isinstance(tree, dict) else ()
    return frozenset(str(group) for entry in entries if isinstance(entry, dict) for group in entry)


def group_options(group: str, *folders: Path | None) -> list[str]:
    """The options of a group: the names of its files in these configuration folders, sorted."""
    files = (file for folder in folders if folder is not None for file in (folder / group).glob("*.yaml"))
    return sorted({file.stem for file in files})
