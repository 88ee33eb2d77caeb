"""A run is not resumed with other settings, data or base: the error shows the difference, no file changes."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from pixelpersona import train
from pixelpersona.files import read_jsonl
from tests.refusing import refused
from tests.training.running import train_words


@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory: pytest.TempPathFactory, micro_base_folder: Path) -> tuple[Path, list[str]]:
    root = tmp_path_factory.mktemp("refused")
    base = shutil.copytree(micro_base_folder, root / "base")
    words = [*train_words(root, base), "tracker=none", "loop.num_samples=0", "name=mine"]
    train.main([*words, f"paths.runs={root / 'runs'}"])
    (root / "runs" / "mine" / "finished.json").unlink()  # as if stopped just before it was marked as finished
    return root, words


def with_other_base(root: Path) -> str:
    base = shutil.copytree(root / "base", root / "other")
    file = base / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["conv_in.bias"] = weights["conv_in.bias"] + np.float32(1e-3)
    save_file(weights, file, metadata={"format": "pt"})
    return f"model.path={base}"


def with_other_photo(root: Path) -> str:
    photos = shutil.copytree(root / "photos", root / "more")
    Image.new("RGB", (40, 40), "teal").save(photos / "7.png")
    return f"dataset.path={photos}"


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("lora.rank=2", r"rank was 4, is 2"),
        ("loop.seed=1", r"seed was 0, is 1"),
        ("loop.batch_size=3", r"batch_size was 4, is 3"),
        ("optimizer=sgd", r"optimizer\.kind was adamw, is sgd"),
        ("loop.max_grad_norm=0.2", r"loop\.max_grad_norm was [\d.]+, is 0\.2"),
        ("loop.ema_decay=null", r"loop\.ema_decay was 0\.9, is None"),
        # Otherwise one curve of eval/ would mix different photos or different samplers.
        ("loop.num_samples=4", r"loop\.num_samples was 0, is 4"),
        ("sampler.guidance=2", r"sampler\.guidance was [\d.]+, is 2\.0"),
        (with_other_photo, r"pairs was [0-9a-f]{64}, is [0-9a-f]{64}"),
        (with_other_base, r"base was [0-9a-f]{64}, is [0-9a-f]{64}"),
    ],
)
def test_resuming_with_a_changed_setting_is_refused(
    stopped_run: tuple[Path, list[str]],
    tmp_path: Path,
    change: object,
    difference: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root, words = stopped_run
    shutil.copytree(root / "runs", tmp_path / "runs")
    before = {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    more = change if isinstance(change, str) else change(root)  # type: ignore[operator]
    message = refused(train.main, capsys, [*words, more, f"paths.runs={tmp_path / 'runs'}"])
    assert re.search(rf"step-000004: made by a run with other settings \(.*{difference}", message), message
    after = {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    assert after == before


def test_intervals_may_change_when_a_run_resumes(stopped_run: tuple[Path, list[str]], tmp_path: Path) -> None:
    """They change how often a number is recorded, not the numbers."""
    _, words = stopped_run
    command = [*words, f"paths.runs={tmp_path}", "loop.checkpoint_every_steps=2"]
    train.main([*command, "name=uninterrupted"])
    mine = shutil.copytree(tmp_path / "uninterrupted", tmp_path / "mine")
    (mine / "finished.json").unlink()
    shutil.rmtree(mine / "checkpoints" / "step-000004")
    train.main([*command, "loop.validate_every_steps=1"])
    expected, found = (read_jsonl(tmp_path / name / "metrics.jsonl") for name in ("uninterrupted", "mine"))
    assert sum("val/loss" in row for row in found) == 4  # one of them at step 0, one at step 3
    assert [row for row in found if row["step"] != 3 or "val/loss" not in row] == expected


@pytest.mark.parametrize(
    ("word", "lowest"),
    [
        ("loop.log_every_steps=0", 1),
        ("loop.validate_every_steps=-5", 1),
        ("loop.num_epochs=0", 1),
        ("loop.batch_size=0", 1),
        ("loop.num_samples=-1", 0),
    ],
)
def test_a_number_that_is_too_small_is_refused_before_anything_is_written(
    stopped_run: tuple[Path, list[str]],
    tmp_path: Path,
    word: str,
    lowest: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, words = stopped_run
    message = refused(train.main, capsys, [*words, word, f"paths.runs={tmp_path / 'runs'}"])
    assert message == f"{word}: accepted {lowest} or more"
    assert not (tmp_path / "runs").exists()


def test_a_base_that_does_not_predict_the_noise_is_refused(
    stopped_run: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, words = stopped_run
    base = shutil.copytree(root / "base", tmp_path / "base")
    file = base / "scheduler" / "scheduler_config.json"
    file.write_text(file.read_text().replace('"epsilon"', '"v_prediction"'))
    message = refused(train.main, capsys, [*words, f"model.path={base}", f"paths.runs={tmp_path / 'runs'}"])
    assert message == f"model.path={base}: prediction_type=v_prediction: accepted epsilon"
    assert not list((tmp_path / "runs").rglob("*.safetensors"))


def test_all_weights_can_be_read_by_other_users(stopped_run: tuple[Path, list[str]]) -> None:
    root, _ = stopped_run
    files = list((root / "runs" / "mine").rglob("*.safetensors"))
    assert any(file.parent.name == "step-000004" for file in files)
    assert {file.stat().st_mode & 0o777 for file in files} == {0o644}
