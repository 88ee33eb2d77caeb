"""Tables of text cells, as Markdown and for the console."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table as ConsoleTable
from rich.text import Text

DASH = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Cell:
    """text: the value. interval: "0.58 to 0.63" or "". mark: "best", "better", "worse" or ""."""

    text: str
    interval: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """columns: titles, the first that of the row names. notes: one per column, "" for none."""

    title: str
    columns: list[str]
    notes: list[str]
    rows: list[tuple[str, list[Cell]]]


def to_markdown(table: Table) -> str:
    """A table in GitHub's Markdown; marked cells are bold."""
    lines = [pipe_row(table.columns), pipe_row(["---", *["---:"] * (len(table.columns) - 1)])]
    lines += [pipe_row([title, *(_joined(c, "**{}**") for c in cells)]) for title, cells in table.rows]
    return "\n".join(lines) + "\n"


def to_console(table: Table) -> ConsoleTable:
    """A table for rich's console: best and better cells are green, worse ones red."""
    styles = {"best": "bold green", "better": "green", "worse": "red", "": ""}
    shown = ConsoleTable(title=table.title, title_justify="left", title_style="bold")
    for index, column in enumerate(table.columns):
        shown.add_column(column, justify="right" if index else "left", overflow="fold")
    for title, cells in table.rows:
        shown.add_row(title, *(Text(_joined(c, "{}", "\n"), style=styles[c.mark]) for c in cells))
    return shown


def _joined(cell: Cell, bold: str, gap: str = " ") -> str:
    text = bold.format(cell.text) if cell.mark in ("best", "better", "worse") else cell.text
    return f"{text}{gap}({cell.interval})" if cell.interval else text


def pipe_row(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    escaped = (cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(escaped)} |"
