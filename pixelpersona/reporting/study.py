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
) -> Path:
    """Write the three files of a study and return the README's path.

    question: one sentence, the README's title. command: what repeats the study. notes: what a reader of
    the tables should know, in Markdown.
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
    readme.write_text(_readme(question, commands, results, notes, features), encoding="utf-8")
    return readme


def _readme(question: str, commands: Sequence[str], results: EvalResults, notes: str, features: str) -> str:
    tables = [results_table(results, stage) for stage in ("raw", "snapped", "")]
    parts = [
        f"# {question}",
        *verdict(results),
        notes,
        "![The same photos at the same seeds, one column per variant](sheet.png)",
        "## Repeat it",
        "\n".join(["```sh", *commands, "```"]),
        "## Numbers",
        "Arrows say which way is better; 95 % intervals by bootstrap over photos. Bold: the best model of a "
        "column (references do not compete), or a difference whose interval excludes 0. Snapped pictures "
        "are on their grid and palette by construction: only raw ones are evidence of style. "
        "All digits are in [results.json](results.json).",
        *(_section(table) for table in (*tables, differences_table(results)) if table.rows),
        "## Settings",
        "\n".join(f"- {key}: {_plain(value)}" for key, value in results.settings.items()),
        f"Features of likeness, KID and FID: sha256 `{features}`.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(table: Table) -> str:
    return f"### {table.title}\n\n{to_markdown(table)}".rstrip()


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    return str(value)
