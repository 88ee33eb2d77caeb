"""`python -m pixelpersona.report`: result.json and the runs beside it → one self-contained report.html."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pixelpersona.build.data import PathsConfig
from pixelpersona.door import command_line, door, overrides, seconds_since_start

if TYPE_CHECKING:
    from pixelpersona.evaluation.result import EvalResults
    from pixelpersona.evaluation.tradeoff import Tradeoff
    from pixelpersona.reporting.page import HowMade
    from pixelpersona.reporting.runs import RunRecord

_SHEETS = {
    "snapped": (
        "On the grid",
        "The photo, and every picture on its grid and 16 colours, nothing else; stylize adds features of it.",
    ),
    "raw": (
        "Straight from the model",
        "Before any clean-up: only here can a fine-tune show that it learned.",
    ),
    "worst": ("Failures", "The photos whose LoRA portraits are least like them, worst first."),
}


@dataclass(kw_only=True, slots=True)
class ReportConfig:
    """study: a folder under experiments/ to write the notebook entry to, or null. question: its title.

    notes, would_change: paragraphs of the entry, see `reporting.study`. own_style: variant → metric, see
    `reporting.verdict`. commands: what repeats it, null for the runs' own command lines.
    """

    name: str = "report"
    timing: Path | None = None
    title: str = "PixelPersona report"
    study: Path | None = None
    question: str = "Do LoRA fine-tunes draw pixel art of the same person?"
    notes: str = ""
    would_change: str = ""
    own_style: dict[str, str] = field(default_factory=dict)
    commands: list[str] | None = None
    paths: PathsConfig = field(default_factory=PathsConfig)


@dataclass(kw_only=True, slots=True)
class _Inputs:
    results: "EvalResults"
    runs: "list[RunRecord]"
    seconds: dict[str, float]
    portrait_seconds: dict[str, float]
    evaluations: list[list[str]]
    tradeoff: "Tradeoff | None"


@door("report", ReportConfig)
def main(config: ReportConfig) -> None:
    """Write the page and its tables, and the study when asked; print tables, paths and the total time."""
    from rich.console import Console

    from pixelpersona.reporting.page import Sheet, write_page
    from pixelpersona.reporting.table import results_table, to_console

    folder = config.paths.runs
    inputs = _read(folder, config.timing)
    sheets = [
        Sheet(folder / "sheets" / f"{name}.png", title, caption)
        for name, (title, caption) in _SHEETS.items()
        if (folder / "sheets" / f"{name}.png").is_file()
    ]
    how = _how_made(inputs)
    page = folder / "report.html"
    write_page(
        page, inputs.results, title=config.title, runs=inputs.runs, sheets=sheets, how=how,
        tradeoff=inputs.tradeoff,
    )  # fmt: skip
    _write_tables(config, inputs, how)
    console = Console(width=160)
    for stage in ("raw", "snapped", ""):
        console.print(to_console(results_table(inputs.results, stage, inputs.portrait_seconds)))
    for line in _outputs(folder, page, config.timing):
        print(line)
    total = (
        sum(seconds for stage, seconds in inputs.seconds.items() if stage != "report") + seconds_since_start()
    )
    print(f"total: {total:.0f} s")


def _write_tables(config: ReportConfig, inputs: _Inputs, how: "HowMade") -> None:
    """The same in Markdown and as CSV, and the study when asked."""
    from pixelpersona.reporting.study import Entry, render_entry, write_study
    from pixelpersona.reporting.table import to_csv
    from pixelpersona.writing import write_whole

    folder, sheet = config.paths.runs, config.paths.runs / "sheets" / "snapped.png"
    entry = Entry(
        title=config.title,
        results=inputs.results,
        commands=how.commands,
        own_style=config.own_style,
        portrait_seconds=inputs.portrait_seconds,
        tradeoff=inputs.tradeoff,
    )
    picture = "sheets/snapped.png" if sheet.is_file() else None
    write_whole(folder / "report.md", render_entry(entry, picture=picture, digits="result.json"))
    write_whole(folder / "results.csv", to_csv(inputs.results))
    if config.study is not None:
        study = replace(
            entry,
            title=config.question,
            notes=config.notes,
            would_change=config.would_change,
            commands=how.commands if config.commands is None else config.commands,
        )
        write_study(config.study, study, sheet)


def _read(folder: Path, timing: Path | None) -> _Inputs:
    from pixelpersona.evaluation.result import load_results
    from pixelpersona.evaluation.tradeoff import load_tradeoff
    from pixelpersona.reporting.runs import read_overrides, read_runs, read_timings

    measured = (folder / "result.json", folder / "tradeoff.json")
    if not measured[0].is_file():
        raise ValueError(f"{measured[0]}: no such file; run evaluate first")
    seconds: dict[str, float] = {}
    if timing is not None and timing.is_file():
        seconds = json.loads(timing.read_text(encoding="utf-8"))
    return _Inputs(
        results=load_results(measured[0]),
        runs=read_runs(folder),
        seconds=seconds,
        portrait_seconds=read_timings(folder),
        evaluations=[read_overrides(file) for file in measured if file.is_file()],
        tradeoff=load_tradeoff(measured[1]) if measured[1].is_file() else None,
    )


def _how_made(inputs: _Inputs) -> "HowMade":
    from pixelpersona.reporting.page import HowMade

    commands = [command_line("train", run.overrides) for run in inputs.runs]
    hashes = {key: str(value) for run in inputs.runs for key, value in run.data.items()}
    versions = next((run.versions for run in inputs.runs if run.versions), {})
    commands += [command_line("evaluate", words) for words in inputs.evaluations]
    commands.append(command_line("report", overrides(ReportConfig)))
    return HowMade(
        commands=commands,
        versions=versions,
        hashes=hashes,
        seconds=inputs.seconds,
        portrait_seconds=inputs.portrait_seconds,
    )


def _outputs(folder: Path, page: Path, timing: Path | None) -> list[str]:
    tables = [folder / name for name in ("tradeoff.json", "report.md", "results.csv")]
    found = [folder / "result.json", page, *tables, *sorted(folder.glob("*.png"))]
    found += sorted(folder.glob("*/pytorch_lora_weights.safetensors"))
    return [str(path) for path in [*found, *([timing] if timing else [])] if path.exists() or path == timing]


if __name__ == "__main__":
    main()
