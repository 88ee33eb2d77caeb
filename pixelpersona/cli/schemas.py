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


# --- the keys of a schema -------------------------------------------------------------------------


def schema_keys(schema: type, prefix: str = "") -> Iterator[tuple[str, object, bool]]:
    """(dotted key, type without None, whether it is a path), depth first.

    Path keys are those typed Path and those whose field has metadata {"path": True}.
    """
    hints = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        kind = hints[field.name]
        if isinstance(kind, types.UnionType):  # `X | None`
            kind = typing.get_args(kind)[0]
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
