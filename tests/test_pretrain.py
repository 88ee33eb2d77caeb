"""`pretrain`: every stage, resuming, warm starts, other image sizes and schedules."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
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
from pixelpersona.data.sources import FolderSource
from pixelpersona.files import read_jsonl
from pixelpersona.models.base import load_base
from pixelpersona.models.features import PersonaFeatures
from pixelpersona.models.persona_net import PersonaNet, save_persona_net
from pixelpersona.reporting.base_table import base_table
from tests.pretraining import SMALL, into, save_photos
from tests.refusing import refused

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 photos with attributes for their captions."""
    labels: list[dict[str, object]] = [{"age": 20 + number, "gender": "female"} for number in range(32)]
    return save_photos(tmp_path_factory.mktemp("photos") / "faces.zip", labels)


@pytest.fixture(scope="module")
def pretrained(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of all stages of the base, with two or three steps each."""
    runs = tmp_path_factory.mktemp("runs")
    pretrain.main([f"dataset.path={photos}", *into(runs), *SMALL])
    return runs / "pretrain"


def test_diffusers_can_draw_with_the_base(pretrained: Path) -> None:
    pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(pretrained / "base")
    pipeline.set_progress_bar_config(disable=True)
    photo = Image.fromarray(astronaut()[:256, 96:352]).resize((128, 128))
    drawn = pipeline("a photo of a woman", image=photo, num_inference_steps=2, strength=0.5).images[0]
    assert drawn.size == (128, 128)
    # Mean about 0 and standard deviation about 1, as the noise schedule expects.
    latents = torch.from_numpy(np.load(pretrained / "latents.npy")).float()
    assert latents.mean(dim=(0, 2, 3)).abs().max() < 0.5
    assert (latents.std(dim=(0, 2, 3)) - 1).abs().max() < 0.5


def test_a_resumed_stage_keeps_the_tokenizer(pretrained: Path, photos: Path, tmp_path: Path) -> None:
    """A new tokenizer could number the tokens differently from the text encoder in the checkpoint."""
    shutil.copytree(pretrained, tmp_path / "pretrain")
    shutil.rmtree(tmp_path / "pretrain" / "base")
    pretrain.main([f"dataset.path={photos}", *into(tmp_path), *SMALL, "stage=unet"])
    for file in ("tokenizer/vocab.json", "text_encoder/model.safetensors", f"unet/{WEIGHTS}"):
        assert (tmp_path / "pretrain/base" / file).read_bytes() == (pretrained / "base" / file).read_bytes()


def test_portraits_are_listed_with_caption_seed_and_split(pretrained: Path) -> None:
    rows = read_jsonl(pretrained / "portraits" / "metadata.jsonl")
    assert sorted(row["split"] for row in rows) == ["test", "train", "train", "val"]
    assert len({row["seed"] for row in rows}) == 4
    for row in rows:
        assert row["text"].startswith("a photo of a ")
        assert Image.open(pretrained / "portraits" / row["file_name"]).size == (128, 128)


def test_the_feature_network_resumes_from_its_checkpoint(photos: Path, tmp_path: Path) -> None:
    """It ends with the same weights, and does not draw the pixel art again."""
    words = [f"dataset.path={photos}", *into(tmp_path), *SMALL, "stage=features"]
    words.append("features.checkpoint_every_steps=1")
    folder = tmp_path / "pretrain"
    pretrain.main(words)
    file = folder / "persona" / "persona.safetensors"
    expected, drawn = file.read_bytes(), (folder / "drawings.npy").stat().st_mtime_ns
    assert PersonaFeatures(file.parent).sha256 != PersonaFeatures().sha256
    shutil.rmtree(folder / "features" / "checkpoints" / "step-000003")
    file.unlink()
    pretrain.main(words)
    assert file.read_bytes() == expected
    assert (folder / "drawings.npy").stat().st_mtime_ns == drawn


def test_after_a_damaged_checkpoint_no_row_is_repeated(photos: Path, tmp_path: Path) -> None:
    """metrics.jsonl continues from the newest intact checkpoint, and W&B continues the same run."""
    words = [f"dataset.path={photos}", *into(tmp_path), *SMALL, "stage=features"]
    words += ["features.num_steps=20", "features.checkpoint_every_steps=10", "tracker=wandb"]
    pretrain.main(words)
    folder = tmp_path / "pretrain" / "features"
    record, weights = folder / "metrics.jsonl", tmp_path / "pretrain" / "persona" / "persona.safetensors"
    rows, learned = record.read_bytes(), weights.read_bytes()
    assert [row["step"] for row in read_jsonl(record)] == [10, 20]
    newest = folder / "checkpoints" / "step-000020" / "weights.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1] + b"!")
    pretrain.main(words)
    assert record.read_bytes() == rows
    assert weights.read_bytes() == learned
    runs = [run.name.rpartition("-")[2] for run in (folder / "wandb").glob("offline-run-*")]
    assert len(runs) == 2
    assert len(set(runs)) == 1


def test_a_warm_start_keeps_the_encoder_and_tokenizer(pretrained: Path, photos: Path, tmp_path: Path) -> None:
    words = [f"dataset.path={photos}", *into(tmp_path), f"model.path={pretrained / 'base'}", *SMALL]
    for stage in ("autoencoder", "unet"):
        pretrain.main([f"stage={stage}", "warm_start=true", *words])
    for part, kept in (("vae", ("encoder.", "quant_conv.")), ("unet", ())):
        before = load_file(pretrained / "base" / part / WEIGHTS)
        after = load_file(tmp_path / "pretrain" / "base" / part / WEIGHTS)
        assert before.keys() == after.keys()
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert changed
        assert not [name for name in changed if kept and name.startswith(kept)]
    vocabulary = "tokenizer/vocab.json"
    old, new = (folder / "base" / vocabulary for folder in (pretrained, tmp_path / "pretrain"))
    assert old.read_text() == new.read_text()


def test_a_warm_start_can_change_the_image_size(pretrained: Path, photos: Path, tmp_path: Path) -> None:
    """Also the encoder, with crops of pixel art among the pictures; latents are normalised again."""
    words = [f"dataset.path={photos}", *into(tmp_path), f"model.path={pretrained / 'base'}", *SMALL]
    words += ["warm_start=true", "model.image_size=64", "autoencoder.keep_encoder=false"]
    words += ["autoencoder.art_share=0.5", "autoencoder.num_art_photos=3", "autoencoder.crop=32"]
    for stage in ("autoencoder", "unet"):
        pretrain.main([f"stage={stage}", *words])
    folder = tmp_path / "pretrain"
    assert np.load(folder / "art.npy").shape == (3, 3, 16, 16, 3)
    assert load_base(folder / "base", name="tiny").image_size == 64
    latents = torch.from_numpy(np.load(folder / "latents.npy")).float()
    assert latents.shape[1:] == (6, 16, 16)
    torch.testing.assert_close(latents.mean(dim=(0, 2, 3)), torch.zeros(6), atol=0.05, rtol=0)
    torch.testing.assert_close(latents.std(dim=(0, 2, 3)), torch.ones(6), atol=0.05, rtol=0)
    weights = "vae/" + WEIGHTS
    before, after = (load_file(base / "base" / weights) for base in (pretrained, folder))
    assert not torch.equal(before["encoder.conv_in.weight"], after["encoder.conv_in.weight"])


def test_captions_that_are_too_long_are_refused(
    pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A warm start can train a new tokenizer and text encoder, which then fit captions with new words."""
    caption = "a photo of a bearded fisherman squinting into morning sunlight"
    photos = save_photos(tmp_path / "faces.zip", [{"text": caption}] * 4)
    words = [f"dataset.path={photos}", *into(tmp_path), f"model.path={pretrained / 'base'}", *SMALL]
    words += ["stage=unet", "warm_start=true", "dataset.val_share=0", "dataset.test_share=0"]
    message = r'caption ".* squinting .*" has \d\d tokens: accepted up to 24, or unet\.new_text_encoder=true'
    assert re.fullmatch(message, refused(pretrain.main, capsys, words))

    pretrain.main([*words, "unet.new_text_encoder=true"])
    folders = [pretrained / "base", tmp_path / "pretrain" / "base"]
    old, new = (load_base(folder, name="tiny") for folder in folders)
    assert len(new.tokenizer(caption).input_ids) <= 24 < len(old.tokenizer(caption).input_ids)
    assert len({(folder / "vae" / WEIGHTS).read_bytes() for folder in folders}) == 1

    long = save_photos(tmp_path / "long.zip", [{"text": " ".join(map(str, range(100)))}] * 4)
    words += [f"dataset.path={long}", "unet.new_text_encoder=true", "name=long"]
    assert refused(pretrain.main, capsys, words).endswith("tokens: accepted up to 24")


def test_a_constant_schedule_can_be_extended(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run without decay, extended later, equals a run of that length, even if it stopped in the warm-up."""
    words = [f"dataset.path={photos}", *into(tmp_path), *SMALL, "stage=autoencoder"]
    words += ["autoencoder.lr_schedule=constant", "autoencoder.num_warmup_steps=4", "autoencoder.lr=4e-3"]
    long = ["autoencoder.num_steps=8", "autoencoder.decay_share=0.5"]
    pretrain.main([*words, "name=extended", "autoencoder.decay_share=0"])
    first = load_file(tmp_path / "extended" / "vae" / WEIGHTS)
    pretrain.main([*words, *long, "name=extended"])
    pretrain.main([*words, *long, "name=direct"])
    extended, direct = (load_file(tmp_path / name / "vae" / WEIGHTS) for name in ("extended", "direct"))
    assert all(torch.equal(extended[name], direct[name]) for name in direct)
    assert not all(torch.equal(first[name], direct[name]) for name in direct)
    rows = read_jsonl(tmp_path / "extended" / "autoencoder" / "metrics.jsonl")
    assert {row["step"]: row["train/lr/all"] for row in rows} == {2: 1e-3, 8: 1e-3}
    message = refused(pretrain.main, capsys, [*words, "autoencoder.decay_share=2"])
    assert message == "autoencoder.decay_share=2.0: accepted 0 to 1"
    message = refused(pretrain.main, capsys, [*words, *long, "autoencoder.num_warmup_steps=5"])
    assert message == (
        "autoencoder.num_warmup_steps=5: accepted up to 4, the steps before the decay "
        "(num_steps=8, decay_share=0.5)"
    )


def test_a_base_of_another_image_size_can_be_trained(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"dataset.path={photos}", *into(tmp_path), *SMALL, "model.image_size=64"]
    message = refused(pretrain.main, capsys, [*words, "autoencoder.crop=96"])
    assert message == "autoencoder.crop=96: accepted multiples of 4 up to 64"
    message = refused(pretrain.main, capsys, [*words, "model.cell=8"])
    assert message == "model.cell=8: accepted 4 for a new autoencoder"

    pretrain.main([*words, "autoencoder.crop=32"])
    folder = tmp_path / "pretrain"
    assert load_base(folder / "base", name="tiny").image_size == 64
    assert np.load(folder / "latents.npy").shape[1:] == (6, 16, 16)
    assert Image.open(folder / "portraits" / "000.webp").size == (64, 64)
    pretrain.main([*words, "stage=features"])
    assert np.load(folder / "photos-128.npy").shape[1:] == (128, 128, 3)
    assert np.load(folder / "drawings.npy").shape[2:] == (16, 16, 3)
    message = refused(pretrain.main, capsys, [*words, "model.image_size=128"])
    assert message.startswith(f"{folder / 'photos.npy'}: made from other photos")


@pytest.mark.slow
def test_the_base_is_measured_on_test_photos(pretrained: Path, photos: Path) -> None:
    """With the run's own feature network; the PSNR equals torchmetrics' of diffusers' reconstruction."""
    save_persona_net(PersonaNet(), pretrained / "persona")
    study = pretrained / "study"
    words = [*SMALL, "stage=measure", f"measure.study={study}"]
    pretrain.main([f"dataset.path={photos}", *into(pretrained.parent), *words])
    found = json.loads((pretrained / "measured.json").read_text())
    assert found == json.loads((study / "results.json").read_text())
    readme = (study / "README.md").read_text()
    assert base_table(found) in readme
    for stage in ("autoencoder", "unet"):  # the study keeps a copy of the metrics
        metrics = study / "stages" / stage / "metrics.jsonl"
        assert metrics.read_text() == (pretrained / stage / "metrics.jsonl").read_text()
    for name in re.findall(r"\((\w+\.png)\)", readme):
        assert Image.open(study / name).width > 256
    assert found["portraits"]["kept_nearest_highest"] < found["portraits"]["photos_nearest_99th_percentile"]
    assert found["num_photos"] == found["text_to_image"]["num"] == 8
    source = FolderSource(photos)
    shares = {name: int(source.digest(name), 16) / 2**256 for name in source.ids()}
    kept = [name for name, share in shares.items() if share < 0.3][:8]
    pictures = torch.stack([torch.from_numpy(np.array(source.open(name))) for name in kept])
    pictures = pictures.permute(0, 3, 1, 2) / 255
    vae = AutoencoderKL.from_pretrained(pretrained / "base" / "vae")
    with torch.no_grad():
        rebuilt = vae.decode(vae.encode(pictures * 2 - 1).latent_dist.mode()).sample
    rebuilt = ((rebuilt / 2 + 0.5).clamp(0, 1) * 255).round() / 255
    expected = [
        float(peak_signal_noise_ratio(a, b, data_range=1.0)) for a, b in zip(rebuilt, pictures, strict=True)
    ]
    assert found["autoencoder"]["photo"]["psnr"] == pytest.approx(np.mean(expected), abs=0.02)
    assert len(found["loss_by_level"]) == 10
    assert found["features"]["features_sha256"] == PersonaFeatures(pretrained / "persona").sha256
    assert found["features"]["num"] == 8
    # The captions mention a gender, but no ethnicity.
    assert 0 <= found["features"]["gender_accuracy"] <= 1
    assert np.isnan(found["features"]["ethnicity_accuracy"])
    assert 0 <= found["img2img"]["above_wrong"] <= 1


@pytest.mark.slow
def test_a_killed_run_resumes_and_ends_with_the_same_weights(
    pretrained: Path, photos: Path, tmp_path: Path
) -> None:
    words = [f"dataset.path={photos}", *into(tmp_path), f"model.path={pretrained / 'base'}", *SMALL]
    words += ["stage=unet", "warm_start=true", "unet.checkpoint_every_steps=1", "unet.num_steps=12"]

    def start(name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "pixelpersona.pretrain", *words, f"name={name}"]
        return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)

    assert start("uninterrupted").wait() == 0
    process = start("killed")
    checkpoints = tmp_path / "killed" / "unet" / "checkpoints"
    while process.poll() is None and not (checkpoints / "step-000003" / "manifest.json").is_file():
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "base").exists()
    assert start("killed").wait() == 0
    for part in ("unet/" + WEIGHTS, "text_encoder/model.safetensors"):
        expected, found = (load_file(tmp_path / name / "base" / part) for name in ("uninterrupted", "killed"))
        assert all(torch.equal(expected[key], found[key]) for key in expected)
