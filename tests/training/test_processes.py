"""A batch shared by passes or by processes trains the same run, to rounding."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
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
def test_parts_are_the_whole(num: int) -> None:
    batches = LatentBatches(_latent_set(), 6, seed=1, caption_dropout=0.5)
    for step in range(4):
        whole = batches.at(step)
        parts = [batches.at(step, Part(index, num)) for index in range(num)]
        assert torch.equal(torch.cat([part.latents for part in parts]), whole.latents)
        assert torch.equal(torch.cat([part.text for part in parts]), whole.text)
        assert sum((part.ids for part in parts), ()) == whole.ids
    assert batches.at(0).part == WHOLE
    with pytest.raises(ValueError, match="6 does not split into 4"):
        batches.at(0, Part(0, 4))


@pytest.mark.parametrize("settings", [{}, {"snr_gamma": 5.0, "noise_offset": 0.1, "kind": "huber"}])
def test_the_mean_loss_of_the_parts_is_that_of_the_whole(
    micro_base: BaseModel, settings: dict[str, object]
) -> None:
    objective = DiffusionObjective(micro_base.unet, micro_base.noise_schedule, **settings)  # type: ignore[arg-type]
    batches = LatentBatches(_latent_set(), 6, seed=1)

    def loss(part: Part) -> float:
        return float(objective(batches.at(3, part), torch.Generator().manual_seed(5)))

    with torch.no_grad():
        whole = loss(WHOLE)
        parts = [loss(Part(index, 3)) for index in range(3)]
    assert np.mean(parts) == pytest.approx(whole, rel=1e-5)
    assert len({round(part, 4) for part in parts}) == 3


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"loop\.gradient_accumulation_steps=0: accepted 1 or more"):
        make_accelerator("no", batch_size=8, gradient_accumulation_steps=0)
    with pytest.raises(ValueError, match=r"loop\.batch_size=8: accepted multiples of 3"):
        make_accelerator("no", batch_size=8, gradient_accumulation_steps=3)
    monkeypatch.setenv("WORLD_SIZE", "2")  # as torchrun sets it, with an accelerate that looked for a GPU
    with pytest.raises(ValueError, match="torchrun started 2 processes, accelerate found 1"):
        make_accelerator("no", batch_size=8)


def test_jobs_of_one_process_may_differ_in_precision_and_passes() -> None:
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
        "optimizer.eps=1e-4",  # Adam's own 1e-8 makes whole steps of gradients that are only rounding
        "loss.caption_dropout=0.3",
        "loss.noise_offset=0.05",
        "dataset=folder",
        f"dataset.path={photos}",
        "dataset.framing=center",
        "dataset.heldout_share=0.4",
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
    assert done.stdout.count("wrote ") == 1  # the first process alone
    assert ", 2 processes" in done.stdout
    return runs / "lora-r4"


def _assert_same_run(first: Path, second: Path) -> None:
    """Weights and everything recorded, to 1e-5."""
    one, other = (load_file(folder / "pytorch_lora_weights.safetensors") for folder in (first, second))
    assert one.keys() == other.keys()
    assert all(np.allclose(one[key], other[key], rtol=0, atol=1e-5) for key in one)
    assert max(float(np.abs(value).max()) for key, value in one.items() if "lora_B" in key) > 1e-3
    rows, others = (read_jsonl(folder / "metrics.jsonl") for folder in (first, second))
    assert [row.keys() for row in rows] == [row.keys() for row in others]
    for row, there in zip(rows, others, strict=True):
        close = {key: value for key, value in row.items() if key.startswith(("train/", "val/"))}
        assert {key: there[key] for key in close} == pytest.approx(close, rel=1e-4, abs=1e-5)


def test_two_passes_are_one_batch(words: list[str], tmp_path: Path) -> None:
    whole = _train(words, tmp_path / "whole")
    split = _train(words, tmp_path / "split", "loop.gradient_accumulation_steps=2")
    _assert_same_run(whole, split)


@pytest.mark.slow
def test_two_processes_are_two_passes_and_go_on_as_one(words: list[str], tmp_path: Path) -> None:
    split = _train(words, tmp_path / "split", "loop.gradient_accumulation_steps=2")
    both = _torchrun(words, tmp_path / "both")
    _assert_same_run(split, both)
    (timing,) = read_jsonl(both / "timings.jsonl")
    assert timing["num_processes"] == 2
    assert len(list((both / "checkpoints").glob("step-*"))) == 2
    manifest = json.loads((both / "checkpoints" / "step-000003" / "manifest.json").read_text())
    assert manifest["step"] == 3
    # The same run, stopped at step 3 and finished by one process.
    (both / "finished.json").unlink()
    for file in (both / "checkpoints" / "step-000006").iterdir():
        file.unlink()
    (both / "checkpoints" / "step-000006").rmdir()
    _train(words, tmp_path / "both")
    _assert_same_run(split, both)
