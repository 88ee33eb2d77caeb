"""An evaluation in Markdown: report.md, and a study (experiments/<name>/)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelpersona.evaluation.result import EvalResults, require_same_features, save_results
from pixelpersona.evaluation.tradeoff import Tradeoff, save_tradeoff
from pixelpersona.files import write_whole
from pixelpersona.reporting.people_table import people_tables
from pixelpersona.reporting.table import differences_table, results_table, seeds_table
from pixelpersona.reporting.table_formats import Table, to_markdown
from pixelpersona.reporting.tradeoff_plot import (
    RULE,
    best_table,
    plot_note,
    save_tradeoff_plot,
    settings_table,
)
from pixelpersona.reporting.verdict import baselines, seeds_text, verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """The content of a Markdown page about an evaluation.

    title: of the page; for a study, its question. commands: to repeat it. notes: how to read the tables, in
    Markdown. would_change: what could change the verdict, in Markdown. own_metric: see `verdict`.
    portrait_seconds: variant → seconds per portrait.
    """

    title: str
    results: EvalResults
    commands: Sequence[str] = ()
    notes: str = ""
    would_change: str = ""
    own_metric: Mapping[str, str] | None = None
    portrait_seconds: Mapping[str, float] | None = None
    tradeoff: Tradeoff | None = None


def write_study(folder: Path, study: Study, sheet_path: Path) -> Path:
    """Write README.md, results.json and sheet.png; with a trade-off, tradeoff.json and tradeoff.png, too.

    Returns the path of README.md. Raises ValueError when features differ between variants, or the contact
    sheet is missing.
    """
    text = render_study(study, picture="sheet.png", results_file="results.json")
    if not sheet_path.is_file():
        raise ValueError(f"{sheet_path}: the contact sheet of the study does not exist")
    save_results(study.results, folder / "results.json")
    if study.tradeoff is not None:
        save_tradeoff(study.tradeoff, folder / "tradeoff.json")
        save_tradeoff_plot(study.tradeoff, folder / "tradeoff.png")
    sheet = folder / "sheet.png"
    if sheet_path.resolve() != sheet.resolve():
        write_whole(sheet, sheet_path.read_bytes())
    readme = folder / "README.md"
    write_whole(readme, text)
    return readme


def render_study(study: Study, *, picture: str | None, results_file: str) -> str:
    """The page as Markdown. picture, results_file: links to the contact sheet, or None, and to the results.

    Raises ValueError when features differ between variants.
    """
    results = study.results
    features = require_same_features(results.variants)
    answers = [s for b in baselines(results) for s in verdict(results, b, study.own_metric)]
    stages = ("raw", "snapped", "")
    tables = [results_table(results, stage, study.portrait_seconds) for stage in stages]
    tables += [differences_table(results, baseline) for baseline in baselines(results)]
    tables += [seeds_table(results, stage, study.portrait_seconds) for stage in stages]
    seeds = seeds_text(results)
    over_seeds = "; over photos and training seeds where there are several" if results.groups else ""
    parts = [
        f"# {study.title}",
        *answers,
        f"**Training seeds.** {seeds}" if seeds else "",
        f"**What would change the result.** {study.would_change}" if study.would_change else "",
        study.notes,
        f"![The same photos at the same seeds, one column per variant]({picture})" if picture else "",
        "## Reproduce",
        "\n".join(["```sh", *study.commands, "```"]),
        "## Numbers",
        "Arrows show which direction is better. Intervals are 95 % intervals over photos: by bootstrap, and "
        f"Wilson's for shares of photos{over_seeds}. Bold: the best "
        "model of a column (references are not ranked), or a difference whose interval excludes 0. Snapped "
        "pictures are on the grid and palette by construction: only raw ones are evidence of style. "
        f"All digits are in [{results_file}]({results_file}).",
        *(_section(table) for table in tables if table.rows),
        *_by_group(results),
        *_tradeoff(study.tradeoff, "tradeoff.png" if picture else None),
        "## Settings",
        "\n".join(f"- {key}: {_plain(value)}" for key, value in results.settings.items()),
        f"Features of likeness, KID and FID: sha256 `{features}`.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _by_group(results: EvalResults) -> list[str]:
    tables = people_tables(results)
    if not tables:
        return []
    note = "By gender, age and ethnicity, as the photos' captions state them. The groups overlap."
    return ["## By group", note, *map(_section, tables)]


def _tradeoff(tradeoff: Tradeoff | None, picture: str | None) -> list[str]:
    if tradeoff is None:
        return []
    return [
        "## Trade-offs",
        f"![Style against likeness]({picture})\n\n*{plot_note(tradeoff)}*" if picture else "",
        f"{RULE} Settings are selected and evaluated on the same {len(tradeoff.photo_ids)} photos. Bold grid "
        "contrast and likeness in the second table: no other setting of the variant is better in both. All "
        "digits are in [tradeoff.json](tradeoff.json).",
        _section(best_table(tradeoff)),
        _section(settings_table(tradeoff)),
    ]


def _section(table: Table) -> str:
    return f"### {table.title}\n\n{to_markdown(table)}".rstrip()


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    return str(value)
