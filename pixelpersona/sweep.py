"""A sweep before its jobs start: which there are, where each writes, and one group for all.

`-m lora.rank=4,8 optimizer=adamw,lora_plus` is four jobs. A job's run folder has the name its configuration
gives it (`lora-r4`) plus every swept setting that this name does not show: `lora-r4-lora_plus`. What shows is
found out by composing all jobs, so that no two share a folder, whatever `name` is made of.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

_NOT_THE_JOB = ("hydra", "timing", "tracker", "loop.resume")  # settings that change nothing that is trained
_MAX_KEYS = 80  # characters of a group's name; W&B takes 128


@dataclass(frozen=True, slots=True)
class SweepJob:
    """name: the run's. folder: where it writes. overrides: the whole of its command line, as Hydra gives it.

    swept: key → value of what differs between the sweep's jobs.
    """

    name: str
    folder: Path
    overrides: tuple[str, ...]
    swept: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sweep:
    """group: what the sweep is called at the tracker; the same command always gives the same."""

    group: str
    jobs: tuple[SweepJob, ...]

    def job(self, overrides: Sequence[str]) -> SweepJob:
        """Raises ValueError when it is none of these: only Hydra's basic sweeper is foreseeable."""
        for job in self.jobs:
            if job.overrides == tuple(overrides):
                return job
        raise ValueError(
            "hydra/sweeper: accepted basic; another one does not say beforehand what it will run"
        )


def plan_sweep(
    words: Sequence[str],
    config_name: str,
    folder: Path,
    run_folder: Callable[[Any], Path],
    extra_folder: Path | None = None,
) -> Sweep:
    """The jobs of `-m` with these words; nothing is started.

    folder, extra_folder: of the configuration, and --config-dir. run_folder: typed configuration → folder.
    Raises ValueError naming two jobs that would write into one folder, and what composing a job raises.
    """
    loader = _loader(folder, extra_folder)
    for_hydra, overrides = _job_overrides(loader, config_name, words)
    trees = [_compose(loader, config_name, [*for_hydra, *told]) for told in overrides]
    swept = _swept(overrides)
    jobs = []
    for tree, told, name, varied in zip(trees, overrides, _names(trees, swept), swept, strict=True):
        tree.name = name
        jobs.append(SweepJob(name, run_folder(OmegaConf.to_object(tree)), tuple(told), varied))
    _require_apart(jobs)
    return Sweep(_group(words, list(swept[0])), tuple(jobs))


def _loader(folder: Path, extra_folder: Path | None) -> ConfigLoaderImpl:
    setup_globals()
    search_path = create_config_search_path(str(folder))
    if extra_folder is not None:
        search_path.prepend(provider="command-line", path=f"file://{extra_folder.resolve()}")
    return ConfigLoaderImpl(config_search_path=search_path)


def _compose(loader: ConfigLoaderImpl, config_name: str, words: Sequence[str]) -> DictConfig:
    tree = loader.load_configuration(config_name, list(words), run_mode=RunMode.RUN)
    with open_dict(tree):
        tree.pop("hydra")
    return tree


def _job_overrides(
    loader: ConfigLoaderImpl, config_name: str, words: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Words about Hydra itself, and each job's words: Hydra's own product, in its order."""
    parser = OverridesParser.create(config_loader=loader)
    told = parser.parse_overrides(list(words))
    for_hydra = [o.input_line or "" for o in told if re.match(r"hydra[./]", o.get_key_element())]
    plain = [o.input_line or "" for o in told if not o.is_sweep_override()]
    # An experiment may list what it sweeps; the command line has the last word.
    tree = loader.load_configuration(config_name, plain, run_mode=RunMode.RUN)
    listed = OmegaConf.select(tree, "hydra.sweeper.params") or {}
    swept = parser.parse_overrides([f"{key}={value}" for key, value in listed.items()])
    swept += [override for override in told if (override.input_line or "") not in for_hydra]
    (batch,) = BasicSweeper.split_arguments(swept, max_batch_size=None)
    return for_hydra, batch


def _swept(overrides: Sequence[Sequence[str]]) -> list[dict[str, str]]:
    """Per job, key → value of the overrides that are not the same in all jobs."""
    rows = [[word.partition("=")[::2] for word in told] for told in overrides]
    varied = [column for column, words in enumerate(zip(*overrides, strict=True)) if len(set(words)) > 1]
    return [{row[column][0].lstrip("+"): row[column][1] for column in varied} for row in rows]


def _names(trees: Sequence[DictConfig], swept: Sequence[Mapping[str, str]]) -> list[str]:
    """Each job's name by its configuration, plus what tells it from jobs that differ in one setting only."""
    names = [str(tree.name) for tree in trees]
    hidden: list[list[str]] = [[] for _ in names]
    for key in swept[0]:
        alike: dict[tuple[str, ...], list[int]] = {}  # jobs that differ in this setting alone
        for index, mine in enumerate(swept):
            alike.setdefault(tuple(v for k, v in mine.items() if k != key), []).append(index)
        for members in alike.values():
            if len({names[index] for index in members}) < len(members):
                for index in members:
                    hidden[index].append(_label(key, swept[index][key]))
    return ["-".join([name, *labels]) for name, labels in zip(names, hidden, strict=True)]


def _label(key: str, value: str) -> str:
    """`optimizer=lora_plus` → lora_plus, `optimizer.lr=1e-3` → lr_1e-3: safe in file names and at W&B."""
    text = re.sub(r"[^\w.-]+", "_", value.strip("'\"")).strip("_")
    last = key.rpartition(".")[2]
    return text if "." not in key and not re.fullmatch(r"[\d.]*", text) else f"{last}_{text}"


def _require_apart(jobs: Sequence[SweepJob]) -> None:
    seen: dict[Path, SweepJob] = {}
    for job in jobs:
        other = seen.setdefault(job.folder.resolve(), job)
        if other is not job:
            told = " and ".join(" ".join(f"{k}={v}" for k, v in j.swept.items()) for j in (other, job))
            raise ValueError(
                f"name={job.name}: two jobs of the sweep would write into {job.folder} ({told}); "
                "give every value once, and names that differ"
            )


def _group(words: Sequence[str], keys: Sequence[str]) -> str:
    """sweep-rank-optimizer-1f2e3d: what varies, and a digest of all that was asked for, in any order."""
    asked = sorted(word.lstrip("+") for word in words)
    asked = [word for word in asked if not re.match(rf"({'|'.join(map(re.escape, _NOT_THE_JOB))})\b", word)]
    digest = hashlib.sha256("\n".join(asked).encode("utf-8", "surrogatepass")).hexdigest()[:6]
    varied = "-".join(key.rpartition(".")[2] for key in keys)[:_MAX_KEYS]
    return "-".join(filter(None, ["sweep", varied, digest]))
