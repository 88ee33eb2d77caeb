"""Gradient accumulation and several processes give the same run as one batch, up to rounding."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import PartialState
from PIL import Image
from safetensors.numpy import load_file
from skimage.data import astronaut

from pixelpersona import train
from pixelpersona.data.latents import LatentSet
from pixelpersona.data.loader import WHOLE, LatentBatches, Part
from pixelpersona.files import read_jsonl
from pixelpersona.models.base import BaseModel
from pixelpersona.training.accelerator import make_accelerator
from pixelpersona.training.objectives.diffusion import DiffusionObjective

STEPS = 6


def _latent_set() -> LatentSet:
    rng = torch.Generator().manual_seed(0)
    return LatentSet(
        latents=torch.randn(7, 4, 8, 8, generator=rng),
        text=torch.randn(2, 24, 16, generator=rng),
        text_index=torch.arange(7) % 2,
        empty_text=torch.zeros(24, 16),
        ids=tuple(map(str, range(7))),
        captions=("a", "b"),
        mirrored=torch.randn(7, 4, 8, 8, generator=rng),
    )


@pytest.mark.parametrize("num", [2, 3, 6])
def test_the_parts_of_a_batch_concatenate_to_the_batch(num: int) -> None:
    batches = LatentBatches(_latent_set(), 6, seed=1, caption_dropout=0.5)
    for step in range(4):
        batch = batches.at(step)
        parts = [batches.at(step, Part(index, num)) for index in range(num)]
        assert torch.equal(torch.cat([part.latents for part in parts]), batch.latents)
        assert torch.equal(torch.cat([part.text for part in parts]), batch.text)
        assert sum((part.ids for part in parts), ()) == batch.ids
    assert batches.at(0).part == WHOLE
    with pytest.raises(ValueError, match="6 does not split into 4"):
        batches.at(0, Part(0, 4))


@pytest.mark.parametrize("settings", [{}, {"snr_gamma": 5.0, "noise_offset": 0.1, "kind": "huber"}])
def test_the_mean_loss_of_the_parts_equals_the_loss_of_the_batch(
    micro_base: BaseModel, settings: dict[str, object]
) -> None:
    objective = DiffusionObjective(micro_base.unet, micro_base.noise_schedule, **settings)  # type: ignore[arg-type]
    batches = LatentBatches(_latent_set(), 6, seed=1)

    def loss(part: Part) -> float:
        return float(objective(batches.at(3, part), torch.Generator().manual_seed(5)))

    with torch.no_grad():
        expected = loss(WHOLE)
        parts = [loss(Part(index, 3)) for index in range(3)]
    assert np.mean(parts) == pytest.approx(expected, rel=1e-5)
    assert len({round(part, 4) for part in parts}) == 3


def test_a_batch_size_or_process_count_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"loop\.gradient_accumulation_steps=0: accepted 1 or more"):
        make_accelerator("no", batch_size=8, gradient_accumulation_steps=0)
    with pytest.raises(ValueError, match=r"loop\.batch_size=8: accepted multiples of 3"):
        make_accelerator("no", batch_size=8, gradient_accumulation_steps=3)
    monkeypatch.setenv("WORLD_SIZE", "2")  # as torchrun sets it, but accelerate was initialised without it
    with pytest.raises(ValueError, match="torchrun started 2 processes, accelerate found 1"):
        make_accelerator("no", batch_size=8)


def test_fp16_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PartialState(), "device", torch.device("cpu"))
    with pytest.raises(ValueError, match=r"^loop\.precision=fp16: needs a GPU; accepted fp32 or bf16"):
        make_accelerator("fp16", batch_size=8)


def test_jobs_in_one_process_can_differ_in_precision_and_accumulation() -> None:
    for precision, passes in [("no", 1), ("bf16", 2), ("no", 4)]:
        accelerator = make_accelerator(precision, batch_size=8, gradient_accumulation_steps=passes)
        assert (accelerator.mixed_precision, accelerator.gradient_accumulation_steps) == (precision, passes)


@pytest.fixture(scope="module")
def words(micro_base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    photos = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(10):
        top, left = rng.integers(0, 200, 2)
        crop = astronaut()[top : top + 256, left : left + 256]
        Image.fromarray(crop).resize((48, 48)).save(photos / f"{number}.png")
    return [
        "loop=quick",
        f"loop.num_steps={STEPS}",
        "loop.num_samples=4",
        "loop.checkpoint_every_steps=3",
        "loop.validate_every_steps=3",
        "loop.log_every_steps=1",
        "optimizer.eps=1e-4",  # with 1e-8, gradients of mere rounding error would make full steps
        "loss.caption_dropout=0.3",
        "loss.noise_offset=0.05",
        "dataset=folder",
        f"dataset.path={photos}",
        "dataset.framing=center",
        "dataset.val_share=0.4",
        "dataset.test_share=0",
        "dataset.mirror=true",
        "model.image_size=32",
        "model.cell=4",
        f"model.path={micro_base_folder}",
        "sampler=fast",
        "tracker=none",
        f"paths.cache={tmp_path_factory.mktemp('cache')}",
    ]


def _train(words: list[str], runs: Path, *more: str) -> Path:
    train.main([*words, f"paths.runs={runs}", *more])
    return runs / "lora-r4"


def _torchrun(words: list[str], runs: Path, *more: str) -> Path:
    environment = {**os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "pixelpersona.train", *words, f"paths.runs={runs}", *more]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote ") == 1  # only rank 0 reports
    assert ", 2 processes" in done.stdout
    return runs / "lora-r4"


def _assert_same_run(first: Path, second: Path) -> None:
    """Weights equal to 1e-5, recorded losses to a relative 1e-4."""
    a, b = (load_file(folder / "pytorch_lora_weights.safetensors") for folder in (first, second))
    assert a.keys() == b.keys()
    assert all(np.allclose(a[key], b[key], rtol=0, atol=1e-5) for key in a)
    assert max(float(np.abs(value).max()) for key, value in a.items() if "lora_B" in key) > 1e-3
    rows, other_rows = (read_jsonl(folder / "metrics.jsonl") for folder in (first, second))
    assert [row.keys() for row in rows] == [row.keys() for row in other_rows]
    for row, other in zip(rows, other_rows, strict=True):
        close = {key: value for key, value in row.items() if key.startswith(("train/", "val/"))}
        assert {key: other[key] for key in close} == pytest.approx(close, rel=1e-4, abs=1e-5)


def test_two_accumulated_passes_equal_one_batch(words: list[str], tmp_path: Path) -> None:
    single = _train(words, tmp_path / "single")
    split = _train(words, tmp_path / "split", "loop.gradient_accumulation_steps=2")
    _assert_same_run(single, split)


@pytest.mark.slow
def test_two_processes_equal_two_passes_and_resume_in_one_process(words: list[str], tmp_path: Path) -> None:
    split = _train(words, tmp_path / "split", "loop.gradient_accumulation_steps=2")
    both = _torchrun(words, tmp_path / "both")
    _assert_same_run(split, both)
    (timing,) = read_jsonl(both / "timings.jsonl")
    assert timing["num_processes"] == 2
    assert len(list((both / "checkpoints").glob("step-*"))) == 2
    manifest = json.loads((both / "checkpoints" / "step-000003" / "manifest.json").read_text())
    assert manifest["step"] == 3
    # Reset to step 3 and finished by one process, it is the same run.
    (both / "finished.json").unlink()
    for file in (both / "checkpoints" / "step-000006").iterdir():
        file.unlink()
    (both / "checkpoints" / "step-000006").rmdir()
    _train(words, tmp_path / "both")
    _assert_same_run(split, both)
