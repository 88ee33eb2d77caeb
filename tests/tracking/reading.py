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
