"""Several trackers as one, and opening them from settings."""

from pathlib import Path

import pytest
from PIL import Image

from pixelpersona.files import read_jsonl
from pixelpersona.tracking.jsonl import JsonlTracker
from pixelpersona.tracking.opening import open_tracker
from pixelpersona.tracking.tracker import NoTracker, Tracker, Trackers
from tests.tracking.reading import inspect, of_kind


class AlertTracker(NoTracker):
    def __init__(self) -> None:
        self.alerts: list[tuple[str, str]] = []

    def alert(self, title: str, text: str) -> None:
        self.alerts.append((title, text))


class Failing(NoTracker):
    run_id = "abc"

    def finish(self, exit_code: int = 0) -> None:
        raise OSError("disk full")


SETTINGS = {
    "project": "faces", "entity": None, "name": None, "group": None, "tags": ["tiny"], "notes": None,
    "start_timeout_s": 30.0, "finish_timeout_s": 300.0,
}  # fmt: skip


def use_everything(tracker: Tracker, file: Path) -> None:
    tracker.scalars({"train/loss": 0.5}, 1)
    tracker.images("faces", [Image.new("RGB", (2, 2))], 1)
    tracker.table("scores", ["a"], [[1.0]], 1)
    tracker.summary({"best": 1.0})
    tracker.artifact("lora-r4", "model", [file], {"rank": 4})
    tracker.alert("not finite", "step 3: loss nan")


def test_every_call_reaches_every_tracker(tmp_path: Path) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(b"123")
    folders = [tmp_path / "a", tmp_path / "b"]
    alerts = AlertTracker()
    both = Trackers([NoTracker(), *map(JsonlTracker, folders), alerts])
    use_everything(both, file)
    both.finish()
    names = [sorted(str(p.relative_to(f)) for p in f.rglob("*") if p.is_file()) for f in folders]
    assert names[0] == names[1] == [
        "artifacts.jsonl", "media/faces/step-000001.png", "media/scores/step-000001.json",
        "metrics.jsonl", "summary.json",
    ]  # fmt: skip
    assert alerts.alerts == [("not finite", "step 3: loss nan")]
    assert all(read_jsonl(f / "metrics.jsonl") == [{"step": 1, "train/loss": 0.5}] for f in folders)


def test_all_trackers_are_finished_when_one_fails(tmp_path: Path) -> None:
    jsonl = JsonlTracker(tmp_path)
    with pytest.raises(OSError, match="disk full"):
        Trackers([Failing(), jsonl]).finish()
    with pytest.raises(ValueError, match="closed"):
        jsonl.scalars({"a": 1.0}, 1)


def test_rows_on_disk_is_that_of_metrics_jsonl(tmp_path: Path) -> None:
    both = Trackers([JsonlTracker(tmp_path), NoTracker()])
    both.scalars({"train/loss": 0.5}, 1)
    assert (both.rows_on_disk(), Trackers([]).rows_on_disk()) == (1, 0)
    both.finish()


def test_run_id_is_the_first_that_is_not_empty(tmp_path: Path) -> None:
    assert Trackers([]).run_id == ""
    assert Trackers([JsonlTracker(tmp_path), Failing(), NoTracker()]).run_id == "abc"


@pytest.mark.usefixtures("own_home")
def test_open_tracker_records_in_metrics_jsonl_and_in_wandb(tmp_path: Path) -> None:
    folder = tmp_path / "ranks" / "lora-r4"
    tracker = open_tracker(
        folder, run_name="lora-r4", job_type="train", config={"lora": {"rank": 4}}, mode="offline", **SETTINGS
    )
    tracker.scalars({"train/loss": 0.5}, 1)
    tracker.finish()
    assert read_jsonl(folder / "metrics.jsonl") == [{"step": 1, "train/loss": 0.5}]
    (run,) = of_kind(inspect(folder), "run")
    assert (run["display_name"], run["run_group"], run["job_type"]) == ("lora-r4", "ranks", "train")
    assert (run["project"], run["tags"]) == ("faces", ["tiny"])
    assert run["config"]["update"]["lora"] == {"rank": 4}


@pytest.mark.usefixtures("own_home")
def test_open_tracker_for_a_result_records_in_wandb_alone(tmp_path: Path) -> None:
    runs = tmp_path / "ranks"
    open_tracker(
        runs,
        run_name="evaluate",
        job_type="evaluate",
        config={},
        mode="offline",
        metrics_file=False,
        **SETTINGS,
    ).finish()
    assert [path.name for path in runs.iterdir()] == ["wandb"]
    (run,) = of_kind(inspect(runs), "run")
    assert (run["run_group"], run["job_type"]) == ("ranks", "evaluate")


def test_open_tracker_without_wandb_writes_metrics_jsonl_alone(tmp_path: Path) -> None:
    tracker = open_tracker(
        tmp_path / "run", run_name="lora-r4", job_type="train", config={}, mode="disabled", **SETTINGS
    )
    tracker.finish()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["metrics.jsonl"]
    assert tracker.run_id == ""
