"""Packaged files: size, use in plain diffusers, and the hashes in MODEL_CARD.md."""

import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from diffusers import StableDiffusionImg2ImgPipeline
from PIL import Image
from safetensors import safe_open
from skimage.data import astronaut

from pixelpersona.assets.locate import path as asset
from pixelpersona.pixel.framing import crop_square

ROOT = Path(__file__).resolve().parents[2]


def _weights() -> list[Path]:
    files = (file for name in ("tiny", "lora", "persona") for file in asset(name).rglob("*.safetensors"))
    return [*sorted(files), asset("landmarks") / "landmarks.npz"]


def test_all_assets_together_are_smaller_than_32_megabytes() -> None:
    files = [file for file in asset("tiny").parent.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 32_000_000


def test_base_and_feature_network_are_stored_in_half_precision() -> None:
    for file in [*asset("tiny").rglob("*.safetensors"), *asset("persona").rglob("*.safetensors")]:
        with safe_open(file, framework="np") as opened:
            assert {opened.get_slice(key).get_dtype() for key in opened.keys()} == {"F16"}  # noqa: SIM118 (no mapping)


def test_plain_diffusers_draws_a_portrait_with_base_and_lora() -> None:
    pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(asset("tiny"))
    pipeline.set_progress_bar_config(disable=True)
    photo = crop_square(Image.fromarray(astronaut()), 128, "tight")

    def draw() -> np.ndarray:
        prompt = "pixel art portrait, 16-color style"
        picture = pipeline(
            prompt, image=photo, strength=0.5, guidance_scale=3.0, num_inference_steps=10
        ).images[0]
        assert picture.size == (128, 128)
        return np.asarray(picture).astype(float)

    base = draw()
    pipeline.load_lora_weights(asset("lora"))
    styled = draw()
    assert np.abs(styled - base).mean() > 2
    # Both still show this photo: they are closer to it than to its mirror image.
    target = np.asarray(photo).astype(float)
    for picture in (base, styled):
        assert np.abs(picture - target).mean() < np.abs(picture - target[:, ::-1]).mean()


def test_of_256_portraits_160_are_for_training_32_for_val_and_64_for_test() -> None:
    rows = [json.loads(line) for line in (asset("portraits") / "metadata.jsonl").read_text().splitlines()]
    assert len(rows) == 256
    assert Counter(row["split"] for row in rows) == {"train": 160, "val": 32, "test": 64}
    assert all(Image.open(asset("portraits") / row["file_name"]).size == (128, 128) for row in rows)
    sizes = [(asset("portraits") / row["file_name"]).stat().st_size for row in rows]
    assert sum(sizes) < 2_000_000


@pytest.mark.parametrize("file", _weights(), ids=lambda file: file.parent.name)
def test_the_model_card_names_the_hash_of_every_weight_file(file: Path) -> None:
    card = (ROOT / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert hashlib.sha256(file.read_bytes()).hexdigest() in card


def test_an_unknown_asset_is_refused() -> None:
    with pytest.raises(
        ValueError, match="asset nothing: accepted tiny, portraits, lora, persona, landmarks, palettes"
    ):
        asset("nothing")


def test_no_file_contains_an_absolute_path() -> None:
    for file in asset("tiny").rglob("*.json"):
        assert "_name_or_path" not in file.read_text(encoding="utf-8"), file
    for file in [
        *asset("tiny").rglob("*.json"),
        *asset("lora").rglob("*"),
        *asset("portraits").glob("*.jsonl"),
    ]:
        assert not re.search(rb'": ?"/', file.read_bytes()), file
