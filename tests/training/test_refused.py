"""A run that was begun is not continued as another one: the difference is shown, and nothing is touched."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from pixelpersona import train
from pixelpersona.files import read_jsonl
from tests.training.running import train_words


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, micro_base_folder: Path) -> tuple[Path, list[str]]:
    root = tmp_path_factory.mktemp("refused")
    base = shutil.copytree(micro_base_folder, root / "base")
    words = [*train_words(root, base), "tracker=none", "loop.num_samples=0", "name=mine"]
    train.main([*words, f"paths.runs={root / 'runs'}"])
    (root / "runs" / "mine" / "finished.json").unlink()  # as if it were stopped before its end was marked
    return root, words


def other_base(root: Path) -> str:
    base = shutil.copytree(root / "base", root / "other")
    file = base / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["conv_in.bias"] = weights["conv_in.bias"] + np.float32(1e-3)
    save_file(weights, file, metadata={"format": "pt"})
    return f"model.path={base}"


def other_photo(root: Path) -> str:
    photos = shutil.copytree(root / "photos", root / "more")
    Image.new("RGB", (40, 40), "teal").save(photos / "7.png")
    return f"dataset.path={photos}"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("lora.rank=2", r"rank was 4, is 2"),
        ("loop.seed=1", r"seed was 0, is 1"),
        ("loop.batch_size=3", r"batch_size was 4, is 3"),
        ("optimizer=sgd", r"optimizer\.kind was adamw, is sgd"),
        ("loop.max_grad_norm=0.2", r"loop\.max_grad_norm was [\d.]+, is 0\.2"),
        ("loop.ema_decay=null", r"loop\.ema_decay was 0\.9, is None"),
        # eval/ would go on as a curve of other numbers: over other photos, or of portraits drawn otherwise.
        ("loop.num_samples=4", r"loop\.num_samples was 0, is 4"),
        ("sampler.guidance=2", r"sampler\.guidance was [\d.]+, is 2\.0"),
        (other_photo, r"pairs was [0-9a-f]{64}, is [0-9a-f]{64}"),
        (other_base, r"base was [0-9a-f]{64}, is [0-9a-f]{64}"),
    ],
)
def test_a_changed_run_is_refused(
    begun: tuple[Path, list[str]],
    tmp_path: Path,
    change: object,
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root, words = begun
    shutil.copytree(root / "runs", tmp_path / "runs")
    before = {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    more = change if isinstance(change, str) else change(root)  # type: ignore[operator]
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        train.main([*words, more, f"paths.runs={tmp_path / 'runs'}"])
    assert stop.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.search(rf"step-000004: made by another run \(.*{told}", said), said
    after = {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    assert after == before


def test_intervals_may_be_others_after_a_stop(begun: tuple[Path, list[str]], tmp_path: Path) -> None:
    """They change how often a number is recorded, and none of the numbers."""
    _, words = begun
    told = [*words, f"paths.runs={tmp_path}", "loop.checkpoint_every_steps=2"]
    train.main([*told, "name=whole"])
    mine = shutil.copytree(tmp_path / "whole", tmp_path / "mine")
    (mine / "finished.json").unlink()
    shutil.rmtree(mine / "checkpoints" / "step-000004")
    train.main([*told, "loop.validate_every_steps=1"])
    whole, found = (read_jsonl(tmp_path / name / "metrics.jsonl") for name in ("whole", "mine"))
    assert sum("val/loss" in row for row in found) == 3  # at step 3, too
    assert [row for row in found if row["step"] != 3 or "val/loss" not in row] == whole
