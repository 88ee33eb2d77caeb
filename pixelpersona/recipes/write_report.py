"""Reporting: result.json and the runs beside it → report.html, report.md, results.csv; no torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from pixelpersona.config.report import ReportConfig
from pixelpersona.evaluation.result import EvalResults, load_results
from pixelpersona.evaluation.tradeoff import Tradeoff, load_tradeoff
from pixelpersona.files import write_whole
from pixelpersona.reporting.page import HowMade, Sheet, render_page
from pixelpersona.reporting.study import Study, render_study, write_study
from pixelpersona.reporting.table import results_table, to_csv
from pixelpersona.reporting.table_formats import to_console
from pixelpersona.runs.reading import (
    RunRecord,
    read_overrides,
    read_runs,
    read_stage_seconds,
    read_timings,
)
from pixelpersona.terminal import say

_SHEETS = {
    "snapped": (
        "On the grid",
        "The photo, and every picture snapped to grid and palette; stylize adds features of the photo.",
    ),
    "raw": (
        "Straight from the model",
        "Before postprocessing: only here does a fine-tune show what it has learned.",
    ),
    "worst": ("Failures", "The photos whose LoRA portraits have the lowest likeness, worst first."),
}
_CONSOLE_WIDTH = 160


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What a report is made from. commands: the command lines of the runs and of their evaluations."""

    results: EvalResults
    runs: list[RunRecord]
    stage_seconds: dict[str, float]
    portrait_seconds: dict[str, float]
    commands: list[str]
    tradeoff: Tradeoff | None


def write_report(
    config: ReportConfig, command_line: Callable[[str, Sequence[str]], str], words: Sequence[str]
) -> float:
    """Write the page and its tables, and the study if one is asked for; print tables and paths.

    command_line: (command, settings) → what repeats it in a shell. words: the settings of this report.
    Returns the seconds of the earlier stages in the timing file.
    Raises ValueError when there is no evaluation, or a file cannot be read.
    """
    folder = config.paths.runs
    inputs = _read(folder, config.timing, command_line)
    how = HowMade(
        commands=[*inputs.commands, command_line("report", words)],
        versions=next((run.versions for run in inputs.runs if run.versions), {}),
        hashes={key: str(value) for run in inputs.runs for key, value in run.data.items()},
        seconds=inputs.stage_seconds,
        portrait_seconds=inputs.portrait_seconds,
    )
    sheets = [
        Sheet(folder / "sheets" / f"{name}.png", title, caption)
        for name, (title, caption) in _SHEETS.items()
        if (folder / "sheets" / f"{name}.png").is_file()
    ]
    page = render_page(
        inputs.results,
        title=config.title,
        runs=inputs.runs,
        sheets=sheets,
        how=how,
        tradeoff=inputs.tradeoff,
    )
    write_whole(folder / "report.html", page)
    _write_tables(config, inputs, how.commands)
    console = Console(width=_CONSOLE_WIDTH)
    for stage in ("raw", "snapped", ""):
        console.print(to_console(results_table(inputs.results, stage, inputs.portrait_seconds)))
    for file in _outputs(folder, config.timing):
        say(str(file))
    return sum(seconds for stage, seconds in inputs.stage_seconds.items() if stage != "report")


def _read(folder: Path, timing: Path | None, command_line: Callable[[str, Sequence[str]], str]) -> _Inputs:
    result_file, tradeoff_file = folder / "result.json", folder / "tradeoff.json"
    if not result_file.is_file():
        raise ValueError(f"{result_file}: no such file; run evaluate first")
    runs = read_runs(folder)
    evaluations = [read_overrides(file) for file in (result_file, tradeoff_file) if file.is_file()]
    return _Inputs(
        results=load_results(result_file),
        runs=runs,
        stage_seconds={} if timing is None else read_stage_seconds(timing),
        portrait_seconds=read_timings(folder),
        commands=[
            *(command_line("train", run.overrides) for run in runs),
            *(command_line("evaluate", words) for words in evaluations),
        ],
        tradeoff=load_tradeoff(tradeoff_file) if tradeoff_file.is_file() else None,
    )


def _write_tables(config: ReportConfig, inputs: _Inputs, commands: Sequence[str]) -> None:
    """report.md and results.csv, and the study if one is asked for."""
    folder, settings = config.paths.runs, config.study
    sheet = folder / "sheets" / "snapped.png"
    study = Study(
        title=config.title,
        results=inputs.results,
        commands=commands,
        own_metric=settings.own_metric,
        portrait_seconds=inputs.portrait_seconds,
        tradeoff=inputs.tradeoff,
    )
    picture = "sheets/snapped.png" if sheet.is_file() else None
    write_whole(folder / "report.md", render_study(study, picture=picture, results_file="result.json"))
    write_whole(folder / "results.csv", to_csv(inputs.results))
    if settings.folder is not None:
        study = replace(
            study,
            title=settings.question,
            notes=settings.notes,
            would_change=settings.would_change,
            commands=commands if settings.commands is None else settings.commands,
        )
        write_study(settings.folder, study, sheet)


def _outputs(folder: Path, timing: Path | None) -> list[Path]:
    names = ("result.json", "report.html", "tradeoff.json", "report.md", "results.csv")
    found = [path for path in (folder / name for name in names) if path.exists()]
    found += sorted(folder.glob("*.png"))
    found += sorted(folder.glob("*/pytorch_lora_weights.safetensors"))
    return found + ([timing] if timing is not None else [])
