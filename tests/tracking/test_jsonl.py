"""metrics.jsonl: exact rows, refused values, resumed records, samples and summaries."""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelpersona.files import read_jsonl
from pixelpersona.tracking.jsonl import JsonlTracker


def record(folder: Path, steps: range, resume_step: int | None = None) -> bytes:
    tracker = JsonlTracker(folder, resume_step=resume_step)
    for step in steps:
        tracker.scalars({"train/loss": 1 / step, "train/lr/unet": 1e-4}, step)
        if step % 2 == 0:
            tracker.images("faces", [Image.new("RGB", (1, 1), (step, 0, 0))], step)
    tracker.finish()
    return (folder / "metrics.jsonl").read_bytes()


def test_rows_are_flushed_at_once_in_order_and_exact(tmp_path: Path) -> None:
    tracker = JsonlTracker(tmp_path)
    tracker.scalars({"train/loss": np.float32(0.1), "train/images": 8}, 1)  # type: ignore[dict-item]
    tracker.scalars({"val/loss": 0.1}, 1)
    assert (tmp_path / "metrics.jsonl").read_text() == (
        '{"step": 1, "train/loss": 0.10000000149011612, "train/images": 8}\n{"step": 1, "val/loss": 0.1}\n'
    )
    tracker.finish()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_row_with_a_non_finite_number_is_refused(tmp_path: Path, value: float) -> None:
    tracker = JsonlTracker(tmp_path)
    with pytest.raises(ValueError, match=r"train/loss is -?(nan|inf) at step 7"):
        tracker.scalars({"val/loss": 1.0, "train/loss": value}, 7)
    tracker.finish()
    assert read_jsonl(tmp_path / "metrics.jsonl") == []


def test_the_key_step_is_reserved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="reserved"):
        JsonlTracker(tmp_path).scalars({"step": 1.0}, 1)


@pytest.mark.parametrize("killed_at", [1, 2, 5, 6])
def test_a_resumed_record_equals_an_uninterrupted_one(tmp_path: Path, killed_at: int) -> None:
    whole = record(tmp_path / "whole", range(1, 7))
    record(tmp_path / "broken", range(1, killed_at + 1))
    with (tmp_path / "broken" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9, "train/lo')
    checkpoint = max(0, killed_at - 2)
    assert record(tmp_path / "broken", range(checkpoint + 1, 7), resume_step=checkpoint) == whole


def test_rows_after_the_checkpoint_of_the_same_step_are_dropped(tmp_path: Path) -> None:
    tracker = JsonlTracker(tmp_path)
    tracker.scalars({"train/loss": 0.5}, 1)
    saved = tracker.rows_on_disk()
    tracker.scalars({"val/loss": 0.4}, 1)
    tracker.finish()
    again = JsonlTracker(tmp_path, resume_step=1, resume_rows=saved)
    assert again.rows_on_disk() == saved == 1
    again.scalars({"val/loss": 0.4}, 1)
    again.finish()
    assert read_jsonl(tmp_path / "metrics.jsonl") == [
        {"step": 1, "train/loss": 0.5},
        {"step": 1, "val/loss": 0.4},
    ]
    with pytest.raises(ValueError, match=r"metrics\.jsonl: 2 rows up to step 1, .* after 3"):
        JsonlTracker(tmp_path, resume_step=1, resume_rows=3)


def test_samples_of_dropped_steps_are_deleted(tmp_path: Path) -> None:
    record(tmp_path, range(1, 7))
    (tmp_path / "media" / "step-by-step.png").write_bytes(b"not ours")
    JsonlTracker(tmp_path, resume_step=3).finish()
    assert sorted(p.name for p in (tmp_path / "media").rglob("*.png")) == [
        "step-000002.png", "step-by-step.png",
    ]  # fmt: skip


def test_a_new_run_replaces_the_record(tmp_path: Path) -> None:
    record(tmp_path, range(1, 7))
    assert record(tmp_path, range(1, 3)).count(b"\n") == 2


def test_resuming_without_a_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        JsonlTracker(tmp_path, resume_step=3)


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\nnonsense\n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2: not JSON"):
        read_jsonl(path)
    path.write_text("[1]\n")
    with pytest.raises(ValueError, match="line 1: not a JSON object"):
        read_jsonl(path)


def test_images_and_tables_can_be_read_back(tmp_path: Path) -> None:
    tracker = JsonlTracker(tmp_path)
    red, blue = Image.new("RGB", (3, 2), "red"), Image.new("RGB", (3, 2), "blue")
    tracker.images("eval/faces", [red, blue], 100)
    tracker.table("scores", ["name", "value", "picture"], [["빨강", 0.5, red]], 100)
    tracker.finish()
    folder = tmp_path / "media"
    assert Image.open(folder / "eval" / "faces" / "step-000100-1.png").tobytes() == blue.tobytes()
    table = json.loads((folder / "scores" / "step-000100.json").read_text(encoding="utf-8"))
    assert table["columns"] == ["name", "value", "picture"]
    name, value, picture = table["rows"][0]
    assert (name, value) == ("빨강", 0.5)
    assert Image.open(folder / "scores" / picture["image"]).tobytes() == red.tobytes()


def test_a_ragged_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        JsonlTracker(tmp_path).table("t", ["a", "b"], [[1]], 1)


@pytest.mark.parametrize("key", ["../out", "a//b", "/tmp/x", ""])
def test_a_key_that_leaves_the_folder_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="is not a key"):
        JsonlTracker(tmp_path / "run").images(key, [Image.new("RGB", (1, 1))], 1)


def test_summary_and_artifacts_accumulate(tmp_path: Path) -> None:
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"hello")
    tracker = JsonlTracker(tmp_path)
    tracker.summary({"best": 2.0, "steps": 10})
    tracker.summary({"best": 1.0})
    tracker.artifact("lora-r4", "model", [weights], {"base_sha256": "b"})
    tracker.finish()
    assert json.loads((tmp_path / "summary.json").read_text()) == {"best": 1.0, "steps": 10}
    assert read_jsonl(tmp_path / "artifacts.jsonl") == [
        {
            "name": "lora-r4",
            "type": "model",
            "files": [{"path": "weights.bin", "sha256": hashlib.sha256(b"hello").hexdigest(), "bytes": 5}],
            "metadata": {"base_sha256": "b"},
        }
    ]
