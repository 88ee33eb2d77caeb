"""Bases: loading, sizes, digests, folders that plain diffusers runs, and errors."""

import json
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from diffusers import StableDiffusionImg2ImgPipeline
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers.utils import import_utils

from pixelpersona.models.base import BaseModel, load_base, save_base, weights_sha256


def test_sizes_are_read_from_the_weights(micro_base: BaseModel) -> None:
    assert (micro_base.image_size, micro_base.cell) == (32, 4)
    assert not any(p.requires_grad for p in micro_base.unet.parameters())


def test_the_packaged_base_is_loaded_for_tiny_alone() -> None:
    base = load_base(None, name="tiny", image_size=128, cell=4, device="cpu")
    assert (base.image_size, base.cell, base.device) == (128, 4, torch.device("cpu"))
    with pytest.raises(ValueError, match=r"model\.path: model=sd15 needs a hub id or a folder, model\.path="):
        load_base(None, name="sd15")


@pytest.mark.parametrize(("image_size", "cell"), [(64, 4), (32, 8), (64, None)])
def test_other_sizes_than_configured_are_refused(
    micro_base_folder: Path, image_size: int, cell: int | None
) -> None:
    message = rf"model\.image_size={image_size}, model\.cell={cell}: the base at .* has 32 and 4"
    with pytest.raises(ValueError, match=message):
        load_base(micro_base_folder, name="x", image_size=image_size, cell=cell)
    load_base(micro_base_folder, name="x", image_size=32, cell=4)


def test_the_digest_depends_on_the_weights(micro_base_folder: Path) -> None:
    first = load_base(micro_base_folder, name="one", device="cpu")
    second = load_base(micro_base_folder, name="two", device="cpu")
    assert first.sha256 == second.sha256
    with torch.no_grad():
        second.vae.quant_conv.bias[0] += 1e-3
    assert weights_sha256(first.vae) != weights_sha256(second.vae)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_plain_diffusers_loads_and_runs_the_folder(
    micro_base: BaseModel, tmp_path: Path, dtype: torch.dtype
) -> None:
    save_base(micro_base, tmp_path / "base", dtype=dtype)
    weights = list((tmp_path / "base").rglob("*.safetensors"))
    assert [file.stat().st_mode & 0o777 for file in weights] == [0o644] * 3
    pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(tmp_path / "base")
    pipeline.set_progress_bar_config(disable=True)
    photo = Image.fromarray(np.full((32, 32, 3), 128, np.uint8))
    picture = pipeline("pixel art portrait", image=photo, strength=0.5, num_inference_steps=4).images[0]
    assert picture.size == (32, 32)


@pytest.mark.parametrize("path", ["/no/such/folder", "relative", "./a/b"])
def test_a_path_that_is_neither_folder_nor_hub_id_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="no such folder"):
        load_base(path, name="x")


def test_a_missing_part_is_named(micro_base: BaseModel, tmp_path: Path) -> None:
    save_base(micro_base, tmp_path / "base")
    (tmp_path / "base" / "vae").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="no vae folder"):
        load_base(tmp_path / "base", name="x")


Change = Callable[[Path], object]


def weights_changed(part: str, change: Callable[[dict[str, torch.Tensor]], object]) -> Change:
    def apply(folder: Path) -> None:
        (file,) = (folder / part).glob("*.safetensors")
        weights = load_file(file)
        change(weights)
        save_file(weights, file, metadata={"format": "pt"})

    return apply


def written(name: str, text: str) -> Change:
    return lambda folder: (folder / name).write_text(text)


def setting_changed(name: str, **settings: object) -> Change:
    def apply(folder: Path) -> None:
        file = folder / name
        file.write_text(json.dumps(json.loads(file.read_text()) | settings))

    return apply


def cut_off(pattern: str, num_bytes: int) -> Change:
    def apply(folder: Path) -> None:
        (file,) = folder.glob(pattern)
        file.write_bytes(file.read_bytes()[:num_bytes])

    return apply


def emptied(part: str) -> Change:
    def apply(folder: Path) -> None:
        shutil.rmtree(folder / part)
        (folder / part).mkdir()

    return apply


def removed(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


SCHEDULE = "scheduler/scheduler_config.json"
TEXT_WEIGHT = "encoder.layers.0.mlp.fc1.bias"  # below text_model. in older files


def text_weight(weights: dict[str, torch.Tensor]) -> str:
    return next(key for key in weights if key.endswith(TEXT_WEIGHT))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            weights_changed("text_encoder", lambda w: w.pop(text_weight(w))),
            f"text_encoder: 1 weights are missing, for example .*{TEXT_WEIGHT}",
        ),
        (
            weights_changed("text_encoder", lambda w: [w.pop(key) for key in list(w) if "mlp" in key]),
            "text_encoder: 4 weights are missing, for example ",
        ),
        (
            weights_changed("unet", lambda w: w.pop("conv_in.bias")),
            "unet: 1 weights are missing, for example conv_in.bias",
        ),
        (
            weights_changed("vae", lambda w: w.pop("quant_conv.bias")),
            "vae: 1 weights are missing, for example quant_conv.bias",
        ),
        (
            weights_changed("text_encoder", lambda w: w.update(extra=torch.zeros(1))),
            "text_encoder: 1 weights are not known to this model, for example .*extra",
        ),
        (
            weights_changed("unet", lambda w: w.update(extra=torch.zeros(1))),
            "unet: 1 weights are not known to this model, for example extra",
        ),
        (
            weights_changed("text_encoder", lambda w: w.update({text_weight(w): torch.zeros(1)})),
            f"text_encoder: 1 weights are of another shape, for example .*{TEXT_WEIGHT}",
        ),
        (
            weights_changed("vae", lambda w: w.update({"quant_conv.bias": torch.zeros(1)})),
            "vae: cannot be loaded .*quant_conv.bias",
        ),
        (
            weights_changed("unet", lambda w: w["conv_in.bias"].fill_(np.nan)),
            "unet: 1 weights are not finite, for example conv_in.bias",
        ),
        (
            weights_changed("text_encoder", lambda w: w[text_weight(w)].fill_(np.inf)),
            "text_encoder: 1 weights are not finite, for example ",
        ),
        (cut_off("unet/*.safetensors", 3000), r"unet/diffusion_pytorch_model\.safetensors: cannot be loaded"),
        (cut_off("text_encoder/*.safetensors", 0), r"text_encoder/model\.safetensors: cannot be loaded"),
        (cut_off("vae/*.safetensors", 7), r"vae/diffusion_pytorch_model\.safetensors: cannot be loaded"),
        (emptied("tokenizer"), "no tokenizer.json, nor vocab.json with merges.txt"),
        (emptied("unet"), "no unet/config.json"),
        (emptied("scheduler"), "no scheduler/scheduler_config.json"),
        (removed("vae/diffusion_pytorch_model.safetensors"), "no weights in vae"),
        (written(SCHEDULE, "[]"), r"scheduler_config\.json: accepted a JSON object"),
        (written(SCHEDULE, "{}"), "scheduler_config.json: no beta_end, beta_schedule, beta_start"),
        (written("text_encoder/config.json", "{"), r"text_encoder/config\.json: not readable"),
        (written("vae/config.json", '{"scaling_factor": NaN}'), r"vae/config\.json: not readable .*NaN"),
        (written("tokenizer/tokenizer.json", "{}"), "tokenizer: "),
        (setting_changed(SCHEDULE, beta_schedule="wavy"), "scheduler: cannot be loaded .*wavy"),
        (setting_changed(SCHEDULE, beta_start="0.1"), "scheduler: cannot be loaded"),
        (setting_changed(SCHEDULE, beta_end=3.0), r"scheduler_config\.json: its betas are not all"),
        (setting_changed(SCHEDULE, timestep_spacing="wide"), "scheduler: cannot be loaded .*wide"),
        (
            setting_changed("tokenizer/tokenizer_config.json", model_max_length="24"),
            "tokenizer: model_max_length=24; accepted 2 to 24",
        ),
        (
            setting_changed("tokenizer/tokenizer_config.json", pad_token=None),
            "tokenizer: cannot be loaded .*padding token",
        ),
        (
            setting_changed("text_encoder/config.json", eos_token_id=True),
            "text_encoder: cannot be loaded",
        ),
        (
            setting_changed("tokenizer/tokenizer_config.json", model_max_length=99),
            "tokenizer: model_max_length=99; accepted 2 to 24",
        ),
        (setting_changed("unet/config.json", block_out_channels=[]), "unet: cannot be loaded"),
        (
            setting_changed("text_encoder/config.json", num_attention_heads=0),
            "text_encoder: cannot be loaded",
        ),
        (setting_changed("vae/config.json", latent_channels=6), "vae: cannot be loaded"),
    ],
)
def test_a_damaged_base_is_one_line_that_names_the_part(
    micro_base_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], change: Change, message: str
) -> None:
    folder = shutil.copytree(micro_base_folder, tmp_path / "base")
    change(folder)
    with pytest.raises(ValueError, match=rf"model\.path={re.escape(str(folder))}: .*{message}") as caught:
        load_base(folder, name="x", device="cpu")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_base_that_predicts_something_else_is_refused_where_a_loss_needs_the_noise(
    micro_base_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(micro_base_folder, tmp_path / "base")
    setting_changed(SCHEDULE, prediction_type="v_prediction")(folder)
    with pytest.raises(ValueError, match=r"model\.path=.*: prediction_type=v_prediction: accepted epsilon"):
        load_base(folder, name="x", prediction_type="epsilon")
    assert load_base(folder, name="x").noise_schedule.config.prediction_type == "v_prediction"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "scheduler/scheduler_config.json",
        "tokenizer/tokenizer.json",
        "tokenizer/tokenizer_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    ],
)
def test_changed_bytes_are_refused_or_still_a_base(
    micro_base_folder: Path, tmp_path: Path, name: str
) -> None:
    """Single bytes of the first kilobytes, and files cut off: never another error than one line."""
    folder = shutil.copytree(micro_base_folder, tmp_path / "base")
    content = (folder / name).read_bytes()
    rng = np.random.default_rng(0)
    damaged = [content[: int(share * len(content))] for share in (0.0, 0.01, 0.5, 0.99)]
    for place in rng.integers(0, min(len(content), 4000), 40):
        flipped = bytes([content[place] ^ (1 << int(rng.integers(8)))])
        damaged.append(content[:place] + flipped + content[place + 1 :])
    messages = []
    for changed in damaged:
        (folder / name).write_bytes(changed)
        try:
            load_base(folder, name="x", device="cpu")
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) >= 4
    assert all(line.startswith(f"model.path={folder}: ") and "\n" not in line for line in messages)


def test_the_missing_torchvision_is_not_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """transformers' own message, by its own code; other messages pass."""
    logger = import_utils.logger
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    monkeypatch.setattr(logger, "level", logging.WARNING)
    filters = list(logger.filters)
    for kept in ([], filters):
        monkeypatch.setattr(logger, "filters", kept)
        monkeypatch.delitem(vars(transformers), "CLIPImageProcessor", raising=False)
        logger.warning_once.__func__.cache_clear()
        assert transformers.CLIPImageProcessor is transformers.CLIPImageProcessorPil
    logger.warning("another message")
    messages = list(dict.fromkeys(record.getMessage() for record in caplog.records))
    assert len(messages) == 2  # the first without the filter
    assert "requires torchvision" in messages[0]
    assert messages[1] == "another message"
