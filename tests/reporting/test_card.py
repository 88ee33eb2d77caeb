"""Model cards: readable by Hugging Face, and without local paths."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from pixelpersona.evaluation.result import EvalResults
from pixelpersona.reporting.card import TAGS, CardInfo, card_info, write_card

INFO = CardInfo(
    title="Pixel portraits, LoRA rank 4",
    base_model="stable-diffusion-v1-5/stable-diffusion-v1-5",
    prompt="pixel art portrait, 16-color style",
    license="creativeml-openrail-m",
    license_note="As the base model's.",
    recipe={
        "lora": {"rank": 4, "targets": ["to_q", "to_k"]},
        "data": Path("/home/someone/photos/celeba"),
        "model.path": "/home/someone/models/sd15",
        "other": "C:\\Users\\someone\\photos",
        "note": "a | b",
    },
    commands=["python -m pixelpersona.train experiment=celeba_sd15"],
    strength=0.5,
    guidance=7.5,
    num_steps=50,
)


def test_hugging_face_reads_the_front_matter(tmp_path: Path, results: EvalResults) -> None:
    card = ModelCard.load(write_card(tmp_path, INFO, results, "lora-r4"))
    data = card.data.to_dict()
    assert data["base_model"] == INFO.base_model
    assert data["base_model_relation"] == "adapter"
    assert data["license"] == "creativeml-openrail-m"
    assert data["instance_prompt"] == INFO.prompt
    assert data["library_name"] == "diffusers"
    assert set(data["tags"]) == set(TAGS)
    read = {r.metric_type: r.metric_value for r in card.data.eval_results or []}
    metrics = results.variant("lora-r4").metrics
    assert read == {name: pytest.approx(e.mean, abs=1e-6) for name, e in metrics.items()}


def test_the_text_contains_recipe_metrics_and_hashes(tmp_path: Path, results: EvalResults) -> None:
    text = write_card(tmp_path, INFO, results, "lora-r4").read_text(encoding="utf-8")
    for expected in (
        "| lora.rank | 4 |", "| lora.targets | to_q, to_k |", "| note | a \\| b |", "As the base model's.",
        "| grid contrast, raw | 0.60 | 0.59 to 0.61 |", "2" * 64, "b" * 64, "experiment=celeba_sd15",
        "load_lora_weights", "Difference to the untouched base",
    ):  # fmt: skip
        assert expected in text, expected


def test_local_paths_are_reduced_to_their_last_part(tmp_path: Path, results: EvalResults) -> None:
    text = write_card(tmp_path, INFO, results, "lora-r4").read_text(encoding="utf-8")
    assert "someone" not in text
    assert str(tmp_path) not in text
    assert "| data | celeba |" in text
    assert "| model.path | sd15 |" in text
    assert "| other | photos |" in text


@pytest.mark.parametrize("base", ["/models/sd15", "~/sd15", "./sd15", "C:\\sd15", "models/sd15/unet"])
def test_a_base_that_is_a_folder_is_refused(tmp_path: Path, base: str) -> None:
    with pytest.raises(ValueError, match="is a local path"):
        write_card(tmp_path, replace(INFO, base_model=base))
    assert list(tmp_path.iterdir()) == []


def test_a_base_that_is_not_on_the_hub_is_named(tmp_path: Path) -> None:
    info = replace(INFO, base_model="PixelPersona tiny base", license="other")
    card = ModelCard.load(write_card(tmp_path, info))
    assert card.data.to_dict().get("base_model") is None
    assert "<folder of PixelPersona tiny base>" in card.text


def test_the_example_is_valid_python(tmp_path: Path) -> None:
    text = write_card(tmp_path, INFO).read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    compile(code, "card", "exec")


def test_an_unknown_variant_is_refused(tmp_path: Path, results: EvalResults) -> None:
    with pytest.raises(ValueError, match="no variant 'lora-r16'"):
        write_card(tmp_path, INFO, results, "lora-r16")


TRAINED = {
    "model": {"path": None, "prompt": "pixel art portrait"},
    "sampler": {"kind": "dpm", "num_steps": 20, "strength": 0.5, "guidance": 1.0},
    "dataset": {"kind": "portraits", "path": "/home/someone/photos"},
    "lora": {"rank": 4, "alpha": 4},
    "optimizer": {"kind": "adamw", "lr": 6e-3, "weight_decay": 0.0},
    "loop": {"num_steps": 450, "num_epochs": None, "batch_size": 4, "seed": 0},
}


def test_card_of_a_run_on_the_packaged_base() -> None:
    info = card_info(TRAINED, title="lora-r4", commands=["make demo"])
    assert (info.base_model, info.license) == ("PixelPersona tiny base", "other")
    assert (info.strength, info.guidance, info.num_steps) == (0.5, 1.0, 20)
    assert info.recipe == {
        "dataset": "portraits", "lora": {"rank": 4, "alpha": 4}, "optimizer": {"kind": "adamw", "lr": 6e-3},
        "steps": 450, "batch_size": 4, "seed": 0,
    }  # fmt: skip
    assert card_info(TRAINED, title="lora-r4", steps=300).recipe["steps"] == 300


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("owner/base", "owner/base"),
        ("/home/someone/sd15", "sd15"),
        ("./sd15", "sd15"),
        ("~/models", "models"),
    ],
)
def test_card_without_a_run_names_the_base_without_its_folder(path: str, name: str) -> None:
    config = {"model": {"path": path, "prompt": "p"}, "sampler": TRAINED["sampler"]}
    info = card_info(config, title="lora-r4")
    assert (info.base_model, info.license, info.recipe) == (name, "creativeml-openrail-m", {})
