"""Which weights below a folder of runs are found, and which of them are evaluated."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pixelpersona.runs.discovery import (
    TrainedWeights,
    base_of,
    best_weights,
    find_trained,
    name_weights,
    training_of,
)

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
    assert (found.recorded, best_weights(found).recorded) == (f"a/{LORA}", f"a/best/step-000100/{LORA}")
    assert best_weights(found).sha256 != found.sha256


@pytest.mark.parametrize("text", ["{", "[]", '{"kept": []}', '{"kept": [3]}'])
def test_a_broken_best_json_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    write_run(tmp_path / "a", best="best")
    (tmp_path / "a" / "best" / "best.json").write_text(text)
    with pytest.raises(ValueError, match=r"best\.json: (not readable|expected a dict|not the record)"):
        best_weights(TrainedWeights("a", tmp_path / "a" / LORA, f"a/{LORA}"))


def test_the_base_of_a_run_is_read_from_its_record(tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    (tmp_path / "a" / "data.json").write_text('{"pairs": "1", "base": "2"}')
    (found,) = find_trained(tmp_path, LORA)
    assert base_of(found) == "2"
    (tmp_path / "a" / "data.json").write_text("[]")
    with pytest.raises(ValueError, match=r"data\.json: expected a dict, found a list"):
        base_of(found)


# --- training seeds and other weights ---------------------------------------------------------------


def write_settings(folder: Path, pairs: str = "1", **changed: Any) -> None:
    write_run(folder)
    config = {
        "name": folder.name,
        "lora": {"rank": 4, "targets": ["to_q"]},
        "loop": {"seed": 0, "num_steps": 4, "resume": "auto"},
        "paths": {"runs": str(folder.parent)},
        "dataset": {"path": str(folder), "limit": 8},
    }
    for key, value in changed.items():
        config[key] = config.get(key, {}) | value if isinstance(value, dict) else value
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "data.json").write_text(json.dumps({"pairs": pairs, "base": "2"}))


def test_runs_that_differ_in_their_seed_alone_have_equal_settings(tmp_path: Path) -> None:
    """Names, folders, trackers and how a run was resumed do not change what is trained."""
    write_settings(tmp_path / "a")
    write_settings(tmp_path / "b", loop={"seed": 1, "resume": "never"}, tracker={"kind": "wandb"})
    write_settings(tmp_path / "c", lora={"rank": 8})
    write_settings(tmp_path / "d", pairs="3")
    write_settings(tmp_path / "e", loop={"num_steps": 5})
    found = {trained.name: training_of(trained) for trained in find_trained(tmp_path, LORA)}
    first = found["a"]
    assert first is not None
    assert found["b"] == (1, first[1])
    assert all(found[name] not in (None, first) for name in "cde")


def test_weights_without_a_record_of_their_training_have_no_seed(tmp_path: Path) -> None:
    write_run(tmp_path / "older")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / LORA).write_text("w")
    (tmp_path / "theirs" / "config.yaml").write_text("- of another program")
    assert [training_of(trained) for trained in find_trained(tmp_path, LORA)] == [None, None]
    (tmp_path / "older" / "config.yaml").write_text("- 1")
    with pytest.raises(ValueError, match=r"config\.yaml: expected a dict, found a list"):
        training_of(find_trained(tmp_path, LORA)[0])


def test_other_weights_are_named_after_their_files(tmp_path: Path) -> None:
    files = [
        tmp_path / name for name in ("my lora (1).safetensors", "실험.pt.safetensors", "base.safetensors")
    ]
    files += [tmp_path / "run" / LORA, tmp_path / "b" / "실험.pt.safetensors", tmp_path / "().safetensors"]
    for number, file in enumerate(files):
        file.parent.mkdir(exist_ok=True)
        file.write_text(str(number))
    found = name_weights(files, taken=["base"])
    names = [trained.name for trained in found]
    assert names[:2] == ["my_lora_1", "실험.pt"]
    assert names[2:4] == [f"base-{found[2].sha256[:8]}", "run"]
    assert names[4:] == [f"실험.pt-{found[4].sha256[:8]}", f"lora-{found[5].sha256[:8]}"]
    assert [trained.recorded for trained in found] == [file.name for file in files]
    twins = [tmp_path / "1.safetensors", tmp_path / "2.safetensors"]
    for file in twins:
        file.write_text("equal")
    with pytest.raises(ValueError, match=r"1\.safetensors and .*2\.safetensors are the same weights"):
        name_weights(twins, taken=[])
