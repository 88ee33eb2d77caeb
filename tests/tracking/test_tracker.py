"""The fan-out passes everything on, and every tracker satisfies the protocol."""

from pathlib import Path

import pytest
from PIL import Image

from pixelpersona.tracking.jsonl import JsonlTracker, read_jsonl
from pixelpersona.tracking.tracker import NoTracker, Tracker, Trackers


class Listening(NoTracker):
    def __init__(self) -> None:
        self.alerts: list[tuple[str, str]] = []

    def alert(self, title: str, text: str) -> None:
        self.alerts.append((title, text))


class Failing(NoTracker):
    run_id = "abc"

    def finish(self, exit_code: int = 0) -> None:
        raise OSError("disk full")


def use_everything(tracker: Tracker, file: Path) -> None:
    tracker.scalars({"train/loss": 0.5}, 1)
    tracker.images("faces", [Image.new("RGB", (2, 2))], 1)
    tracker.table("scores", ["a"], [[1.0]], 1)
    tracker.summary({"best": 1.0})
    tracker.artifact("lora-r4", "model", [file], {"rank": 4})
    tracker.alert("not finite", "step 3: loss nan")


def test_fan_out_reaches_every_tracker(tmp_path: Path) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(b"123")
    folders = [tmp_path / "a", tmp_path / "b"]
    listening = Listening()
    both = Trackers([NoTracker(), *map(JsonlTracker, folders), listening])
    use_everything(both, file)
    both.finish()
    names = [sorted(str(p.relative_to(f)) for p in f.rglob("*") if p.is_file()) for f in folders]
    assert names[0] == names[1] == [
        "artifacts.jsonl", "metrics.jsonl", "samples/faces/step-000001.png",
        "samples/scores/step-000001.json", "summary.json",
    ]  # fmt: skip
    assert listening.alerts == [("not finite", "step 3: loss nan")]
    assert all(read_jsonl(f / "metrics.jsonl") == [{"step": 1, "train/loss": 0.5}] for f in folders)


def test_all_are_finished_when_one_fails(tmp_path: Path) -> None:
    jsonl = JsonlTracker(tmp_path)
    with pytest.raises(OSError, match="disk full"):
        Trackers([Failing(), jsonl]).finish()
    with pytest.raises(ValueError, match="closed"):
        jsonl.scalars({"a": 1.0}, 1)


def test_rows_on_disk_are_those_of_the_record(tmp_path: Path) -> None:
    both = Trackers([JsonlTracker(tmp_path), NoTracker()])
    both.scalars({"train/loss": 0.5}, 1)
    assert (both.rows_on_disk(), Trackers([]).rows_on_disk()) == (1, 0)
    both.finish()


def test_run_id_is_the_first_there_is(tmp_path: Path) -> None:
    assert Trackers([]).run_id == ""
    assert Trackers([JsonlTracker(tmp_path), Failing(), NoTracker()]).run_id == "abc"
