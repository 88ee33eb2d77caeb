"""Results as tables: one set of rows, written as Markdown, CSV, HTML cells or for the console."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table as ConsoleTable
from rich.text import Text

from pixelpersona.evaluation.result import (
    METRICS,
    Estimate,
    EvalResult,
    EvalResults,
    Metric,
    metric_of,
    paired_difference,
)

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"
ARROWS = {"higher": "\N{UPWARDS ARROW}", "lower": "\N{DOWNWARDS ARROW}"}
REFERENCES = frozenset({"photo", "nearest", "pyxelate", "teacher", "teacher-vae"})
"""Not contestants: the input, what needs no model, and the teacher through the autoencoder (the ceiling)."""

UNRANKED = frozenset({"layout_top1", "grid_contrast_snapped", "palette_error_snapped"})
"""No best and no worse: the floor for likeness, and what snapping settles by construction."""

_TITLES = {
    "photo": "photo",
    "nearest": "nearest neighbour",
    "pyxelate": "Pyxelate",
    "teacher": "teacher (training art)",
    "teacher-vae": "teacher via autoencoder",
    "base": "untouched base",
    "base-g1": "base, guidance 1",
    "translator": "translator (baseline)",
}


def variant_title(variant: str) -> str:
    """How a variant is called in prose: "lora-r8" is "LoRA rank 8"; an unknown one keeps its name.

    What a sweep varied beside the rank follows: "lora-r8-palette_32" is "LoRA rank 8, palette 32". A run in
    a folder further down names it: "ranks/lora-r8" is "LoRA rank 8 (ranks)".
    """
    folder, _, name = variant.rpartition("/")
    lora = re.fullmatch(r"lora-r(\d+)(?:-(.+))?", name)
    title = _TITLES.get(name, name)
    if lora is not None:
        title = f"LoRA rank {lora[1]}" + (f", {lora[2].replace('_', ' ')}" if lora[2] else "")
    return f"{title} ({folder})" if folder else title


def with_article(variant: str) -> str:
    """ "the untouched base", but "LoRA rank 8": LoRAs are called by a name, the others by what they are."""
    title = variant_title(variant)
    return title if title.startswith("LoRA") else f"the {title}"


def difference(results: EvalResults, variant: str, baseline: str, metric: str) -> Estimate | None:
    """variant minus baseline, paired over photos: as evaluated, or from the per-photo values.

    None when the results hold neither.
    """
    for known in results.differences:
        if (known.variant, known.baseline, known.metric) == (variant, baseline, metric):
            return known.estimate
    by_name = {r.variant: r for r in results.variants}
    a, b = by_name.get(variant), by_name.get(baseline)
    if a is None or b is None or a.photo_ids != b.photo_ids or len(a.photo_ids) < 2:
        return None
    if metric not in a.per_photo or metric not in b.per_photo:
        return None
    return paired_difference(a.per_photo[metric], b.per_photo[metric])


@dataclass(frozen=True, slots=True)
class Cell:
    """text: the value. interval: "0.58 to 0.63" or "". mark: "best", "better", "worse" or ""."""

    text: str
    interval: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """columns: titles with arrow and range, first the row names'. notes: one per column, "" for none."""

    title: str
    columns: list[str]
    notes: list[str]
    rows: list[tuple[str, list[Cell]]]


def results_table(results: EvalResults, stage: str, seconds: Mapping[str, float] | None = None) -> Table:
    """One row per variant, one column per metric of a stage: "raw", "snapped", or "" for the others.

    seconds: variant → seconds per portrait, for the last table only: they differ from run to run, so no
    result holds them. mark "best" goes to the best mean among the models; references do not compete.
    """
    metrics = [m for m in _metrics_of(results) if m.stage == stage]
    columns = [[r.metrics.get(m.name) for r in results.variants] for m in metrics]
    decimals = [interval_places(column) for column in columns]
    winners = [_winners(results, m) for m in metrics]
    seconds = seconds or {}
    rows = []
    for i, result in enumerate(results.variants):
        if stage == "" and not any(column[i] for column in columns) and result.variant not in seconds:
            continue  # losses are for what was trained: a row of dashes says nothing
        cells = [
            _cell(column[i], places, mark="best" if result.variant in won else "")
            for column, places, won in zip(columns, decimals, winners, strict=True)
        ]
        if stage == "":
            cells += _costs(result, seconds)
        rows.append((variant_title(result.variant), cells))
    headers = [(_header(m), m.meaning) for m in metrics] + (_cost_headers(seconds) if stage == "" else [])
    titles, notes = [title for title, _ in headers], [note for _, note in headers]
    names = {"raw": "Raw: as the sampler drew it", "snapped": "Snapped: on the grid and 16 colours"}
    return Table(names.get(stage, "Training and cost"), ["variant", *titles], ["", *notes], rows)


def _cost_headers(seconds: Mapping[str, float]) -> list[tuple[str, str]]:
    """Titles and notes of `_costs`' cells."""
    parameters = ("trained parameters", "numbers that training changed")
    time = ("s per portrait\u00a0↓", "seconds, grid and palette included, on the machine that evaluated")
    return [parameters, time] if seconds else [parameters]


def _costs(result: EvalResult, seconds: Mapping[str, float]) -> list[Cell]:
    """Parameters, and the seconds where any variant has them."""
    cells = [Cell(f"{result.num_parameters:,}" if result.num_parameters else DASH)]
    if seconds:
        taken = seconds.get(result.variant)
        cells.append(Cell(DASH if taken is None else f"{taken:.3g}"))
    return cells


def differences_table(results: EvalResults, baseline: str = "base") -> Table:
    """Every metric of every model minus the baseline's, paired over the same photos.

    mark "better" or "worse" where the 95 % interval excludes 0; no mark means: not shown.
    """
    variants = [r.variant for r in results.variants if r.variant != baseline and r.variant not in REFERENCES]
    rows = []
    for metric in _metrics_of(results):
        found = [difference(results, v, baseline, metric.name) for v in variants]
        if any(e and (e.low, e.high) != (0.0, 0.0) for e in found):  # all 0: the same by construction
            places = interval_places(found, differences=True)
            cells = [_cell(e, places, mark=significance(e, metric), signed=True) for e in found]
            rows.append((f"{metric.title}\u00a0{ARROWS[metric.better]}", cells))
    title = f"Difference to {with_article(baseline)}, paired over the same photos"
    return Table(title, ["metric", *map(variant_title, variants)], [""] * (len(variants) + 1), rows)


def significance(estimate: Estimate | None, metric: Metric) -> str:
    """ "better" or "worse" when a difference's interval excludes 0 and the metric ranks, else ""."""
    if estimate is None or estimate.low <= 0 <= estimate.high or UNRANKED & {metric.name, metric.stem}:
        return ""
    return "better" if (estimate.low > 0) == (metric.better == "higher") else "worse"


def to_markdown(table: Table) -> str:
    """A GitHub table; the best of a column, and every shown difference, in bold."""
    lines = [_pipe(table.columns), _pipe(["---", *["---:"] * (len(table.columns) - 1)])]
    for title, cells in table.rows:
        lines.append(_pipe([title, *(_in_one(c, "**{}**") for c in cells)]))
    return "\n".join(lines) + "\n"


def to_console(table: Table) -> ConsoleTable:
    """For rich's console: the best of a column green, a loss against the baseline red."""
    styles = {"best": "bold green", "better": "green", "worse": "red", "": ""}
    shown = ConsoleTable(title=table.title, title_justify="left", title_style="bold")
    for index, column in enumerate(table.columns):
        shown.add_column(column, justify="right" if index else "left", overflow="fold")
    for title, cells in table.rows:
        shown.add_row(title, *(Text(_in_one(c, "{}", "\n"), style=styles[c.mark]) for c in cells))
    return shown


def to_csv(results: EvalResults) -> str:
    """Long form, full precision: variant, baseline ("" for a value), metric, stage, mean, low, high."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["variant", "baseline", "metric", "stage", "better", "mean", "low", "high"])
    entries = [(r.variant, "", name, e) for r in results.variants for name, e in r.metrics.items()]
    entries += [(d.variant, d.baseline, d.metric, d.estimate) for d in results.differences]
    for variant, baseline, name, e in entries:
        m = metric_of(name)
        writer.writerow([variant, baseline, name, m.stage, m.better, repr(e.mean), repr(e.low), repr(e.high)])
    return out.getvalue()


def format_number(value: float, places: int, signed: bool = False) -> str:
    """With a typographic minus; never "-0.00"."""
    text = f"{value:+.{places}f}" if signed else f"{value:.{places}f}"
    if not text.strip("+-0."):
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def format_interval(estimate: Estimate, places: int) -> str:
    """ "0.58 to 0.63": "to" and not a dash, because bounds may be negative."""
    return f"{format_number(estimate.low, places)} to {format_number(estimate.high, places)}"


def interval_places(estimates: Iterable[Estimate | None], differences: bool = False) -> int:
    """Decimals that show a typical interval's width and no more: 2 for 0.61 to 0.64.

    Three digits of the largest value where there is no interval. For differences, enough that no bound
    of an interval that excludes 0 is printed as 0.
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
    """Metrics any variant has, in the table's order; unknown ones last, as they are named."""
    names = list(dict.fromkeys(name for r in results.variants for name in r.metrics))
    others = [metric_of(name) for name in names if name not in METRICS]
    return [m for m in METRICS.values() if m.name in names] + others


def _header(metric: Metric) -> str:
    """ "likeness ↑ (−1 to 1)": which way is better, and where it can lie."""
    return f"{_plain_title(metric)}\u00a0{ARROWS[metric.better]} ({metric.range})"


def _plain_title(metric: Metric) -> str:
    return metric.title.removesuffix(f", {metric.stage}") if metric.stage else metric.title


def _winners(results: EvalResults, metric: Metric) -> set[str]:
    means = {
        r.variant: r.metrics[metric.name].mean
        for r in results.variants
        if metric.name in r.metrics and r.variant not in REFERENCES
    }
    if len(set(means.values())) < 2 or UNRANKED & {metric.name, metric.stem}:
        return set()
    best = max(means.values()) if metric.better == "higher" else min(means.values())
    return {variant for variant, mean in means.items() if mean == best}


def _cell(estimate: Estimate | None, places: int, mark: str = "", signed: bool = False) -> Cell:
    if estimate is None:
        return Cell(DASH)
    interval = format_interval(estimate, places) if estimate.high > estimate.low else ""
    return Cell(format_number(estimate.mean, places, signed), interval, mark)


def _in_one(cell: Cell, bold: str, gap: str = " ") -> str:
    text = bold.format(cell.text) if cell.mark in ("best", "better", "worse") else cell.text
    return f"{text}{gap}({cell.interval})" if cell.interval else text


def _pipe(cells: Sequence[str]) -> str:
    escaped = (cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(escaped)} |"
