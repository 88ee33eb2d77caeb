"""An offline W&B run read back from its file by W&B's own command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

Records = list[dict[str, Any]]


def inspect(folder: Path) -> Records:
    """All records of the one offline run in folder/wandb."""
    (run,) = (folder / "wandb").glob("offline-run-*")
    return read_run(run)


def read_run(run: Path) -> Records:
    """All records of the run in this folder, in the order they were written."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", str(run), "--json"]
    out = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return [json.loads(line) for line in out.stdout.splitlines()]


def of_kind(records: Records, kind: str) -> Records:
    return [record[kind] for record in records if record["type"] == kind]


def scalar_rows(runs: list[Records]) -> list[dict[str, float]]:
    """W&B's rows of numbers as metrics.jsonl has them. Of a row that several parts of a run hold, the last
    part's: the same keys at the same train/step.
    """
    rows: dict[tuple[int, frozenset[str]], dict[str, float]] = {}
    for found in runs:
        for item in (record["item"] for record in of_kind(found, "history")):
            step = item["train/step"]
            values = {key: value for key, value in item.items() if key[0] != "_" and key != "train/step"}
            if not any(key.startswith("samples/") for key in values):
                rows[step, frozenset(values)] = {"step": step, **values}
    return [rows[key] for key in sorted(rows, key=lambda key: key[0])]
