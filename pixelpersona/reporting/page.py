"""report.html: a self-contained page that makes no network requests."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

from pixelpersona.evaluation.result import (
    LIKENESS,
    METRICS,
    STYLE,
    EvalResults,
    Metric,
    require_same_features,
)
from pixelpersona.evaluation.tradeoff import Tradeoff
from pixelpersona.reporting.people_table import people_tables
from pixelpersona.reporting.plots import DASHES, curve_plots, interval_plot, run_styles
from pixelpersona.reporting.table import (
    ARROWS,
    REFERENCES,
    differences_table,
    flat_settings,
    results_table,
    seeds_table,
    variant_title,
)
from pixelpersona.reporting.tradeoff_plot import RULE, best_table, settings_table, tradeoff_plot
from pixelpersona.reporting.verdict import baselines, seeds_text, verdict
from pixelpersona.runs.reading import RunRecord

HEADLINES = (STYLE, LIKENESS, "kid_persona_raw")
"""Metrics plotted below the verdict: style, likeness and distribution, all raw."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A contact sheet to embed: a PNG file with title and caption."""

    path: Path
    title: str
    caption: str = ""


@dataclass(frozen=True, slots=True)
class HowMade:
    """How the results were made, to repeat them.

    versions: package → version. hashes: name → sha256. seconds: stage → seconds, from timing.json.
    portrait_seconds: variant → seconds per portrait, from timings.json.
    """

    commands: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    portrait_seconds: Mapping[str, float] = field(default_factory=dict)


def render_page(
    results: EvalResults,
    *,
    title: str = "PixelPersona report",
    runs: Sequence[RunRecord] = (),
    sheets: Sequence[Sheet] = (),
    how: HowMade | None = None,
    tradeoff: Tradeoff | None = None,
) -> str:
    """The page as HTML; the same arguments give the same bytes.

    Raises ValueError when metrics or trade-off are in different features, or a sheet is not a PNG file.
    """
    how = how or HowMade()
    features = require_same_features(results.variants)
    here = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(here),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    stages = {stage: results_table(results, stage, how.portrait_seconds) for stage in ("raw", "snapped", "")}
    seeds = [seeds_table(results, stage, how.portrait_seconds) for stage in stages]
    return environment.get_template("page.html.j2").render(
        title=title,
        style=(here / "page.css").read_text(encoding="utf-8"),
        verdict=[sentence for baseline in baselines(results) for sentence in verdict(results, baseline)],
        facts=_facts(results),
        headlines=[plot for name in HEADLINES if (plot := interval_plot(results, name))],
        sheets=[(*_embedded(sheet.path), sheet) for sheet in sheets],
        tables={name or "training": table for name, table in stages.items() if table.rows},
        people=people_tables(results),
        training_seeds=seeds_text(results),
        seeds=[table for table in seeds if table.rows],
        differences=[table for b in baselines(results) if (table := differences_table(results, b)).rows],
        tradeoff=None if tradeoff is None else _tradeoff(tradeoff, features),
        curves=curve_plots(runs),
        legend=_legend(runs),
        glossary=_glossary(results),
        runs=runs,
        how=how,
        settings=flat_settings(results.settings),
        hashes={"features": features, **_variant_hashes(results), **how.hashes},
        references=[variant_title(r.variant) for r in results.variants if r.variant in REFERENCES],
    )


def _tradeoff(tradeoff: Tradeoff, features_sha256: str) -> dict[str, Any]:
    if tradeoff.features_sha256 != features_sha256:
        again = "run evaluate eval=tradeoff"
        raise ValueError(f"tradeoff.json: measured in other features than result.json; {again}")
    return {
        "plot": tradeoff_plot(tradeoff),
        "best": best_table(tradeoff),
        "settings": settings_table(tradeoff),
        "rule": RULE,
        "num_photos": len(tradeoff.photo_ids),
    }


def _facts(results: EvalResults) -> list[str]:
    """Short facts below the title: numbers of photos, seeds and variants."""
    photos = {len(r.photo_ids) for r in results.variants}
    seeds = {len(set(r.seeds)) for r in results.variants}
    trained = sorted({r.num_seeds for r in results.compared if r.num_parameters})
    return [
        _count(max(photos), f"{results.split} photo"),
        _count(max(seeds), "drawing seed"),
        *([f"training seeds: {' or '.join(map(str, trained))}"] if trained else []),
        _count(len(results.compared), "variant"),
        f"intervals: 95\u00a0%, over photos{' and training seeds' if results.groups else ''}",
    ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _glossary(results: EvalResults) -> list[tuple[str, Metric]]:
    """Each metric once, whether it was measured raw, snapped or both."""
    names = {name for r in results.variants for name in r.metrics}
    first: dict[str, Metric] = {}
    for metric in METRICS.values():
        if metric.name in names:
            first.setdefault(f"{metric.plain_title} {ARROWS[metric.better]}", metric)
    return list(first.items())


def _legend(runs: Sequence[RunRecord]) -> list[tuple[str, str, str]]:
    """Run id, colour and SVG dash pattern of its lines, which are 1.6 points wide."""
    legend = []
    for run_id, (color, dash) in run_styles(runs).items():
        pattern = DASHES[dash]
        dashes = "" if isinstance(pattern, str) else " ".join(f"{1.6 * n:g}" for n in pattern[1])
        legend.append((run_id, color, dashes))
    return legend


def _variant_hashes(results: EvalResults) -> dict[str, str]:
    """Every base once, then every adapter."""
    bases = dict.fromkeys(r.base_sha256 for r in results.variants if r.base_sha256)
    hashes = {"base" if i == 0 else f"base {i + 1}": sha for i, sha in enumerate(bases)}
    return hashes | {r.variant: r.adapter_sha256 for r in results.variants if r.adapter_sha256}


def _embedded(file: Path) -> tuple[str, int]:
    """Data URI and width of a PNG file."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file}: the contact sheet cannot be read ({error.strerror})") from None
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError(f"{file}: a contact sheet must be a PNG file")
    with Image.open(io.BytesIO(data)) as image:
        return f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}", image.width
