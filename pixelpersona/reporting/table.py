"""Tables of results and of their differences, and the CSV of both."""

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from pixelpersona.evaluation.intervals import Estimate
from pixelpersona.evaluation.result import METRICS, Difference, EvalResult, EvalResults, Metric, metric_of
from pixelpersona.evaluation.training_seeds import compare_variants
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


RESERVED_VARIANTS = frozenset(_TITLES)
"""Names that no other LoRA gets in a comparison."""


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


def row_title(result: EvalResult) -> str:
    """The title of a variant, with the number of its training seeds if there are several."""
    title = variant_title(result.variant)
    return f"{title} ({result.num_seeds} seeds)" if result.members else title


def difference(results: EvalResults, variant: str, baseline: str, metric: str) -> Difference | None:
    """variant minus baseline, paired over photos and seeds: as stored, or computed from the values per photo.

    None when the results contain neither.
    """
    for known in results.differences:
        if (known.variant, known.baseline, known.metric) == (variant, baseline, metric):
            return known
    photos = {r.variant: r.photo_ids for r in [*results.variants, *results.groups]}
    if photos.get(variant) != photos.get(baseline) or len(photos.get(variant, [])) < 2:
        return None
    return compare_variants(results, variant, baseline, metric)


def results_table(results: EvalResults, stage: str, seconds: Mapping[str, float] | None = None) -> Table:
    """One row per variant, one column per metric of a stage: "raw", "snapped", or "" for the others.

    Runs that differ only in their training seed are one row. The best mean of a column is marked "best";
    references are not ranked.
    seconds: variant → seconds per portrait, shown with stage "" only; results do not contain them because
    they differ from run to run.
    """
    return _table(results.compared, stage, seconds or {}, is_ranked=True)


def seeds_table(results: EvalResults, stage: str, seconds: Mapping[str, float] | None = None) -> Table:
    """As `results_table`, for the single runs behind the rows with several seeds; none is marked best."""
    table = _table(results.runs_of_groups, stage, seconds or {}, is_ranked=False)
    return replace(table, title=f"Single training seeds. {table.title}")


def _table(
    results: Sequence[EvalResult], stage: str, seconds: Mapping[str, float], *, is_ranked: bool
) -> Table:
    headers, columns = [], []
    for metric in (m for m in _metrics_of(results) if m.stage == stage):
        estimates = [r.metrics.get(metric.name) for r in results]
        places, best = interval_places(estimates), _winners(results, metric) if is_ranked else set()
        headers.append((header(metric), metric.meaning))
        columns.append(
            [
                estimate_cell(
                    e, places, "best" if r.variant in best else "", deviation=r.deviations.get(metric.name)
                )
                for r, e in zip(results, estimates, strict=True)
            ]
        )
    shown = [any(cells[i].text != DASH for cells in columns) for i in range(len(results))]
    timed = [[seconds[name] for name in r.members or [r.variant] if name in seconds] for r in results]
    if stage == "":
        headers.append(("trained parameters", "number of trained parameters"))
        columns.append([Cell(f"{r.num_parameters:,}" if r.num_parameters else DASH) for r in results])
    if stage == "" and seconds:
        note = "seconds per portrait on the evaluating machine, snapping included"
        headers.append(("s per portrait\u00a0↓", note))
        columns.append([Cell(f"{fmean(found):.3g}" if found else DASH) for found in timed])
    rows = [
        (row_title(result), [cells[i] for cells in columns])
        for i, result in enumerate(results)
        if stage or shown[i] or timed[i]  # without rows that would hold dashes only
    ]
    titles, notes = [title for title, _ in headers], [note for _, note in headers]
    names = {"raw": "Raw: before snapping", "snapped": "Snapped: on the grid, with 16 colours"}
    return Table(names.get(stage, "Training and cost"), ["variant", *titles], ["", *notes], rows)


def differences_table(
    results: EvalResults, baseline: str = "base", variants: Sequence[EvalResult] | None = None
) -> Table:
    """Every metric of every model, or of these variants, minus that of the baseline, over the same photos.

    Marked "better" or "worse" where the 95 % interval excludes 0. If the baseline was trained, the title
    says how many training seeds are compared.
    """
    rows = results.compared if variants is None else variants
    shown = [r for r in rows if r.variant != baseline and r.variant not in REFERENCES]
    lines: list[tuple[str, list[Cell]]] = []
    nums: set[int] = set()
    for metric in _metrics_of(results.variants):
        found = [difference(results, r.variant, baseline, metric.name) for r in shown]
        estimates = [None if d is None else d.estimate for d in found]
        if any(e and (e.low, e.high) != (0.0, 0.0) for e in estimates):  # all 0: equal by construction
            places = interval_places(estimates, differences=True)
            cells = [
                estimate_cell(
                    e, places, significance(e, metric), signed=True, deviation=d.deviation if d else None
                )
                for d, e in zip(found, estimates, strict=True)
            ]
            lines.append((f"{metric.title}\u00a0{ARROWS[metric.better]}", cells))
            nums |= {d.num_seeds for d in found if d}
    title = f"Difference to {with_article(baseline)}, paired over the same photos"
    if nums and results.variant(baseline).num_parameters:
        seeds = " to ".join(map(str, sorted({min(nums), max(nums)})))
        title += f" and {seeds} training seeds" if max(nums) > 1 else ", one training run each"
    return Table(title, ["metric", *map(row_title, shown)], [""] * (len(shown) + 1), lines)


def significance(estimate: Estimate | None, metric: Metric) -> str:
    """ "better" or "worse" if the interval of a difference excludes 0 and the metric is ranked, else ""."""
    if estimate is None or estimate.low <= 0 <= estimate.high or metric.name in _UNRANKED:
        return ""
    return "better" if (estimate.low > 0) == (metric.better == "higher") else "worse"


def to_csv(results: EvalResults) -> str:
    """CSV in long form and full precision: one row per value (baseline "") and per difference.

    The last columns are the number of training seeds and the deviation over them, empty for one seed.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["variant", "baseline", "metric", "stage", "better", *NUMBERS])
    for variant, baseline, name, *numbers in [*value_rows(results), *difference_rows(results)]:
        metric = metric_of(name)
        writer.writerow([variant, baseline, name, metric.stage, metric.better, *numbers])
    return out.getvalue()


NUMBERS = ("mean", "low", "high", "num_seeds", "deviation")
"""The last columns of `value_rows` and `difference_rows`; the deviation is over the training seeds."""

NumberRow = tuple[str, str, str, float, float, float, int, float | None]
"""variant, baseline, metric, and `NUMBERS`."""


def value_rows(results: EvalResults) -> list[NumberRow]:
    """One row per run or group and metric; the baseline is ""."""
    return [
        (r.variant, "", name, e.mean, e.low, e.high, r.num_seeds, r.deviations.get(name))
        for r in [*results.variants, *results.groups]
        for name, e in r.metrics.items()
    ]


def difference_rows(results: EvalResults) -> list[NumberRow]:
    """One row per stored difference."""
    return [
        (d.variant, d.baseline, d.metric, e.mean, e.low, e.high, d.num_seeds, d.deviation)
        for d in results.differences
        for e in (d.estimate,)
    ]


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


def _metrics_of(results: Sequence[EvalResult]) -> list[Metric]:
    """Metrics that any of them has, in the order of `METRICS`, then all others."""
    names = list(dict.fromkeys(name for r in results for name in r.metrics))
    others = [metric_of(name) for name in names if name not in METRICS]
    return [m for m in METRICS.values() if m.name in names] + others


def header(metric: Metric) -> str:
    """ "likeness ↑ (−1 to 1)": title, better direction and range."""
    return f"{metric.plain_title}\u00a0{ARROWS[metric.better]} ({metric.range})"


def _winners(results: Sequence[EvalResult], metric: Metric) -> set[str]:
    means = {
        r.variant: r.metrics[metric.name].mean
        for r in results
        if metric.name in r.metrics and r.variant not in REFERENCES
    }
    if len(set(means.values())) < 2 or metric.name in _UNRANKED:
        return set()
    best = max(means.values()) if metric.better == "higher" else min(means.values())
    return {variant for variant, mean in means.items() if mean == best}


def estimate_cell(
    estimate: Estimate | None,
    places: int,
    mark: str = "",
    signed: bool = False,
    deviation: float | None = None,
) -> Cell:
    """The mean with its interval, if that has a width, and its deviation over seeds; a dash for None."""
    if estimate is None:
        return Cell(DASH)
    interval = format_interval(estimate, places) if estimate.high > estimate.low else ""
    if deviation is not None and interval:
        interval += f"; SD {deviation:.2g}"
    return Cell(format_number(estimate.mean, places, signed), interval, mark)
