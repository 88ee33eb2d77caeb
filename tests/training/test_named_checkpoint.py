"""Resuming from a named checkpoint: it becomes the newest one, and later ones are set aside."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from accelerate import Accelerator
from safetensors.numpy import load_file

from pixelpersona import train as train_command
from pixelpersona.cli.schemas import config_folder
from pixelpersona.files import read_jsonl
from pixelpersona.tracking.jsonl import JsonlTracker
from pixelpersona.training.callbacks import BestCallback, CheckpointCallback
from pixelpersona.training.checkpoints import (
    TrainState,
    list_checkpoints,
    load_checkpoint,
    resume_from,
    save_checkpoint,
    set_aside,
)
from pixelpersona.training.loop import train
from tests.training.killing import Numbers, new_state
from tests.training.running import train_words

ROOT = Path(__file__).parents[2]


def run(folder: Path, num_steps: int, resume: str = "auto", num_kept: int = 2) -> TrainState:
    """Train to `num_steps` with a checkpoint every ten steps and at the last one."""
    state, checkpoints = new_state(), folder / "checkpoints"
    resumed = resume_from(state, resume, checkpoints)
    tracker = JsonlTracker(folder, resume_step=state.step if resumed else None, resume_rows=state.num_rows)
    train(
        state,
        Numbers(),
        num_steps=num_steps,
        seed=5,
        accelerator=Accelerator(cpu=True),
        tracker=tracker,
        checkpoints=CheckpointCallback(checkpoints, every_steps=10, num_steps=num_steps, num_kept=num_kept),
    )
    tracker.finish()
    return state


def names(folder: Path) -> list[str]:
    return [path.name for path in list_checkpoints(folder / "checkpoints")]


@pytest.mark.parametrize(("num_kept", "left"), [(2, ["step-000010", "step-000012"]), (1, ["step-000012"])])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_run_continues_from_the_named_checkpoint(
    tmp_path: Path, num_kept: int, left: list[str], elsewhere: bool, caplog: pytest.LogCaptureFixture
) -> None:
    uninterrupted = run(tmp_path / "uninterrupted", 30)
    folder = tmp_path / "parts"
    run(folder, 20)
    named = folder / "checkpoints" / "step-000010"
    if elsewhere:
        named = Path(shutil.move(named, tmp_path / "copy"))
    run(folder, 12, resume=str(named), num_kept=num_kept)
    assert names(folder) == left
    aside = folder / "checkpoints" / "set-aside-1" / "step-000020"
    assert "step-000020 moved to set-aside-1" in caplog.text
    state = new_state()
    load_checkpoint(state, aside)  # whole
    assert state.step == 20
    state = new_state()
    assert resume_from(state, "auto", folder / "checkpoints")
    assert state.step == 12
    state = run(folder, 30)
    for name, parameter in uninterrupted.trainable().items():
        assert torch.equal(parameter, state.trainable()[name])
    assert aside.is_dir()


def test_a_checkpoint_from_elsewhere_is_the_run_s_newest_before_the_next_step(tmp_path: Path) -> None:
    run(tmp_path, 20)
    copy = shutil.copytree(tmp_path / "checkpoints" / "step-000010", tmp_path / "copy")
    for number in (1, 2):
        assert resume_from(new_state(), str(copy), tmp_path / "checkpoints")
        assert names(tmp_path) == ["step-000010"]
        own = tmp_path / "checkpoints" / "step-000010"
        assert {path.name: path.read_bytes() for path in own.iterdir()} == {
            path.name: path.read_bytes() for path in copy.iterdir()
        }
        assert (tmp_path / "checkpoints" / f"set-aside-{number}" / "step-000010").is_dir()
    assert (tmp_path / "checkpoints" / "set-aside-1" / "step-000020").is_dir()


def test_only_rank_0_moves_checkpoints(tmp_path: Path) -> None:
    run(tmp_path, 20)
    named = tmp_path / "checkpoints" / "step-000010"
    assert resume_from(new_state(), str(named), tmp_path / "checkpoints", is_main=False)
    assert names(tmp_path) == ["step-000010", "step-000020"]


def test_a_checkpoint_is_not_deleted_for_a_damaged_one_of_a_later_step(tmp_path: Path) -> None:
    run(tmp_path, 20)
    (tmp_path / "checkpoints" / "step-000020" / "state.pt").write_bytes(b"damaged")
    run(tmp_path, 12, num_kept=1)
    assert names(tmp_path) == ["step-000012", "step-000020"]
    state = new_state()
    assert resume_from(state, "auto", tmp_path / "checkpoints")
    assert state.step == 12


def test_checkpoints_are_ordered_by_number_and_other_folders_are_left_alone(tmp_path: Path) -> None:
    state = new_state()
    (tmp_path / "step-old").mkdir()
    (tmp_path / "step-old" / "manifest.json").write_text("{}")
    for step in (999_998, 999_999, 1_000_000):
        state.step = step
        save_checkpoint(state, tmp_path)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-999999", "step-1000000"]
    assert (tmp_path / "step-old").is_dir()


def test_best_weights_of_later_steps_are_set_aside_and_the_list_begins_anew(tmp_path: Path) -> None:
    state = new_state()
    best = BestCallback(tmp_path, lambda place: (place / "weights").write_text(str(state.step)))
    for state.step, value in ((10, 0.5), (20, 0.3)):
        state.scores = {"val/loss": value}
        best.run(state)
    state.step, state.best = 10, [(0.5, 10)]  # as in the checkpoint of step 10
    set_aside(tmp_path, 11)
    aside = tmp_path / "set-aside-1"
    assert (aside / "step-000020" / "weights").read_text() == "20"
    assert json.loads((aside / "best.json").read_text())["kept"][0]["step"] == 20
    assert not (tmp_path / "best.json").exists()
    state.step, state.scores = 12, {"val/loss": 0.6}
    best.run(state)  # the weights of step 10 were replaced by those of step 20
    assert [entry["step"] for entry in json.loads((tmp_path / "best.json").read_text())["kept"]] == [12]
    assert state.best == [(0.6, 12)]


def test_a_finished_run_trained_again_from_a_named_checkpoint_ends_the_same(
    tmp_path: Path, micro_base_folder: Path
) -> None:
    words = [*train_words(tmp_path, micro_base_folder), "tracker=none", "loop.num_samples=0", "name=mine"]
    command = [*words, "loop.checkpoint_every_steps=2", f"paths.runs={tmp_path}"]
    train_command.main(command)
    folder = tmp_path / "mine"
    weights = load_file(folder / "pytorch_lora_weights.safetensors")
    rows = (folder / "metrics.jsonl").read_bytes()
    named = folder / "checkpoints" / "step-000002"
    train_command.main([*command, f"loop.resume={named}", "loop.num_checkpoints_kept=1"])
    assert names(folder) == ["step-000004"]
    assert (folder / "checkpoints" / "set-aside-1" / "step-000004").is_dir()
    found = load_file(folder / "pytorch_lora_weights.safetensors")
    assert all((found[key] == weights[key]).all() for key in weights)
    assert (folder / "metrics.jsonl").read_bytes() == rows
    assert [row["steps"] for row in read_jsonl(folder / "timings.jsonl")] == [4, 2]
    (folder / "finished.json").unlink()  # stopped after its last step, before it was marked
    train_command.main(command)
    assert (folder / "finished.json").is_file()
    assert [row["steps"] for row in read_jsonl(folder / "timings.jsonl")] == [4, 2]  # no step, no speed


def test_the_checkpoint_in_the_documents_exists_after_a_default_run() -> None:
    loop = yaml.safe_load((config_folder() / "loop" / "default.yaml").read_text(encoding="utf-8"))
    recipe = yaml.safe_load((config_folder() / "finetune" / "tiny.yaml").read_text(encoding="utf-8"))
    num_steps, every = recipe["num_steps"], loop["checkpoint_every_steps"]
    saved = sorted({*range(every, num_steps + 1, every), num_steps})
    pages = [*ROOT.glob("README*.md"), *(ROOT / "docs").glob("*.md")]
    texts = [page.read_text(encoding="utf-8") for page in pages]
    shown = [int(step) for text in texts for step in re.findall(r"checkpoints/step-(\d+)", text)]
    assert shown
    assert set(shown) <= set(saved[-loop["num_checkpoints_kept"] :])
