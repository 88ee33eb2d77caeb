"""`evaluate eval.damage=...`: damaged photos are drawn, and compared with the photos as they were."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from pixelpersona import evaluate
from pixelpersona.evaluation.result import EvalResult, load_results
from pixelpersona.models.adapter import add_lora, save_lora
from pixelpersona.models.base import load_base


@pytest.fixture
def words(micro_base_folder: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "photos").mkdir()
    for number in range(6):
        photo = np.ascontiguousarray(astronaut()[20 * number : 20 * number + 256, 96:352])
        Image.fromarray(photo).save(tmp_path / "photos" / f"{number}.png")
    rows = [{"file_name": f"{number}.png", "split": "test" if number else "train"} for number in range(6)]
    (tmp_path / "photos" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    base = load_base(micro_base_folder, name="micro")
    add_lora(base.unet, rank=2, alpha=2, seed=1)
    with torch.no_grad():
        for key, parameter in base.unet.named_parameters():
            if "lora_B" in key:
                parameter.add_(0.3)
    save_lora(base.unet, tmp_path / "runs" / "lora-r2")
    (tmp_path / "runs" / "lora-r2" / "data.json").write_text(json.dumps({"base": base.sha256}))
    return [
        "dataset=folder",
        f"dataset.path={tmp_path / 'photos'}",
        "dataset.framing=center",
        f"paths.cache={tmp_path / 'cache'}",
        f"paths.runs={tmp_path / 'runs'}",
        f"model.path={micro_base_folder}",
        "model.image_size=32",
        "sampler=fast",
    ]


def test_damaged_photos_are_compared_with_the_photos_as_they_were(words: list[str], tmp_path: Path) -> None:
    found: dict[str | None, dict[str, EvalResult]] = {}
    for damage in (None, "blurred"):
        evaluate.main([*words, f"eval.damage={damage or 'null'}"])
        results = load_results(tmp_path / "runs" / "result.json")
        assert results.settings.get("damage") == damage
        found[damage] = {result.variant: result for result in results.variants}
    before, after = found[None], found["blurred"]
    assert list(before) == list(after)
    for name in ("photo", "nearest", "target", "base", "lora-r2"):
        assert before[name].per_photo["delta_e_raw"] != after[name].per_photo["delta_e_raw"], name
    assert before["photo"].metrics["delta_e_raw"].mean == 0
    assert after["photo"].metrics["delta_e_raw"].mean > 1
    # The losses are measured on the recorded pairs, whatever is drawn.
    assert before["base"].metrics["noise_loss"] == after["base"].metrics["noise_loss"]
