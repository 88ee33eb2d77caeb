"""Tables of results and of their differences, and the CSV of both."""

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import astuple
from typing import Any

from pixelpersona.evaluation.result import (
    METRICS,
    Estimate,
    EvalResults,
    Metric,
    metric_of,
    paired_difference,
)
from pixelpersona.reporting.table_formats import DASH, Cell, Table

MINUS = "\N{MINUS SIGN}"
ARROWS = {"higher": "\N{UPWARDS ARROW}", "lower": "\N{DOWNWARDS ARROW}"}
REFERENCES = frozenset({"photo", "nearest", "pyxelate", "target", "target-vae"})
"""Variants without a model, and the target before and after a VAE round trip: not ranked."""

_UNRANKED = {"layout_top1_raw", "layout_top1_snapped", "grid_contrast_snapped", "palette_error_snapped"}
"""Metrics without best or worse: the floor for likeness, and what snapping fixes by construction."""

_TITLES = {
    "photo": "photo",
    "nearest": "nearest neighbour",
    "pyxelate": "Pyxelate",
    "target": "target (training art)",
    "target-vae": "target via VAE",
    "base": "untouched base",
    "base-g1": "base, guidance 1",
    "supervised": "supervised baseline",
}


def variant_title(variant: str) -> str:
    """Title of a variant: "lora-r8" is "LoRA rank 8", "ranks/lora-r8" is "LoRA rank 8 (ranks)".

    Further swept settings follow: "lora-r8-palette_32" is "LoRA rank 8, palette 32". An unknown variant keeps
    its name.
    """
    folder, _, name = variant.rpartition("/")
    lora = re.fullmatch(r"lora-r(\d+)(?:-(.+))?", name)
    if lora is None:
        title = _TITLES.get(name, name)
    else:
        title = f"LoRA rank {lora[1]}" + (f", {lora[2].replace('_', ' ')}" if lora[2] else "")
    return f"{title} ({folder})" if folder else title


def with_article(variant: str) -> str:
    """The title, after "the" unless it is a LoRA: "the untouched base", "LoRA rank 8"."""
    title = variant_title(variant)
    return title if title.startswith("LoRA") else f"the {title}"


def difference(results: EvalResults, variant: str, baseline: str, metric: str) -> Estimate | None:
    """variant minus baseline, paired over photos: as stored, or computed from the values per photo.

    None when the results contain neither.
    """
    for known in results.differences:
        if (known.variant, known.baseline, known.metric) == (variant, baseline, metric):
            return known.estimate
    by_name = {r.variant: r for r in results.variants}
    a, b = by_name.get(variant), by_name.get(baseline)
    if a is None or b is None or not (metric in a.per_photo and metric in b.per_photo):
        return None
    if a.photo_ids != b.photo_ids or len(a.photo_ids) < 2:
        return None
    return paired_difference(a.per_photo[metric], b.per_photo[metric])


def results_table(results: EvalResults, stage: str, seconds: Mapping[str, float] | None = None) -> Table:
    """One row per variant, one column per metric of a stage: "raw", "snapped", or "" for the others.

    seconds: variant → seconds per portrait, shown with stage "" only; results do not contain them because
    they differ from run to run. The best mean of a column is marked "best"; references are not ranked.
    """
    variants, seconds = [r.variant for r in results.variants], seconds or {}
    headers, columns = [], []
    for metric in (m for m in _metrics_of(results) if m.stage == stage):
        estimates = [r.metrics.get(metric.name) for r in results.variants]
        places, best = interval_places(estimates), _winners(results, metric)
        marks = ["best" if variant in best else "" for variant in variants]
        headers.append((header(metric), metric.meaning))
        columns.append([estimate_cell(e, places, mark) for e, mark in zip(estimates, marks, strict=True)])
    shown = [any(cells[i].text != DASH for cells in columns) for i in range(len(variants))]
    if stage == "":
        headers.append(("trained parameters", "number of trained parameters"))
        numbers = [r.num_parameters for r in results.variants]
        columns.append([Cell(f"{number:,}" if number else DASH) for number in numbers])
    if stage == "" and seconds:
        note = "seconds per portrait on the evaluating machine, snapping included"
        headers.append(("s per portrait\u00a0↓", note))
        columns.append([Cell(f"{seconds[v]:.3g}" if v in seconds else DASH) for v in variants])
    rows = [
        (variant_title(variant), [cells[i] for cells in columns])
        for i, variant in enumerate(variants)
        if stage or shown[i] or variant in seconds  # without rows that would hold dashes only
    ]
    titles, notes = [title for title, _ in headers], [note for _, note in headers]
    names = {"raw": "Raw: before snapping", "snapped": "Snapped: on the grid, with 16 colours"}
    return Table(names.get(stage, "Training and cost"), ["variant", *titles], ["", *notes], rows)


def differences_table(results: EvalResults, baseline: str = "base") -> Table:
    """Every metric of every model minus that of the baseline, paired over the same photos.

    Marked "better" or "worse" where the 95 % interval excludes 0.
    """
    variants = [r.variant for r in results.variants if r.variant != baseline and r.variant not in REFERENCES]
    rows = []
    for metric in _metrics_of(results):
        found = [difference(results, v, baseline, metric.name) for v in variants]
        if any(e and (e.low, e.high) != (0.0, 0.0) for e in found):  # all 0: equal by construction
            places = interval_places(found, differences=True)
            cells = [estimate_cell(e, places, significance(e, metric), signed=True) for e in found]
            rows.append((f"{metric.title}\u00a0{ARROWS[metric.better]}", cells))
    title = f"Difference to {with_article(baseline)}, paired over the same photos"
    return Table(title, ["metric", *map(variant_title, variants)], [""] * (len(variants) + 1), rows)


def significance(estimate: Estimate | None, metric: Metric) -> str:
    """ "better" or "worse" if the interval of a difference excludes 0 and the metric is ranked, else ""."""
    if estimate is None or estimate.low <= 0 <= estimate.high or metric.name in _UNRANKED:
        return ""
    return "better" if (estimate.low > 0) == (metric.better == "higher") else "worse"


def to_csv(results: EvalResults) -> str:
    """CSV in long form and full precision: one row per value (baseline "") and per difference."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["variant", "baseline", "metric", "stage", "better", "mean", "low", "high"])
    entries = [(r.variant, "", name, e) for r in results.variants for name, e in r.metrics.items()]
    entries += [(d.variant, d.baseline, d.metric, d.estimate) for d in results.differences]
    for variant, baseline, name, e in entries:
        metric = metric_of(name)
        writer.writerow([variant, baseline, name, metric.stage, metric.better, *astuple(e)])
    return out.getvalue()


def flat_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings with dotted keys: {"sampler": {"num_steps": 10}} → {"sampler.num_steps": 10}."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flat_settings(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def format_number(value: float, places: int, signed: bool = False) -> str:
    """The number with a typographic minus; never "-0.00"."""
    text = f"{value:{'+' if signed else ''}.{places}f}"
    if not text.strip("+-0."):
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def format_interval(estimate: Estimate, places: int) -> str:
    """ "0.58 to 0.63"; no dash, because bounds may be negative."""
    return f"{format_number(estimate.low, places)} to {format_number(estimate.high, places)}"


def interval_places(estimates: Iterable[Estimate | None], differences: bool = False) -> int:
    """Number of decimals that resolves the median width of the intervals: 2 for 0.61 to 0.64.

    Without any interval, three digits of the largest value. For differences, enough that no bound of an
    interval that excludes 0 is printed as 0.
    """
    known = [e for e in estimates if e is not None]
    largest = max((abs(e.mean) for e in known), default=0.0)
    widths = sorted(e.high - e.low for e in known if e.high > e.low)
    if not widths:
        return min(5, max(0, 2 - math.floor(math.log10(largest)))) if largest else 2
    places = max(math.ceil(0.3 - math.log10(widths[len(widths) // 2])), 2 if largest < 10 else 0)
    if differences:
        nearest = [min(abs(e.low), abs(e.high)) for e in known if e.low > 0 or e.high < 0]
        while places < 5 and any(round(bound, places) == 0 for bound in nearest):
            places += 1
    return min(5, places)


def _metrics_of(results: EvalResults) -> list[Metric]:
    """Metrics that any variant has, in the order of `METRICS`, then all others."""
    names = list(dict.fromkeys(name for r in results.variants for name in r.metrics))
    others = [metric_of(name) for name in names if name not in METRICS]
    return [m for m in METRICS.values() if m.name in names] + others


def header(metric: Metric) -> str:
    """ "likeness ↑ (−1 to 1)": title, better direction and range."""
    return f"{metric.plain_title}\u00a0{ARROWS[metric.better]} ({metric.range})"


def _winners(results: EvalResults, metric: Metric) -> set[str]:
    means = {
        r.variant: r.metrics[metric.name].mean
        for r in results.variants
        if metric.name in r.metrics and r.variant not in REFERENCES
    }
    if len(set(means.values())) < 2 or metric.name in _UNRANKED:
        return set()
    best = max(means.values()) if metric.better == "higher" else min(means.values())
    return {variant for variant, mean in means.items() if mean == best}


def estimate_cell(estimate: Estimate | None, places: int, mark: str = "", signed: bool = False) -> Cell:
    """The mean with its interval, if that has a width; a dash for None."""
    if estimate is None:
        return Cell(DASH)
    interval = format_interval(estimate, places) if estimate.high > estimate.low else ""
    return Cell(format_number(estimate.mean, places, signed), interval, mark)
