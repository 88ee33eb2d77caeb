"""The table of a sweep: one row per job, printed and written as CSV beside the runs."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from pixelpersona.files import write_whole
from pixelpersona.reporting.table_formats import DASH, Cell, Table, to_console
from pixelpersona.runs.finished import FINISHED
from pixelpersona.runs.reading import RunRecord, read_run

_METRICS = ("train/loss", "val/loss", "eval/grid_contrast", "eval/kid_persona", "eval/fid_persona")
_RANKED = "val/loss"  # measured at fixed noise, so comparable between jobs; lower is better

Row = tuple[str, Path, Mapping[str, str]]
"""A job: its name, its run folder, and swept key → value."""


@dataclass(frozen=True, slots=True)
class SweepResult:
    """One job. state: "finished" or "not finished". step: last recorded one. values: metric → last value."""

    name: str
    swept: dict[str, str]
    state: str
    method: str
    step: int
    values: dict[str, float]


def report_sweep(rows: Sequence[Row], file: Path) -> str:
    """Write the last values of all jobs to `file` (CSV, full precision); returns them as a console table.

    Raises ValueError naming a run's file that cannot be read, or `file` when it cannot be written.
    """
    results = [_result(*row) for row in rows]
    write_whole(file, to_csv(results))
    console = Console(width=160, file=io.StringIO())
    with console.capture() as shown:
        console.print(to_console(sweep_table(results)))
    return f"{shown.get()}wrote {file}"


def sweep_table(results: Sequence[SweepResult]) -> Table:
    """The lowest validation loss is marked best, if all jobs share a method and thus a loss."""
    columns = _columns(results)
    ranked = [r.values[_RANKED] for r in results if _RANKED in r.values]
    comparable = len({result.method for result in results}) == 1 and len(set(ranked)) > 1
    rows = []
    for result in results:
        texts = _fields(result) | {metric: f"{value:.4g}" for metric, value in result.values.items()}
        is_best = comparable and result.values.get(_RANKED) == min(ranked)
        marks = {_RANKED: "best"} if is_best else {}
        rows.append((result.name, [Cell(texts.get(c, DASH), mark=marks.get(c, "")) for c in columns[1:]]))
    return Table("Sweep", columns, [""] * len(columns), rows)


def to_csv(results: Sequence[SweepResult]) -> str:
    """One line per job; an empty field where a job lacks a value."""
    out = io.StringIO()
    writer = csv.DictWriter(out, _columns(results), lineterminator="\n")
    writer.writeheader()
    for result in results:
        writer.writerow({"run": result.name} | _fields(result) | result.values)
    return out.getvalue()


def _result(name: str, folder: Path, swept: Mapping[str, str]) -> SweepResult:
    # A job that failed before its first step has no metrics.jsonl.
    record = read_run(folder) if (folder / "metrics.jsonl").is_file() else RunRecord(name, [], {}, {})
    state = "finished" if (folder / FINISHED).is_file() else "not finished"
    step = max((curve[-1][0] for curve in record.curves.values()), default=0)
    values = {metric: record.curves[metric][-1][1] for metric in _METRICS if metric in record.curves}
    return SweepResult(name, dict(swept), state, record.method, step, values)


def _fields(result: SweepResult) -> dict[str, str]:
    return result.swept | {"state": result.state, "step": str(result.step)}


def _columns(results: Sequence[SweepResult]) -> list[str]:
    swept = list(results[0].swept) if results else []
    metrics = [metric for metric in _METRICS if any(metric in result.values for result in results)]
    return ["run", *swept, "state", "step", *metrics]
