"""The table of a sweep: last values of every job, the best one marked if jobs share a loss."""

import csv
import json
from pathlib import Path

import pytest

from pixelpersona.reporting.sweep_table import SweepResult, report_sweep, sweep_table, to_csv
from pixelpersona.tracking.jsonl import JsonlTracker
from tests.failing import disk_full


def result(name: str, loss: float | None, method: str = "lora") -> SweepResult:
    return SweepResult(
        name, {"lora.rank": name}, "finished", method, 5, {} if loss is None else {"val/loss": loss}
    )


def marks(*results: SweepResult) -> list[str]:
    return [cells[-1].mark for _, cells in sweep_table(results).rows]


def test_the_lowest_validation_loss_is_marked_best() -> None:
    assert marks(result("2", 0.3), result("4", 0.1), result("8", None)) == ["", "best", ""]


@pytest.mark.parametrize(
    "results",
    [
        [result("2", 0.3), result("4", 0.1, "supervised")],  # losses of different methods
        [result("2", 0.3), result("4", 0.3)],
        [result("2", 0.3)],
    ],
)
def test_nothing_is_marked_without_comparable_losses(results: list[SweepResult]) -> None:
    assert set(marks(*results)) == {""}


def test_csv_has_full_precision() -> None:
    (row,) = csv.DictReader(to_csv([result("2", 1 / 3)]).splitlines())
    assert float(row["val/loss"]) == 1 / 3


def test_run_folders_are_read_and_jobs_without_a_folder_are_listed(tmp_path: Path) -> None:
    tracker = JsonlTracker(tmp_path / "a")
    for step in (1, 2):
        tracker.scalars({"train/loss": 1 / step, "train/lr/unet": 1e-3}, step)
    tracker.finish()
    (tmp_path / "a" / "finished.json").write_text(json.dumps({}))
    rows = [("a", tmp_path / "a", {"loop.seed": "1"}), ("b", tmp_path / "b", {"loop.seed": "2"})]
    shown = report_sweep(rows, tmp_path / "sweep.csv")
    assert shown.splitlines()[-1] == f"wrote {tmp_path / 'sweep.csv'}"
    first, second = csv.DictReader((tmp_path / "sweep.csv").open(encoding="utf-8"))
    assert first == {"run": "a", "loop.seed": "1", "state": "finished", "step": "2", "train/loss": "0.5"}
    assert second == {"run": "b", "loop.seed": "2", "state": "not finished", "step": "0", "train/loss": ""}


def test_a_full_disk_leaves_the_old_table_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "sweep.csv"
    report_sweep([("a", tmp_path / "a", {"loop.seed": "1"})], file)
    before = file.read_bytes()
    with disk_full(10), pytest.raises(ValueError, match=r"sweep\.csv: cannot be written \(File too large\)"):
        report_sweep([("b", tmp_path / "b", {"loop.seed": "2"})], file)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.csv"]
