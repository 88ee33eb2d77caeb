"""Plots of training curves and intervals, as SVG in the text colour and width of the page."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pixelpersona.evaluation.result import METRICS, EvalResults
from pixelpersona.reporting.table import ARROWS, variant_title
from pixelpersona.runs.reading import Curve, RunRecord

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe & Ito 2008: distinguishable with colour blindness, readable on white and on near-black."""
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
MAX_POINTS = 800
INK = "#010203"
"""Placeholder that is replaced by currentColor, so that axes follow a light or dark page."""


@dataclass(frozen=True, slots=True)
class Plot:
    """svg: an inline <svg> element without scripts, links or fonts."""

    title: str
    note: str
    svg: str


def run_styles(runs: Sequence[RunRecord]) -> dict[str, tuple[str, int]]:
    """Run id → (colour, index into DASHES); the dash changes when the colours repeat."""
    return {run.id: (COLORS[i % len(COLORS)], (i // len(COLORS)) % len(DASHES)) for i, run in enumerate(runs)}


def curve_plots(runs: Sequence[RunRecord]) -> list[Plot]:
    """One plot per kind of curve with all runs; losses of different methods have plots of their own."""
    methods = list(dict.fromkeys(run.method for run in runs))
    styles = run_styles(runs)
    plots = []
    for key, title, note in (
        ("train/loss", "training loss", "thin: every logged step; thick: running mean"),
        ("val/loss", "validation loss", "val photos, at fixed noise"),
        ("train/grad_norm", "gradient norm", "before clipping"),
    ):
        for method in methods:
            if chosen := [r for r in runs if r.method == method and r.curves.get(key)]:
                named = f"{title}, {method}" if len(methods) > 1 and method else title
                plots.append(Plot(named, note, _curves(chosen, [key], styles, f"{key}-{method}", named)))
    if rates := [r for r in runs if _keys(r, "train/lr/")]:
        keys = sorted({k for r in rates for k in _keys(r, "train/lr/")})
        note = f"parameter groups: {', '.join(k.removeprefix('train/lr/') for k in keys)}"
        plots.append(Plot("learning rate", note, _curves(rates, keys, styles, "lr", "learning rate")))
    for key in sorted({k for r in runs for k in _keys(r, "eval/")}):
        chosen = [r for r in runs if r.curves.get(key)]
        title, note = _eval_title(key)
        plots.append(Plot(title, note, _curves(chosen, [key], styles, key, title)))
    return plots


def interval_plot(results: EvalResults, metric: str) -> Plot | None:
    """Mean and 95 % interval of every variant in a metric of `METRICS`; None when no variant has it."""
    shown = [(r, r.metrics[metric]) for r in results.compared if metric in r.metrics]
    if not shown:
        return None
    figure, axes = canvas(height=0.75 + 0.27 * len(shown))
    for y, (result, e) in enumerate(shown):
        color = COLORS[1] if result.is_fine_tune else COLORS[0]
        axes.plot([e.low, e.high], [y, y], color=color, linewidth=2.2, solid_capstyle="butt")
        axes.plot([e.mean], [y], "s", color=color, markersize=6)
        of_seeds = [results.variant(name).metrics[metric].mean for name in result.members]
        axes.plot(of_seeds, [y] * len(of_seeds), "|", color=INK, markersize=8)
    axes.set_yticks(range(len(shown)), [variant_title(r.variant).split(" (")[0] for r, _ in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="x", color=INK, alpha=0.15, linewidth=0.6)
    m = METRICS[metric]
    title = f"{m.title} {ARROWS[m.better]}"
    return Plot(title, m.meaning, to_svg(figure, metric, title))


def _curves(
    runs: Sequence[RunRecord], keys: Sequence[str], styles: dict[str, tuple[str, int]], name: str, title: str
) -> str:
    figure, axes = canvas(height=2.3)
    for index, run in enumerate(runs):
        # Earlier runs are drawn wider, below later ones, so that coinciding curves are all visible.
        width = 1.5 + min(3.0, 1.1 * (len(runs) - 1 - index))
        for key in keys:
            if curve := run.curves.get(key):
                _draw(axes, curve, styles[run.id], width, smooth=key == "train/loss")
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.ticklabel_format(axis="y", scilimits=(-3, 4))
    axes.margins(x=0.02)
    axes.grid(axis="y", color=INK, alpha=0.15, linewidth=0.6)
    return to_svg(figure, name, title)


def _draw(axes: Axes, curve: Curve, style: tuple[str, int], width: float, smooth: bool) -> None:
    (x, y), (color, dash) = thin(curve), style
    marker = "o" if len(x) <= 40 and not smooth else ""  # only for few points
    if smooth and len(x) > 20:
        axes.plot(x, y, color=color, alpha=0.25, linewidth=0.7)
        y, width = running_mean(y, max(3, len(y) // 20)), 1.6
    axes.plot(x, y, color=color, linestyle=DASHES[dash], marker=marker, markersize=width + 2, linewidth=width)


def thin(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values, reduced to at most MAX_POINTS by means over equal parts to limit the page size."""
    pieces = np.array_split(np.asarray(curve, dtype=np.float64), min(len(curve), MAX_POINTS))
    steps, values = np.array([piece.mean(axis=0) for piece in pieces]).T
    return steps, values


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Centred mean over `window` values, over fewer at the ends."""
    ones = np.convolve(np.ones_like(values), np.ones(window), mode="same")
    mean: np.ndarray = np.convolve(values, np.ones(window), mode="same") / ones
    return mean


def _keys(run: RunRecord, prefix: str) -> list[str]:
    return [key for key in run.curves if key.startswith(prefix)]


def _eval_title(key: str) -> tuple[str, str]:
    name = key.removeprefix("eval/")
    metric = METRICS.get(name) or METRICS.get(f"{name}_raw")
    if metric is None:
        return name, ""
    title = metric.title if metric.name == name else metric.plain_title
    return f"{title} {ARROWS[metric.better]}, during training", metric.meaning


def canvas(height: float) -> tuple[Figure, Axes]:
    """A figure 4.2 inches wide, the width of a phone at the text size of the page. height: inches."""
    figure = Figure(figsize=(4.2, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(INK)
    axes.tick_params(colors=INK, labelsize=9)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.get_offset_text().set_color(INK)
    return figure, axes


def to_svg(figure: Figure, name: str, title: str) -> str:
    """The bare <svg> element, with ids made unique by `name`, and INK replaced by currentColor."""
    out = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :].replace("xlink:href", "href").replace(INK, "currentColor")
    # The page sets font and line joins, and inline SVG needs no namespace.
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r" font-family: [^;\"]*;?| xmlns(:xlink)?=\"[^\"]*\"", "", svg)
    svg = re.sub(r' (width|height)="[^"]+pt"', "", svg, count=2)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    prefix = re.sub(r"\W+", "-", name)
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", svg)
    for identifier in used:
        svg = svg.replace(f"#{identifier}", f"#{prefix}-{identifier}")
    label = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def save_loss_curves(runs: Sequence[RunRecord], file: Path) -> None:
    """Write a PNG with one plot per run: training loss on a log scale (thin) and its running mean (thick)."""
    figure = Figure(figsize=(3.4 * len(runs), 2.6), layout="constrained", dpi=110)
    for axes, run in zip(np.atleast_1d(figure.subplots(1, len(runs))), runs, strict=True):
        x, y = thin(run.curves["train/loss"])
        axes.plot(x, y, color=COLORS[0], alpha=0.3, linewidth=0.7, marker="." if len(x) <= 20 else "")
        if len(x) > 20:
            axes.plot(x, running_mean(y, len(y) // 20 + 2), color=COLORS[0], linewidth=1.6)
        axes.set_yscale("log")
        axes.set_title(run.id, fontsize=10)
        axes.set_xlabel("step")
        axes.set_ylabel("training loss")
        axes.grid(alpha=0.2)
    figure.savefig(file, metadata={"Software": None})
