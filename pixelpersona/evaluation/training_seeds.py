"""Runs that differ only in their training seed: one result for all of them, and differences over seeds.

Needs no torch, so reports can use it.
"""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

import numpy as np

from pixelpersona.evaluation.intervals import (
    Estimate,
    crossed_mean,
    paired_difference,
    paired_proportions,
    pooled_mean,
)
from pixelpersona.evaluation.result import Difference, EvalResult, EvalResults, metric_of

SeedRows = Mapping[int | None, Sequence[float]]
"""Training seed → one value per photo. The seed is None where nothing was trained."""

_UNKNOWN = -1  # the seed of a single run that does not record it


def group_seeds(results: Sequence[EvalResult], settings: Mapping[str, str]) -> list[EvalResult]:
    """One result for all runs with the same settings, where these were trained with two or more seeds.

    settings: variant → what its run was trained with, apart from the seed. Of several runs with one seed,
    only the first is a member. The group has the name of its runs without `-seed_N` (`lora-r4`); if these
    names differ or another variant has that name, it is named after its first run (`lora-r4-3_seeds`).
    """
    found: dict[str, dict[int, EvalResult]] = {}
    for result in results:
        if result.variant in settings and result.training_seeds:
            runs = found.setdefault(settings[result.variant], {})
            runs.setdefault(result.training_seeds[0], result)
    groups: list[EvalResult] = []
    for runs in found.values():
        if len(runs) > 1:
            taken = {result.variant for result in [*results, *groups]}
            groups.append(_grouped(list(runs.values()), taken))
    return groups


def seed_rows(results: EvalResults, variant: str, metric: str) -> SeedRows | None:
    """The values per photo of every run of a variant; None when the variant or any of them is missing."""
    by_name = {result.variant: result for result in [*results.groups, *results.variants]}
    found = by_name.get(variant)
    if found is None:
        return None
    runs = [by_name[name] for name in found.members] or [found]
    if any(metric not in run.per_photo for run in runs):
        return None
    return {_seed(run): run.per_photo[metric] for run in runs}


def compare_seeds(a: SeedRows, b: SeedRows, *, is_share: bool = False) -> tuple[Estimate, int, float | None]:
    """Mean of a - b with its 95 % interval, the number of training seeds, and the deviation over these.

    Runs with the same seed are compared with each other, because they share their batches and noise; if no
    seed occurs in both, runs are paired in order. What was not trained is compared with every run. With one
    pair of runs, the interval is over photos only and the deviation is None. is_share: the values are 0 or 1.
    Raises ValueError when the numbers of photos differ.
    """
    pairs = _pairs(a, b)
    over_photos = paired_proportions if is_share else paired_difference
    if len(pairs) == 1:
        return over_photos(*pairs[0]), 1, None
    values = np.array([np.subtract(x, y) for x, y in pairs])
    estimate = pooled_mean([over_photos(x, y) for x, y in pairs]) if is_share else crossed_mean(values)
    return estimate, len(pairs), float(values.mean(axis=1).std(ddof=1))


def compare_variants(results: EvalResults, variant: str, baseline: str, metric: str) -> Difference | None:
    """variant minus baseline; None when one of them is missing or has no values per photo in this metric."""
    a, b = (seed_rows(results, name, metric) for name in (variant, baseline))
    if a is None or b is None:
        return None
    return Difference(variant, baseline, metric, *compare_seeds(a, b, is_share=metric_of(metric).is_share))


def _pairs(a: SeedRows, b: SeedRows) -> list[tuple[Sequence[float], Sequence[float]]]:
    if None in b:
        return [(values, b[None]) for values in a.values()]
    if None in a:
        return [(a[None], values) for values in b.values()]
    both = [(a[seed], b[seed]) for seed in a if seed in b]
    return both or list(zip(a.values(), b.values(), strict=False))


def _seed(run: EvalResult) -> int | None:
    if run.num_parameters == 0:
        return None
    return run.training_seeds[0] if run.training_seeds else _UNKNOWN


def _grouped(runs: Sequence[EvalResult], taken: Set[str]) -> EvalResult:
    metrics, deviations = {}, {}
    for name in runs[0].metrics:
        if all(name in run.metrics for run in runs):
            metrics[name] = _over_seeds(runs, name)
            deviations[name] = float(np.std([run.metrics[name].mean for run in runs], ddof=1))
    return replace(
        runs[0],
        variant=_group_name(runs, taken),
        metrics=metrics,
        per_photo={},
        adapter_sha256=None,
        training_seeds=[run.training_seeds[0] for run in runs],
        members=[run.variant for run in runs],
        deviations=deviations,
    )


def _over_seeds(runs: Sequence[EvalResult], name: str) -> Estimate:
    metric = metric_of(name)
    if metric.is_share or name not in runs[0].per_photo:
        found = pooled_mean([run.metrics[name] for run in runs])
    else:
        found = crossed_mean(np.array([run.per_photo[name] for run in runs]))
    return Estimate(found.mean, max(found.low, metric.low), min(found.high, metric.high))


def _group_name(runs: Sequence[EvalResult], taken: Set[str]) -> str:
    plain = {re.sub(rf"-seed_{run.training_seeds[0]}(?=-|$)", "", run.variant) for run in runs}
    if len(plain) == 1 and not plain & taken:
        return plain.pop()
    return f"{runs[0].variant}-{len(runs)}_seeds"
