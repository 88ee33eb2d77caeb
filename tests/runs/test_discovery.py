"""Which weights below a folder of runs are found, and which of them are evaluated."""

import json
from pathlib import Path

import pytest

from pixelpersona.runs.discovery import TrainedWeights, base_of, best_weights, find_trained

LORA = "pytorch_lora_weights.safetensors"


def write_run(folder: Path, weights: str = "last", file_name: str = LORA, best: str | None = None) -> None:
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("")
    (folder / file_name).write_text(weights)
    if best is not None:
        (folder / "best" / "step-000100").mkdir(parents=True)
        (folder / "best" / "step-000100" / file_name).write_text(best)
        kept = [{"step": 100, "value": 0.1, "folder": "step-000100"}]
        (folder / "best" / "best.json").write_text(json.dumps({"metric": "val/loss", "kept": kept}))


def names(runs: Path) -> list[str]:
    return [trained.name for trained in find_trained(runs, LORA)]


def test_runs_are_found_at_any_depth_and_in_natural_order(tmp_path: Path) -> None:
    for name in ("lora-r16", "lora-r4", "ranks/lora-r8", "ranks/lora-r32", "a/b/mine"):
        write_run(tmp_path / name)
    assert names(tmp_path) == ["a/b/mine", "lora-r4", "lora-r16", "ranks/lora-r8", "ranks/lora-r32"]


def test_unfinished_runs_and_folders_inside_a_run_are_skipped(tmp_path: Path) -> None:
    write_run(tmp_path / "lora-r4", best="best")
    (tmp_path / "lora-r4" / "ema").mkdir()
    (tmp_path / "lora-r4" / "ema" / LORA).write_text("mean")
    write_run(tmp_path / "stopped", best="best")
    (tmp_path / "stopped" / LORA).unlink()  # not finished
    write_run(tmp_path / "supervised", file_name="supervised_baseline.safetensors")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / LORA).write_text("other")
    assert names(tmp_path) == ["lora-r4"]
    assert names(tmp_path / "lora-r4") == ["lora-r4"]


def test_weights_without_a_record_are_found(tmp_path: Path) -> None:
    (tmp_path / "downloaded").mkdir()
    (tmp_path / "downloaded" / LORA).write_text("theirs")
    (found,) = find_trained(tmp_path, LORA)
    assert (found.name, found.file) == ("downloaded", tmp_path / "downloaded" / LORA)
    assert base_of(found) is None
    assert best_weights(found) == found


def test_the_best_weights_are_those_in_the_record_of_the_run(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "last", best="best")
    (found,) = find_trained(tmp_path, LORA)
    assert found.file.read_text() == "last"
    assert best_weights(found).file.read_text() == "best"
    assert best_weights(found).name == "a"
    assert best_weights(found).sha256 != found.sha256


@pytest.mark.parametrize("text", ["{", "[]", '{"kept": []}', '{"kept": [3]}'])
def test_a_broken_best_json_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    write_run(tmp_path / "a", best="best")
    (tmp_path / "a" / "best" / "best.json").write_text(text)
    with pytest.raises(ValueError, match=r"best\.json: not readable"):
        best_weights(TrainedWeights("a", tmp_path / "a" / LORA))


def test_the_base_of_a_run_is_read_from_its_record(tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    (tmp_path / "a" / "data.json").write_text('{"pairs": "1", "base": "2"}')
    (found,) = find_trained(tmp_path, LORA)
    assert base_of(found) == "2"
    (tmp_path / "a" / "data.json").write_text("[]")
    with pytest.raises(ValueError, match=r"data\.json: expected a dict, found a list"):
        base_of(found)
