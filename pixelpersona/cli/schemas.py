"""The configuration folder, composing it, and the keys of its schemas.

Each command declares its root schema, a dataclass of pixelpersona/config whose fields are the schemas of its
groups. `register` stores it in Hydra as `<command>_schema`, the first entry of the defaults list in
conf/<command>.yaml.
"""

import dataclasses
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig

PACKAGE = Path(__file__).resolve().parents[1]
HYDRA_VERSION = "1.3"  # of the behaviour that is asked of Hydra, whichever version is installed


def config_folder() -> Path:
    """The absolute folder of the configuration: `pixelpersona/conf` in a wheel, `conf/` in a checkout."""
    for folder in (PACKAGE / "conf", PACKAGE.parent / "conf"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"{PACKAGE / 'conf'}: the configuration folder is missing; install again")


def register(group: str, name: str, schema: type) -> None:
    """Store a dataclass in Hydra, for files with `defaults: [<name>, _self_]`; group "" is the root."""
    ConfigStore.instance().store(name=name, node=schema, group=group or None, provider="pixelpersona")


def compose_config(
    folder: Path, name: str, overrides: Sequence[str], extra_folder: Path | None = None
) -> DictConfig:
    """<folder>/<name>.yaml with overrides, unresolved; its key `hydra` holds Hydra's own configuration.

    extra_folder: a second configuration folder, as given by --config-dir.
    """
    words = list(overrides)
    if extra_folder is not None:
        place = QuotedString(f"file://{extra_folder.resolve()}", Quote.single).with_quotes()
        words.insert(0, f"hydra.searchpath=[{place}]")
    with initialize_config_dir(str(folder), version_base=HYDRA_VERSION):
        return compose(name, words, return_hydra_config=True)


def _represent_path(dumper: yaml.Dumper, path: PurePath) -> yaml.ScalarNode:
    return dumper.represent_str(str(path))


# Without this, a path in --cfg and multirun.yaml is `!!python/object/apply:...`.
yaml.add_multi_representer(PurePath, _represent_path)


# --- the keys of a schema -------------------------------------------------------------------------


def schema_keys(schema: type, prefix: str = "") -> Iterator[tuple[str, object, bool]]:
    """(dotted key, type without None, whether it is a path), depth first.

    Path keys are those typed Path and those whose field has metadata {"path": True}.
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


def group_options(group: str, *folders: Path | None) -> list[str]:
    """The options of a group: the names of its files in these configuration folders, sorted."""
    files = (file for folder in folders if folder is not None for file in (folder / group).glob("*.yaml"))
    return sorted({file.stem for file in files})


def _without_none(annotation: object) -> object:
    """`X | None` -> X; other annotations as they are."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
        return kinds[0] if len(kinds) == 1 else annotation
    return annotation
