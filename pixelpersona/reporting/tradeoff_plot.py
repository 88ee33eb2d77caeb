"""Style against likeness at many strengths, guidances and samplers, as a plot and tables."""

import io
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Literal

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pixelpersona.evaluation.intervals import Estimate, paired_difference
from pixelpersona.evaluation.result import LIKENESS, METRICS, STYLE, Metric
from pixelpersona.evaluation.tradeoff import STYLE_SHARE, Setting, Tradeoff
from pixelpersona.files import write_whole
from pixelpersona.reporting.plots import COLORS, INK, Plot, canvas, to_svg
from pixelpersona.reporting.table import (
    ARROWS,
    estimate_cell,
    header,
    interval_places,
    significance,
    variant_title,
)
from pixelpersona.reporting.table_formats import DASH, Cell, Table

_STYLE, _LIKENESS = METRICS[STYLE], METRICS[LIKENESS]
_BASELINE = "base"
RULE = (
    f"Best: the setting with the highest mean likeness among those whose mean grid contrast is at least "
    f"{STYLE_SHARE:g} of that of the target after a VAE round trip. Every LoRA is one training run."
)
_MARKERS = ("o", "s", "^", "D", "v", "P")
_SMALLEST, _GROWTH = 3.5, 1.3  # points: marker size of the lowest strength, and its increase to the next


def tradeoff_plot(tradeoff: Tradeoff) -> Plot:
    """Mean likeness over mean grid contrast: a colour, a Pareto front and a ringed best setting per variant.

    The shape of a marker shows the guidance, or the sampler if there are several; its size shows the
    strength, or the guidance if samplers differ and strengths do not. Settings left of the dashed line do not
    count as pixel art.
    """
    svg = to_svg(_figure(tradeoff), "tradeoff", "Style against likeness")
    return Plot("Style against likeness", plot_note(tradeoff), svg)


def save_tradeoff_plot(tradeoff: Tradeoff, file: Path) -> None:
    """Write the same plot as a PNG on white, 840 pixels wide."""
    out = io.BytesIO()
    _figure(tradeoff).savefig(out, format="png", dpi=200, metadata={"Software": None})
    write_whole(file, out.getvalue())


def plot_note(tradeoff: Tradeoff) -> str:
    """The caption of the plot."""
    return (
        f"{len(tradeoff.photo_ids)} photos, raw. Lines: Pareto front of each variant. Ring: its best "
        f"setting. Dashed: {STYLE_SHARE:g} of the ceiling, from which a setting counts as pixel art."
    )


def _figure(tradeoff: Tradeoff) -> Figure:
    figure, axes = canvas(height=4.1)
    shapes = dict(zip(_labels(tradeoff, _shape_label), cycle(_MARKERS), strict=False))
    sizes = {label: _SMALLEST + _GROWTH * i for i, label in enumerate(_labels(tradeoff, _size_label))}
    axes.axvline(tradeoff.style_threshold, color=INK, linestyle=(0, (4, 2)), linewidth=0.9, alpha=0.7)
    colors = {variant: COLORS[i % len(COLORS)] for i, variant in enumerate(tradeoff.variants)}
    for variant, color in colors.items():
        front = [setting.point for setting in tradeoff.front(variant)]
        axes.plot(*zip(*front, strict=True), color=color, linewidth=1.3, alpha=0.8)
        for s in tradeoff.of(variant):
            shape, size = shapes[_shape_label(tradeoff, s)], sizes[_size_label(tradeoff, s)]
            alpha = 1.0 if s.point in front else 0.45
            axes.plot(*s.point, shape, color=color, markersize=size, alpha=alpha)
        if best := tradeoff.best(variant):
            axes.plot(*best.point, "o", markersize=14, color=INK, fillstyle="none")
    axes.set_xlabel(f"{_STYLE.plain_title} {ARROWS[_STYLE.better]}")
    axes.set_ylabel(f"{_LIKENESS.plain_title} {ARROWS[_LIKENESS.better]}", color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.grid(color=INK, alpha=0.12, linewidth=0.6)
    keys = [_key(variant_title(variant), color, "o", 5.5, "-") for variant, color in colors.items()]
    keys += [_key(label, INK, shape, 5.0) for label, shape in shapes.items()]
    keys += [_key(label, INK, "o", size) for label, size in sizes.items()]
    legend = figure.legend(handles=keys, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    for text in legend.get_texts():
        text.set_color(INK)
    return figure


def best_table(tradeoff: Tradeoff) -> Table:
    """One row per variant with its best setting; dashes where no setting counts as pixel art."""
    best = [tradeoff.best(variant) for variant in tradeoff.variants]
    values = [_cells([s]) if s else [[Cell(DASH)] * 6] for s in best]
    rows = [(variant_title(v), cells) for v, (cells,) in zip(tradeoff.variants, values, strict=True)]
    return Table("Best setting of each variant", _columns(), [""] * 7, rows)


def settings_table(tradeoff: Tradeoff) -> Table:
    """Every setting, and its difference to the base at the same setting, paired over the photos.

    Marked "best": no other setting of the variant is better in both metrics. "better" and "worse": a
    difference whose 95 % interval excludes 0.
    """
    front = [setting for variant in tradeoff.variants for setting in tradeoff.front(variant)]
    measured, differences = _cells(tradeoff.settings, front), _differences(tradeoff)
    rows = [
        (variant_title(setting.variant), [*cells, *compared])
        for setting, cells, compared in zip(tradeoff.settings, measured, differences, strict=True)
    ]
    title = variant_title(_BASELINE)
    columns = [*_columns(), f"grid contrast minus {title}", f"likeness minus {title}"]
    return Table("Every setting", columns, [""] * len(columns), rows)


def _shape_label(tradeoff: Tradeoff, setting: Setting) -> str:
    return setting.sampler if _several_samplers(tradeoff) else f"guidance {setting.guidance:g}"


def _size_label(tradeoff: Tradeoff, setting: Setting) -> str:
    if _several_samplers(tradeoff) and len({s.strength for s in tradeoff.settings}) == 1:
        return f"guidance {setting.guidance:g}"
    return f"strength {setting.strength:g}"


def _several_samplers(tradeoff: Tradeoff) -> bool:
    return len({setting.sampler for setting in tradeoff.settings}) > 1


def _labels(tradeoff: Tradeoff, label: Callable[[Tradeoff, Setting], str]) -> list[str]:
    """The different labels of the settings, by ascending cost, strength and guidance."""
    ordered = sorted(tradeoff.settings, key=lambda s: (s.num_passes, s.strength, s.guidance))
    return list(dict.fromkeys(label(tradeoff, setting) for setting in ordered))


def _key(label: str, color: str, shape: str, size: float, line: Literal["-", ""] = "") -> Line2D:
    return Line2D([], [], color=color, marker=shape, markersize=size, linestyle=line, label=label)


def _columns() -> list[str]:
    return ["variant", "sampler", "strength", "guidance", "UNet passes", header(_STYLE), header(_LIKENESS)]


def _cells(settings: Sequence[Setting], marked: Sequence[Setting] = ()) -> list[list[Cell]]:
    """Sampler settings and both metrics with their intervals, per setting."""
    estimates = [(s.style_estimate, s.likeness_estimate) for s in settings]
    places = [interval_places(column) for column in zip(*estimates, strict=True)]
    rows = []
    for s, found in zip(settings, estimates, strict=True):
        mark = "best" if s in marked else ""
        measured = [estimate_cell(e, n, mark) for e, n in zip(found, places, strict=True)]
        drawn_by = (s.sampler, f"{s.strength:g}", f"{s.guidance:g}", str(s.num_passes))
        rows.append([*map(Cell, drawn_by), *measured])
    return rows


def _differences(tradeoff: Tradeoff) -> list[tuple[Cell, Cell]]:
    """Style and likeness of every setting minus the base's at the same setting; dashes for the base."""
    base = {(s.sampler, s.strength, s.guidance): s for s in tradeoff.of(_BASELINE)}
    pairs = [
        (s, None if s.variant == _BASELINE else base.get((s.sampler, s.strength, s.guidance)))
        for s in tradeoff.settings
    ]
    style = [None if b is None else paired_difference(s.style, b.style) for s, b in pairs]
    like = [None if b is None else paired_difference(s.likeness, b.likeness) for s, b in pairs]
    return list(zip(_signed(style, _STYLE), _signed(like, _LIKENESS), strict=True))


def _signed(found: Sequence[Estimate | None], metric: Metric) -> list[Cell]:
    places = interval_places(found, differences=True)
    return [estimate_cell(e, places, significance(e, metric), signed=True) for e in found]
