"""Reads offline W&B runs back with W&B's command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

Records = list[dict[str, Any]]


def inspect(folder: Path) -> Records:
    """All records of the only offline run in folder/wandb."""
    (run,) = (folder / "wandb").glob("offline-run-*")
    return read_run(run)


def read_run(run: Path) -> Records:
    """All records of the run in this folder, in the order in which they were written."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", str(run), "--json"]
    out = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return [json.loads(line) for line in out.stdout.splitlines()]


def of_kind(records: Records, kind: str) -> Records:
    return [record[kind] for record in records if record["type"] == kind]


def summary(records: Records) -> dict[str, Any]:
    """The summary at the end of the run: later values replace earlier ones of the same key."""
    merged: dict[str, Any] = {}
    for update in of_kind(records, "summary"):
        merged |= update["update"]
    return merged


def scalar_rows(runs: list[Records]) -> list[dict[str, float]]:
    """W&B's rows of numbers in the format of metrics.jsonl.

    Rows with the same keys and train/step occur in several parts of a resumed run; the last one counts.
    """
    rows: dict[tuple[int, frozenset[str]], dict[str, float]] = {}
    for found in runs:
        for item in (record["item"] for record in of_kind(found, "history")):
            step = item["train/step"]
            values = {key: value for key, value in item.items() if key[0] != "_" and key != "train/step"}
            if not any(key.startswith("samples/") for key in values):
                rows[step, frozenset(values)] = {"step": step, **values}
    return [rows[key] for key in sorted(rows, key=lambda key: key[0])]
