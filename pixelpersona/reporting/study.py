"""A study for the lab notebook: experiments/<name>/ with README.md, results.json and sheet.png."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pixelpersona.evaluation.result import EvalResults, require_same_features, save_results
from pixelpersona.reporting.table import Table, differences_table, results_table, to_markdown
from pixelpersona.reporting.verdict import verdict


def write_study(
    folder: Path,
    *,
    question: str,
    command: str | Sequence[str],
    results: EvalResults,
    sheet_path: Path,
    notes: str = "",
    would_change: str = "",
    own_style: Mapping[str, str] | None = None,
    portrait_seconds: Mapping[str, float] | None = None,
) -> Path:
    """Write the three files of a study and return the README's path.

    question: one sentence, the README's title. command: what repeats the study. notes: what a reader of
    the tables should know, in Markdown. would_change: what would change the verdict, in Markdown.
    own_style: see `verdict`. portrait_seconds: variant → seconds per portrait, in the README alone.
    Raises ValueError when features differ between variants, or the sheet is missing.
    """
    features = require_same_features(results.variants)
    if not sheet_path.is_file():
        raise ValueError(f"{sheet_path}: the study's contact sheet does not exist")
    folder.mkdir(parents=True, exist_ok=True)
    save_results(results, folder / "results.json")
    sheet = folder / "sheet.png"
    if sheet_path.resolve() != sheet.resolve():
        shutil.copyfile(sheet_path, sheet)
    readme = folder / "README.md"
    commands = [command] if isinstance(command, str) else list(command)
    tables = [results_table(results, stage, portrait_seconds) for stage in ("raw", "snapped", "")]
    tables += [differences_table(results, baseline) for baseline in _baselines(results)]
    answers = [sentence for b in _baselines(results) for sentence in verdict(results, b, own_style)]
    change = f"**What would change it.** {would_change}" if would_change else ""
    parts = [f"# {question}", *answers, change, notes, *_evidence(commands, tables, results, features)]
    readme.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")
    return readme


def _baselines(results: EvalResults) -> list[str]:
    """The base; of several LoRAs also the first, of which the others are variations."""
    loras = [r.variant for r in results.variants if r.is_fine_tune]
    return ["base", loras[0]] if len(loras) > 1 else ["base"]


def _evidence(
    commands: Sequence[str], tables: Sequence[Table], results: EvalResults, features: str
) -> list[str]:
    return [
        "![The same photos at the same seeds, one column per variant](sheet.png)",
        "## Repeat it",
        "\n".join(["```sh", *commands, "```"]),
        "## Numbers",
        "Arrows say which way is better; 95 % intervals by bootstrap over photos. Bold: the best model of a "
        "column (references do not compete), or a difference whose interval excludes 0. Snapped pictures "
        "are on their grid and palette by construction: only raw ones are evidence of style. "
        "All digits are in [results.json](results.json).",
        *(_section(table) for table in tables if table.rows),
        "## Settings",
        "\n".join(f"- {key}: {_plain(value)}" for key, value in results.settings.items()),
        f"Features of likeness, KID and FID: sha256 `{features}`.",
    ]


def _section(table: Table) -> str:
    return f"### {table.title}\n\n{to_markdown(table)}".rstrip()


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    return str(value)
