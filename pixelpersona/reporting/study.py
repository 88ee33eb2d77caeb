"""An evaluation in Markdown: report.md, and a study for the lab notebook (experiments/<name>/)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelpersona.evaluation.result import EvalResults, require_same_features, save_results
from pixelpersona.evaluation.tradeoff import Tradeoff, save_tradeoff
from pixelpersona.reporting.table import Table, differences_table, results_table, to_markdown
from pixelpersona.reporting.tradeoff import RULE, best_table, plot_note, save_tradeoff_plot, settings_table
from pixelpersona.reporting.verdict import verdict
from pixelpersona.writing import write_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a page of Markdown says about an evaluation.

    title: of the page; of a study its question, in one sentence. commands: what repeats it. notes: what a
    reader of the tables should know, in Markdown. would_change: what would change the verdict, in Markdown.
    own_style: see `verdict`. portrait_seconds: variant → seconds per portrait. tradeoff: of strengths and
    guidances, where it was measured.
    """

    title: str
    results: EvalResults
    commands: Sequence[str] = ()
    notes: str = ""
    would_change: str = ""
    own_style: Mapping[str, str] | None = None
    portrait_seconds: Mapping[str, float] | None = None
    tradeoff: Tradeoff | None = None


def write_study(folder: Path, entry: Entry, sheet_path: Path) -> Path:
    """Write the files of a study and return the README's path.

    README.md, results.json, sheet.png, and tradeoff.json with tradeoff.png where there is one.
    Raises ValueError when features differ between variants, or the sheet is missing.
    """
    text = render_entry(entry, picture="sheet.png", digits="results.json")
    if not sheet_path.is_file():
        raise ValueError(f"{sheet_path}: the study's contact sheet does not exist")
    save_results(entry.results, folder / "results.json")
    if entry.tradeoff is not None:
        save_tradeoff(entry.tradeoff, folder / "tradeoff.json")
        save_tradeoff_plot(entry.tradeoff, folder / "tradeoff.png")
    sheet = folder / "sheet.png"
    if sheet_path.resolve() != sheet.resolve():
        write_whole(sheet, sheet_path.read_bytes())
    readme = folder / "README.md"
    write_whole(readme, text)
    return readme


def render_entry(entry: Entry, *, picture: str | None, digits: str) -> str:
    """The page. picture: the contact sheet's file beside it, None for none. digits: the result file's name.

    Raises ValueError when features differ between variants.
    """
    results = entry.results
    features = require_same_features(results.variants)
    answers = [s for b in _baselines(results) for s in verdict(results, b, entry.own_style)]
    tables = [results_table(results, stage, entry.portrait_seconds) for stage in ("raw", "snapped", "")]
    tables += [differences_table(results, baseline) for baseline in _baselines(results)]
    parts = [
        f"# {entry.title}",
        *answers,
        f"**What would change it.** {entry.would_change}" if entry.would_change else "",
        entry.notes,
        f"![The same photos at the same seeds, one column per variant]({picture})" if picture else "",
        "## Repeat it",
        "\n".join(["```sh", *entry.commands, "```"]),
        "## Numbers",
        "Arrows say which way is better; 95 % intervals by bootstrap over photos. Bold: the best model of a "
        "column (references do not compete), or a difference whose interval excludes 0. Snapped pictures "
        "are on their grid and palette by construction: only raw ones are evidence of style. "
        f"All digits are in [{digits}]({digits}).",
        *(_section(table) for table in tables if table.rows),
        *_tradeoff(entry.tradeoff, "tradeoff.png" if picture else None),
        "## Settings",
        "\n".join(f"- {key}: {_plain(value)}" for key, value in results.settings.items()),
        f"Features of likeness, KID and FID: sha256 `{features}`.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _tradeoff(tradeoff: Tradeoff | None, picture: str | None) -> list[str]:
    if tradeoff is None:
        return []
    return [
        "## Trade-offs",
        f"![Style against likeness]({picture})\n\n*{plot_note(tradeoff)}*" if picture else "",
        f"{RULE} Chosen and measured on the same {len(tradeoff.photo_ids)} photos. In the second table bold "
        "style and likeness: no other setting of the variant is better in both. All digits are in "
        "[tradeoff.json](tradeoff.json).",
        _section(best_table(tradeoff)),
        _section(settings_table(tradeoff)),
    ]


def _baselines(results: EvalResults) -> list[str]:
    """The base; of several LoRAs also the first, of which the others are variations."""
    loras = [r.variant for r in results.variants if r.is_fine_tune]
    return ["base", loras[0]] if len(loras) > 1 else ["base"]


def _section(table: Table) -> str:
    return f"### {table.title}\n\n{to_markdown(table)}".rstrip()


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    return str(value)
