"""Run folders are read back as they were written; errors name the broken file."""

import json
from pathlib import Path

import pytest
import yaml

from pixelpersona.runs.reading import (
    TIMINGS,
    read_run,
    read_runs,
    read_stage_seconds,
    read_timings,
    save_timings,
)
from pixelpersona.tracking.jsonl import JsonlTracker


def make_run(folder: Path) -> Path:
    tracker = JsonlTracker(folder)
    tracker.scalars({"train/loss": 0.5, "train/lr/lora": 1e-3}, 1)
    tracker.scalars({"train/loss": 0.25, "train/lr/lora": 1e-3}, 2)
    tracker.scalars({"val/loss": 0.3}, 2)
    tracker.finish()
    return folder


def test_all_files_of_a_run_are_read(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "lora-r4")
    (folder / "config.yaml").write_text(yaml.safe_dump({"method": {"kind": "lora"}, "lora": {"rank": 4}}))
    (folder / "overrides.yaml").write_text("- lora.rank=4\n- photo=사진.jpg\n", encoding="utf-8")
    (folder / "versions.json").write_text(json.dumps({"torch": "2.13.0"}))
    (folder / "git.json").write_text(json.dumps({"commit": "abc", "dirty": False}))
    (folder / "data.json").write_text(json.dumps({"pairs": "d" * 64}))
    run = read_run(folder)
    assert (run.id, run.overrides, run.method) == ("lora-r4", ["lora.rank=4", "photo=사진.jpg"], "lora")
    assert run.curves["train/loss"] == [(1, 0.5), (2, 0.25)]
    assert run.curves["val/loss"] == [(2, 0.3)]
    assert run.config["lora"] == {"rank": 4}
    assert run.versions == {"torch": "2.13.0"}
    assert run.git == {"commit": "abc", "dirty": False}
    assert run.data == {"pairs": "d" * 64}


def test_a_run_with_only_metrics_is_read(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "killed"))
    assert (run.overrides, run.config, run.method) == ([], {}, "")


def test_runs_are_found_below_a_folder(tmp_path: Path) -> None:
    for name in ("lora-r8", "lora-r4", "sweep/rank 4"):
        make_run(tmp_path / name)
    (tmp_path / "not-a-run").mkdir()
    assert [run.id for run in read_runs(tmp_path)] == ["lora-r4", "lora-r8", "sweep/rank 4"]
    assert [run.id for run in read_runs(tmp_path / "lora-r4")] == ["lora-r4"]
    assert read_runs(tmp_path / "not-a-run") == []


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("config.yaml", "a: [", "not readable"),
        ("config.yaml", "- a", "expected a dict, found a list"),
        ("overrides.yaml", "a: 1", "expected a list, found a dict"),
        ("git.json", "{", "not readable"),
        ("metrics.jsonl", "{\n", "line 1: not JSON"),
        ("metrics.jsonl", '{"train/loss": 1}\n', "accepted a step and numbers in every row"),
        ("metrics.jsonl", '{"step": [], "train/loss": 1}\n', "accepted a step and numbers in every row"),
        ("metrics.jsonl", '{"step": 1, "train/loss": null}\n', "accepted a step and numbers in every row"),
        (
            "metrics.jsonl",
            '{"step": 1e999, "train/loss": 1}\n',
            "1e999 is not a finite number",
        ),
    ],
)
def test_a_broken_file_is_an_error_that_names_it(tmp_path: Path, name: str, text: str, message: str) -> None:
    folder = make_run(tmp_path / "run")
    (folder / name).write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_run(folder)
    assert name in str(caught.value)


def test_a_folder_without_metrics_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"metrics\.jsonl: no such file"):
        read_run(tmp_path)


def test_timings_are_read_back_and_may_be_missing_but_not_broken(tmp_path: Path) -> None:
    assert read_timings(tmp_path) == {}
    save_timings(tmp_path, {"base": 0.25, "lora-r4": 1.0})
    assert read_timings(tmp_path) == {"base": 0.25, "lora-r4": 1.0}
    assert [file.name for file in tmp_path.iterdir()] == [TIMINGS]
    for broken in ("{", '{"seconds_per_portrait": [1]}', '{"seconds_per_portrait": {"base": "long"}}'):
        (tmp_path / TIMINGS).write_text(broken)
        with pytest.raises(ValueError, match=r"timings\.json"):
            read_timings(tmp_path)


def test_seconds_per_stage_are_read_and_may_be_missing_but_not_broken(tmp_path: Path) -> None:
    file = tmp_path / "timing.json"
    assert read_stage_seconds(file) == {}
    file.write_text('{"prepare": 3, "train lora-r8": 51.2}')
    assert read_stage_seconds(file) == {"prepare": 3.0, "train lora-r8": 51.2}
    for broken in ("[]", "{", '{"prepare": "long"}', '{"prepare": NaN}', '{"prepare": null}'):
        file.write_text(broken)
        with pytest.raises(ValueError, match=r"timing\.json: "):
            read_stage_seconds(file)
