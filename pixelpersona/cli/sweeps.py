"""Planning a sweep before its first job: the jobs, their run folders, and one tracker group for all.

`-m lora.rank=4,8 optimizer=adamw,lora_plus` is four jobs. The name of a job's run folder is its configured
name (`lora-r4`), plus every swept setting that this name does not show: `lora-r4-lora_plus`. To find these,
all jobs are composed first. Two jobs in one folder are an error.
"""

import hashlib
import itertools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from pixelpersona.cli.schemas import ConfigSource, to_config
from pixelpersona.tracking.environment import check_environment

_NOT_THE_JOB = ("hydra", "timing", "tracker", "loop.resume")  # settings that do not change what is trained
_MAX_KEYS = 80  # characters of a group's name; W&B accepts 128
_MAX_LABEL = 60  # bytes of one swept setting in a run's name; a folder's name has at most 255


@dataclass(frozen=True, slots=True)
class SweepJob:
    """One job of a sweep.

    name: name of the run. folder: run folder. overrides: all of its overrides, as Hydra passes them.
    swept: key -> value of the settings that differ between the jobs.
    """

    name: str
    folder: Path
    overrides: tuple[str, ...]
    swept: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sweep:
    """group: the tracker group, the same for the same overrides. jobs: in the order they run."""

    group: str
    jobs: tuple[SweepJob, ...]

    def job(self, overrides: Sequence[str]) -> SweepJob:
        """The job with these overrides. Raises ValueError if there is none, as with an adaptive sweeper."""
        for job in self.jobs:
            if job.overrides == tuple(overrides):
                return job
        raise ValueError("hydra/sweeper: accepted basic; the jobs of other sweepers are not known in advance")


def plan_sweep(words: Sequence[str], source: ConfigSource, run_folder: Callable[[Any], Path]) -> Sweep:
    """The jobs that `-m` with these overrides will run; starts none of them.

    run_folder: maps a job's typed configuration to its run folder.
    Raises ValueError naming two jobs that would share a run folder, and the errors of composing a job.
    """
    overrides, trees = _compose_jobs(words, source)
    swept = _swept(overrides)
    jobs = []
    for tree, job, name, varied in zip(trees, overrides, _names(trees, swept), swept, strict=True):
        tree.name = name
        jobs.append(SweepJob(name, run_folder(to_config(tree)), tuple(job), varied))
    if collision := _collision([job.folder for job in jobs], swept):
        index, settings = collision
        raise ValueError(
            f"name={jobs[index].name}: two jobs of the sweep would write into {jobs[index].folder} "
            f"({settings}); give every value once, and names that differ"
        )
    return Sweep(_group(words, list(swept[0])), tuple(jobs))


def require_distinct_outputs(words: Sequence[str], source: ConfigSource) -> None:
    """Raise ValueError when two jobs of `-m` with these overrides would write the same file `out`."""
    overrides, trees = _compose_jobs(words, source)
    swept = _swept(overrides)
    if any(OmegaConf.is_missing(tree, "out") for tree in trees):  # reported by the first job without it
        return
    if collision := _collision([Path(tree.out) for tree in trees], swept):
        index, settings = collision
        tree, out = trees[index], Path(trees[index].out)
        keys = [key for key in swept[index] if isinstance(OmegaConf.select(tree, key), str | int | float)]
        example = out.with_stem("-".join([out.stem, *(f"${{{key}}}" for key in keys)]))
        way = f"fill in what differs: 'out={example}'" if keys else "give each an out of its own"
        raise ValueError(f"out={out}: two jobs of the sweep would write it ({settings}); {way}")


def require_no_sweep(words: Sequence[str], sweeping: str) -> None:
    """Raise ValueError when the running job, which was started without -m, is configured as a sweep.

    words: its overrides. A job that gives every swept setting is one of the sweep's, repeated alone.
    sweeping: the same command line with -m.
    """
    hydra = HydraConfig.get()
    params = hydra.sweeper.params or {}
    if not params.keys() <= {word.partition("=")[0] for word in words} or hydra.mode is RunMode.MULTIRUN:
        swept = " ".join(f"{key}={value}" for key, value in params.items())
        raise ValueError(f"{_experiment(hydra)}: is a sweep, {swept}; add -m: {sweeping}")


def _experiment(hydra: Any) -> str:
    """What lists the settings to sweep, for an error message. hydra: Hydra's own configuration."""
    experiment = hydra.runtime.choices.get("experiment")
    return f"experiment={experiment}" if experiment else "hydra.sweeper.params"


def require_distinct_runs(words: Sequence[str], source: ConfigSource) -> None:
    """Raise ValueError when all jobs of `-m` with these overrides would be one W&B run, by WANDB_RUN_ID."""
    if not os.environ.get("WANDB_RUN_ID"):
        return
    _, trees = _compose_jobs(words, source)
    modes = [OmegaConf.select(tree, "tracker.mode") for tree in trees]
    tracked = [mode.name for mode in modes if mode is not None and mode.name != "disabled"]
    check_environment("auto" if tracked else "disabled", len(tracked))


def _collision(targets: Sequence[Path], swept: Sequence[Mapping[str, str]]) -> tuple[int, str] | None:
    """The first job that writes to the target of an earlier one, and the swept settings of both."""
    seen: dict[Path, int] = {}
    for index, target in enumerate(targets):
        earlier = seen.setdefault(target.resolve(), index)
        if earlier != index:
            settings = (" ".join(f"{k}={v}" for k, v in swept[job].items()) for job in (earlier, index))
            return index, " and ".join(settings)
    return None


def _compose_jobs(words: Sequence[str], source: ConfigSource) -> tuple[list[list[str]], list[DictConfig]]:
    """The overrides and the configuration of each job, in the order of Hydra's basic sweeper.

    The overrides of Hydra's own keys are the same for all jobs and not among theirs.
    """
    parser = OverridesParser.create()
    parsed = parser.parse_overrides(list(words))
    for_hydra = [o.input_line or "" for o in parsed if o.is_hydra_override()]
    # An experiment may list what to sweep; the command line takes precedence.
    tree = source.compose([o.input_line or "" for o in parsed if not o.is_sweep_override()])
    listed = OmegaConf.select(tree, "hydra.sweeper.params") or {}
    swept = parser.parse_overrides([f"{key}={value}" for key, value in listed.items()])
    swept += [o for o in parsed if not o.is_hydra_override()]
    choices = {o.get_key_element(): _choices(o, source) for o in swept}
    jobs = [list(job) for job in itertools.product(*choices.values())]
    trees = [source.compose([*for_hydra, *job]) for job in jobs]
    for tree in trees:
        own = OmegaConf.select(tree, "hydra.sweeper.params") or {}
        if own != listed:  # Hydra would not sweep over them
            raise ValueError(
                f"{_experiment(tree.hydra)}: is a sweep over {', '.join(own)} and cannot be part of another; "
                "run each experiment in a command of its own"
            )
    return jobs, trees


def _choices(override: Override, source: ConfigSource) -> list[str]:
    """`lora.rank=4,8` -> [`lora.rank=4`, `lora.rank=8`]; one element for an override that is no sweep.

    Raises ValueError for a sweep over an interval.
    """
    key = override.get_key_element()
    if not override.is_sweep_override():
        return [f"{key}={override.get_value_element_as_str()}"]
    value: Any = override.value()
    if isinstance(value, Glob):  # Hydra's parser would need Hydra's config loader, which is not public
        return [f"{key}={option}" for option in value.filter(source.options(override.key_or_group))]
    if not override.is_discrete_sweep():
        raise ValueError(f"{override.input_line}: accepted a,b,c, choice(...), range(...) or glob(...)")
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def _swept(overrides: Sequence[Sequence[str]]) -> list[dict[str, str]]:
    """Per job, key -> value of the overrides that differ between the jobs."""
    rows = [[word.partition("=")[::2] for word in job] for job in overrides]
    varied = [column for column, words in enumerate(zip(*overrides, strict=True)) if len(set(words)) > 1]
    return [{row[column][0]: row[column][1] for column in varied} for row in rows]


def _names(trees: Sequence[DictConfig], swept: Sequence[Mapping[str, str]]) -> list[str]:
    """Each job's configured name, plus the swept settings that do not change that name."""
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
    """`optimizer=lora_plus` -> lora_plus, `optimizer.lr=1e-3` -> lr_1e-3: safe in file names and at W&B."""
    text = re.sub(r"[^\w.-]+", "_", value.strip("'\"")).strip("_")
    if len(text.encode("utf-8", "surrogatepass")) > _MAX_LABEL:
        text = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    last = key.rpartition(".")[2]
    return text if "." not in key and not re.fullmatch(r"[\d.]*", text) else f"{last}_{text}"


def _group(words: Sequence[str], keys: Sequence[str]) -> str:
    """sweep-rank-optimizer-1f2e3d: the swept keys, and a digest of all overrides in any order."""
    ignored = re.compile(rf"\+*({'|'.join(map(re.escape, _NOT_THE_JOB))})\b")
    trained = sorted(word for word in words if not ignored.match(word))
    digest = hashlib.sha256("\n".join(trained).encode("utf-8", "surrogatepass")).hexdigest()[:6]
    varied = "-".join(key.rpartition(".")[2] for key in keys)[:_MAX_KEYS]
    return "-".join(filter(None, ["sweep", varied, digest]))
