"""`make sync` passes every part of every run to `wandb sync`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.making import make
from tests.tracking.starting import start_run

pytestmark = pytest.mark.usefixtures("own_home")
MAKEFILE = Path(__file__).resolve().parents[2] / "Makefile"


def sync(place: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run `make sync` in a folder with runs/, with a `wandb` that only lists what it would upload."""
    binaries = place / "venv" / "bin"
    binaries.mkdir(parents=True, exist_ok=True)
    (binaries / "wandb").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m wandb "$@" --dry-run\n')
    (binaries / "wandb").chmod(0o755)
    for name in ("pyproject.toml", "constraints.txt", "venv/.installed"):
        (place / name).touch()
    words = ["-f", str(MAKEFILE), "sync", "VENV=venv", *more]
    return make(place, *words, WANDB_API_KEY="a" * 40, WANDB_SILENT="false")


def listed(out: subprocess.CompletedProcess[str]) -> list[str]:
    return re.findall(r"(?:offline-)?run-\d{8}_\d{6}-\w+(?=/run-)", out.stdout + out.stderr)


def test_all_parts_of_a_resumed_run_are_uploaded(tmp_path: Path) -> None:
    run_id, folders = None, []
    for number in range(3):  # started, then resumed twice
        tracker = start_run(tmp_path / "runs" / "a sweep" / "lora-r4", run_id=run_id)
        tracker.scalars({"train/loss": 1.0}, number)
        tracker.finish()
        run_id = tracker.run_id
        (made,) = set((tmp_path / "runs" / "a sweep" / "lora-r4" / "wandb").glob("offline-run-*")) - set(
            folders
        )
        folders.append(made.rename(made.with_name(f"offline-run-20200101_00000{number}-{run_id}")))
    online = tmp_path / "runs" / "lora-r8" / "wandb" / "run-20200101_000000-abcd1234"
    online.mkdir(parents=True)
    (online / "run-abcd1234.wandb").touch()
    out = sync(tmp_path)
    assert out.returncode == 0, out.stderr
    assert sorted(listed(out)) == [folder.name for folder in folders]
    assert "Skipped 1 online run(s)" in out.stdout + out.stderr
    assert online.name in listed(sync(tmp_path, "ARGS=--include-online"))


def test_without_runs_it_succeeds(tmp_path: Path) -> None:
    out = sync(tmp_path)
    assert (out.returncode, out.stdout) == (0, "sync: no Weights & Biases runs under runs/\n")
