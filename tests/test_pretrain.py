"""Making a base from photos: every stage by its command, going on after a kill, training on from a base."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionImg2ImgPipeline
from PIL import Image
from safetensors.torch import load_file
from skimage.data import astronaut
from torchmetrics.functional.image import peak_signal_noise_ratio

from pixelpersona import pretrain
from pixelpersona.build.features import newest_features
from pixelpersona.build.measuring import BEGIN, END, measured_table, replace_part
from pixelpersona.data.sources import FolderSource
from pixelpersona.models.features import PersonaFeatures
from pixelpersona.tracking.jsonl import read_jsonl

WEIGHTS = "diffusion_pytorch_model.safetensors"
SMALL = [
    "autoencoder.num_steps=2",
    "autoencoder.batch_size=2",
    "unet.num_steps=3",
    "unet.batch_size=2",
    "features.num_steps=3",
    "features.batch_size=4",
    "portraits.num_drawn=5",
    "portraits.num_kept=4",
    "portraits.num_heldout=1",
    "portraits.num_steps=2",
    "measure.num_photos=8",
    "measure.num_imagined=8",
    "measure.num_steps=4",
    "dataset.heldout_share=0.3",
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of 32 crops of a public-domain portrait, with attributes for their captions."""
    rng = np.random.default_rng(0)
    archive = tmp_path_factory.mktemp("photos") / "faces.zip"
    rows = []
    with zipfile.ZipFile(archive, "w") as zipped:
        for number in range(32):
            top, left = rng.integers(0, 200, 2)
            with zipped.open(f"faces/{number}.png", "w") as file:
                Image.fromarray(astronaut()[top : top + 256, left : left + 256]).resize((128, 128)).save(
                    file, "PNG"
                )
            rows.append({"file_name": f"{number}.png", "age": 20 + number, "gender": "female"})
        zipped.writestr("faces/metadata.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return archive


@pytest.fixture(scope="module")
def made(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run, two or three steps a stage."""
    runs = tmp_path_factory.mktemp("runs")
    pretrain.main([f"dataset.path={photos}", f"paths.runs={runs}", *SMALL])
    return runs / "pretrain"


def test_plain_diffusers_draws_with_the_base_it_makes(made: Path) -> None:
    pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(made / "base")
    pipeline.set_progress_bar_config(disable=True)
    photo = Image.fromarray(astronaut()[:256, 96:352]).resize((128, 128))
    drawn = pipeline("a photo of a woman", image=photo, num_inference_steps=2, strength=0.5).images[0]
    assert drawn.size == (128, 128)
    # Within half a batch of it: latents of mean 0 and deviation 1, so that a noise schedule fits them.
    latents = torch.from_numpy(np.load(made / "latents.npy")).float()
    assert latents.mean(dim=(0, 2, 3)).abs().max() < 0.5
    assert (latents.std(dim=(0, 2, 3)) - 1).abs().max() < 0.5


def test_its_portraits_are_listed_with_caption_seed_and_split(made: Path) -> None:
    rows = [json.loads(line) for line in (made / "portraits" / "metadata.jsonl").read_text().splitlines()]
    assert [row["split"] for row in rows] == ["train", "train", "train", "heldout"]
    assert len({row["seed"] for row in rows}) == 4
    for row in rows:
        assert row["text"].startswith("a photo of a ")
        assert Image.open(made / "portraits" / row["file_name"]).size == (128, 128)


def test_the_feature_network_goes_on_from_its_checkpoint(photos: Path, tmp_path: Path) -> None:
    """With the drawings it has, and ends with the same weights; what it wrote then does the measuring."""
    words = [f"dataset.path={photos}", f"paths.runs={tmp_path}", *SMALL, "stage=features"]
    words.append("features.checkpoint_every_steps=1")
    folder = tmp_path / "pretrain"
    pretrain.main(words)
    file = folder / "persona" / "persona.safetensors"
    whole, drawn = file.read_bytes(), (folder / "drawings.npy").stat().st_mtime_ns
    assert newest_features(folder).sha256 == PersonaFeatures(file.parent).sha256 != PersonaFeatures().sha256
    assert newest_features(tmp_path).sha256 == PersonaFeatures().sha256
    shutil.rmtree(folder / "features" / "checkpoints" / "step-000003")
    file.unlink()
    pretrain.main(words)
    assert file.read_bytes() == whole
    assert (folder / "drawings.npy").stat().st_mtime_ns == drawn


def test_a_damaged_checkpoint_repeats_no_row(photos: Path, tmp_path: Path) -> None:
    """The record goes on from the checkpoint that was whole, not from the newest; at W&B as one run."""
    words = [f"dataset.path={photos}", f"paths.runs={tmp_path}", *SMALL, "stage=features"]
    words += ["features.num_steps=20", "features.checkpoint_every_steps=10", "tracker=wandb"]
    pretrain.main(words)
    folder = tmp_path / "pretrain" / "features"
    record, weights = folder / "metrics.jsonl", tmp_path / "pretrain" / "persona" / "persona.safetensors"
    undisturbed, learned = record.read_bytes(), weights.read_bytes()
    assert [row["step"] for row in read_jsonl(record)] == [10, 20]
    newest = folder / "checkpoints" / "step-000020" / "weights.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1] + b"!")
    pretrain.main(words)
    assert record.read_bytes() == undisturbed
    assert weights.read_bytes() == learned
    runs = [run.name.rpartition("-")[2] for run in (folder / "wandb").glob("offline-run-*")]
    assert len(runs) == 2
    assert len(set(runs)) == 1


def test_a_warm_start_keeps_the_latents_and_trains_the_rest(made: Path, photos: Path, tmp_path: Path) -> None:
    words = [f"dataset.path={photos}", f"paths.runs={tmp_path}", f"model.path={made / 'base'}", *SMALL]
    for stage in ("autoencoder", "unet"):
        pretrain.main([f"stage={stage}", "warm_start=true", *words])
    for part, kept in (("vae", ("encoder.", "quant_conv.")), ("unet", ())):
        before = load_file(made / "base" / part / WEIGHTS)
        after = load_file(tmp_path / "pretrain" / "base" / part / WEIGHTS)
        assert before.keys() == after.keys()
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert changed
        assert not [name for name in changed if kept and name.startswith(kept)]
    vocabulary = "tokenizer/vocab.json"
    assert (made / "base" / vocabulary).read_text() == (tmp_path / "pretrain/base" / vocabulary).read_text()


def test_the_base_is_measured_on_photos_kept_out(made: Path, photos: Path, tmp_path: Path) -> None:
    """The numbers are those of torchmetrics and of diffusers' own autoencoder; the table goes into a card."""
    study = made / "study"
    words = [*SMALL, "stage=measure", f"measure.study={study}"]
    pretrain.main([f"dataset.path={photos}", f"paths.runs={made.parent}", *words])
    found = json.loads((made / "measured.json").read_text())
    assert found == json.loads((study / "results.json").read_text())
    readme = (study / "README.md").read_text()
    assert measured_table(found) in readme
    for stage in ("autoencoder", "unet"):  # the record outlives the run
        kept = study / "stages" / stage / "metrics.jsonl"
        assert kept.read_text() == (made / stage / "metrics.jsonl").read_text()
    for name in re.findall(r"\((\w+\.png)\)", readme):
        assert Image.open(study / name).width > 256
    assert found["portraits"]["kept_nearest_highest"] < found["portraits"]["photos_nearest_99th_percentile"]
    assert found["num_photos"] == found["text_to_image"]["num"] == 8
    source = FolderSource(photos, heldout_share=0.3)
    kept = [name for name in source.ids() if source.split(name) == "heldout"][:8]
    pictures = torch.stack([torch.from_numpy(np.array(source.open(name))) for name in kept])
    pictures = pictures.permute(0, 3, 1, 2) / 255
    vae = AutoencoderKL.from_pretrained(made / "base" / "vae")
    with torch.no_grad():
        rebuilt = vae.decode(vae.encode(pictures * 2 - 1).latent_dist.mode()).sample
    rebuilt = ((rebuilt / 2 + 0.5).clamp(0, 1) * 255).round() / 255
    expected = [
        float(peak_signal_noise_ratio(a, b, data_range=1.0)) for a, b in zip(rebuilt, pictures, strict=True)
    ]
    assert found["autoencoder"]["photo"]["psnr"] == pytest.approx(np.mean(expected), abs=0.02)
    assert len(found["loss_by_level"]) == 10
    assert found["features"]["features_sha256"] == PersonaFeatures().sha256
    assert found["features"]["num"] == 8
    # All of them are crops of one woman: a gender there is, an ethnicity nobody said.
    assert 0 <= found["features"]["gender_accuracy"] <= 1
    assert np.isnan(found["features"]["ethnicity_accuracy"])
    assert 0 <= found["img2img"]["above_wrong"] <= 1
    card = tmp_path / "CARD.md"
    card.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    replace_part(card, measured_table(found))
    text = card.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert f"{found['autoencoder']['photo']['psnr']:.2f} dB PSNR" in text
    with pytest.raises(ValueError, match=r"measure\.card="):
        replace_part(made / "measured.json", "")


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_with_the_same_weights(
    made: Path, photos: Path, tmp_path: Path
) -> None:
    words = [f"dataset.path={photos}", f"paths.runs={tmp_path}", f"model.path={made / 'base'}", *SMALL]
    words += ["stage=unet", "warm_start=true", "unet.checkpoint_every_steps=1", "unet.num_steps=12"]

    def start(name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "pixelpersona.pretrain", *words, f"name={name}"]
        return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)

    assert start("whole").wait() == 0
    process = start("killed")
    checkpoints = tmp_path / "killed" / "unet" / "checkpoints"
    while process.poll() is None and not (checkpoints / "step-000003" / "manifest.json").is_file():
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "base").exists()
    assert start("killed").wait() == 0
    for part in ("unet/" + WEIGHTS, "text_encoder/model.safetensors"):
        whole, killed = (load_file(tmp_path / name / "base" / part) for name in ("whole", "killed"))
        assert all(torch.equal(whole[key], killed[key]) for key in whole)
