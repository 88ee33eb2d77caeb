"""`evaluate` with several training seeds, and with LoRAs of other programs (`adapter.paths`)."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from skimage.data import astronaut

from pixelpersona import evaluate
from pixelpersona.evaluation.result import EvalResult, EvalResults, load_results
from pixelpersona.evaluation.tradeoff import load_tradeoff
from pixelpersona.models.adapter import ADAPTER_FILE, add_lora, save_lora
from pixelpersona.models.base import load_base
from pixelpersona.models.formats import read_lora, write_kohya
from pixelpersona.runs.records import write_record
from tests.composing import compose_typed

NUM_PHOTOS = 5


def save_run(runs: Path, base_folder: Path, rank: int, seed: int) -> None:
    """A run folder with its record, as a sweep over rank and seed writes it."""
    base = load_base(base_folder, name="micro")
    add_lora(base.unet, rank=rank, alpha=2 * rank, seed=seed)
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, parameter in base.unet.named_parameters():
            if "lora_B" in key:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=rng))
    name = f"lora-r{rank}-seed_{seed}"
    save_lora(base.unet, runs / name)
    config = compose_typed("train", f"lora.rank={rank}", f"loop.seed={seed}", f"name={name}")
    write_record(runs / name, config, [], {"pairs": "0", "base": base.sha256})
    (runs / name / "metrics.jsonl").touch()


@pytest.fixture(scope="module")
def root(micro_base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two ranks with three and two seeds; one of the runs in the formats of other programs."""
    root = tmp_path_factory.mktemp("adapters")
    (root / "photos").mkdir()
    rows = []
    for number in range(NUM_PHOTOS + 2):
        photo = Image.fromarray(astronaut()[20 * number : 20 * number + 256, 96:352])
        photo.save(root / "photos" / f"{number}.png")
        split = "test" if number < NUM_PHOTOS else "train"
        rows.append(json.dumps({"file_name": f"{number}.png", "split": split}))
    (root / "photos" / "metadata.jsonl").write_text("\n".join(rows))
    for rank, seed in ((2, 0), (2, 1), (2, 2), (3, 0), (3, 1)):
        save_run(root / "runs", micro_base_folder, rank, seed)
    own = root / "runs" / "lora-r2-seed_1" / ADAPTER_FILE
    (root / "theirs").mkdir()
    write_kohya(read_lora(own), root / "theirs" / "my style, v2.safetensors", {})
    save_file(older_names(own), root / "theirs" / "base.safetensors")
    (root / "theirs" / "copied").mkdir()
    weights = {key: 2 * value if "lora_B" in key else value for key, value in load_file(own).items()}
    save_file(weights, root / "theirs" / "copied" / ADAPTER_FILE)  # without metadata: alpha is the rank
    return root


def older_names(own: Path) -> dict[str, torch.Tensor]:
    """As diffusers' training scripts named attention layers in 2023; alpha is then the rank, not twice it."""
    renamed = {}
    for key, value in load_file(own).items():
        name, half, _ = key.rsplit(".", 2)
        name = re.sub(r"(attn\d)\.(to_\w+?)(\.0)?$", r"\1.processor.\2_lora", name)
        end = {"lora_A": "down", "lora_B": "up"}[half]
        renamed[f"{name}.{end}.weight"] = 2 * value if half == "lora_B" else value
    return renamed


def words(root: Path, base_folder: Path, *more: str) -> list[str]:
    return [
        "dataset=folder",
        f"dataset.path={root / 'photos'}",
        "dataset.framing=center",
        f"paths.cache={root / 'cache'}",
        f"paths.runs={root / 'runs'}",
        f"model.path={base_folder}",
        "model.image_size=32",
        "model.cell=4",
        "sampler=fast",
        "eval.sheet_rows=2",
        *more,
    ]


def others(root: Path) -> str:
    folder = root / "theirs"
    return f"adapter.paths=['{folder}/my style, v2.safetensors',{folder}/base.safetensors,{folder}/copied]"


@pytest.fixture(scope="module")
def results(root: Path, micro_base_folder: Path) -> EvalResults:
    evaluate.main(words(root, micro_base_folder, others(root)))
    return load_results(root / "runs" / "result.json")


def test_runs_that_differ_in_their_seed_are_one_row(results: EvalResults) -> None:
    assert [row.variant for row in results.groups] == ["lora-r2", "lora-r3"]
    assert results.variant("lora-r2").training_seeds == [0, 1, 2]
    assert results.variant("lora-r3").members == ["lora-r3-seed_0", "lora-r3-seed_1"]
    compared = [row.variant for row in results.compared]
    assert compared[:8] == [
        "photo", "nearest", "pyxelate", "target", "target-vae", "base", "lora-r2", "lora-r3",
    ]  # fmt: skip
    assert {row.variant for row in results.variants} >= {"lora-r2-seed_2", "lora-r3-seed_1"}


def test_differences_are_over_the_seeds_that_both_have(results: EvalResults) -> None:
    nums = {(d.variant, d.baseline): d.num_seeds for d in results.differences}
    assert nums["lora-r2", "base"] == 3
    assert nums["lora-r2-seed_0", "base"] == 1
    assert nums["lora-r3", "lora-r2"] == 2
    assert ("lora-r3-seed_0", "lora-r2") not in nums


def test_a_lora_of_another_program_has_the_scores_of_the_run_it_was_made_from(
    results: EvalResults, root: Path
) -> None:
    own = results.variant("lora-r2-seed_1")
    sha256 = [row.adapter_sha256 or "" for row in results.variants if row.variant.startswith("base-")]
    names = ["my_style_v2", f"base-{sha256[0][:8]}", "copied"]
    assert [row.variant for row in results.compared][8:] == names
    for name in names:
        theirs = results.variant(name)
        assert theirs.is_fine_tune
        assert theirs.training_seeds == []
        assert theirs.adapter_sha256 != own.adapter_sha256
        assert _rounded(theirs) == _rounded(own)
    weights = results.settings["weights"]
    assert isinstance(weights, dict)
    assert weights["my_style_v2"] == "my style, v2.safetensors"
    assert str(root) not in json.dumps(results.settings)


def _rounded(result: EvalResult) -> dict[str, object]:
    return {name: [pytest.approx(value, abs=1e-4) for value in v] for name, v in result.per_photo.items()}


def test_other_loras_are_compared_without_any_run_and_in_trade_offs(
    root: Path, micro_base_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(root / "theirs" / "copied", tmp_path / "copied")
    more = [f"paths.runs={tmp_path / 'none'}", f"adapter.paths={folder}", "eval.num_photos=4"]
    evaluate.main(words(root, micro_base_folder, *more))
    found = load_results(tmp_path / "none" / "result.json")
    assert [row.variant for row in found.variants][-2:] == ["base", "copied"]
    evaluate.main(words(root, micro_base_folder, *more, "eval.strengths=[0.5]", "eval.guidances=[1]"))
    assert load_tradeoff(tmp_path / "none" / "tradeoff.json").variants == ["base", "copied"]


def test_a_lora_of_another_base_is_named_and_left_out(
    root: Path, micro_base_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(root / "runs" / "lora-r3-seed_0", tmp_path / "other")
    (folder / "data.json").write_text(json.dumps({"base": "0" * 64}))
    more = [f"paths.runs={tmp_path / 'none'}", f"adapter.paths={folder}", "eval.num_photos=4"]
    evaluate.main(words(root, micro_base_folder, *more))
    assert "other: left out, trained on another base (000000000000)" in capsys.readouterr().err
    found = load_results(tmp_path / "none" / "result.json")
    assert [row.variant for row in found.variants][-1] == "base"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("none.safetensors", "no such LoRA"),
        ("photos/6.png", "not a LoRA"),
        ("zero", "all its lora_A or all its lora_B weights are 0"),
        ("wide", "do not have the shape their layer needs"),
        ("runs/lora-r2-seed_0", "already compared, as the run lora-r2-seed_0"),
        ("theirs/copied,theirs/again", "are the same weights; accepted each once"),
    ],
)
def test_a_lora_that_cannot_be_compared_is_one_line_before_anything_is_drawn(
    root: Path,
    micro_base_folder: Path,
    tmp_path: Path,
    path: str,
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = tmp_path / path
    whole = load_file(root / "theirs" / "copied" / ADAPTER_FILE)
    if path in ("zero", "wide"):
        made.mkdir()
        factor = 0.0 if path == "zero" else 1.0
        repeat = 2 if path == "wide" else 1
        save_file(
            {k: v.repeat(repeat, 1) * factor if "lora_B" in k else v for k, v in whole.items()},
            made / ADAPTER_FILE,
        )
    shutil.copytree(root / "theirs", tmp_path / "theirs")
    shutil.copytree(tmp_path / "theirs" / "copied", tmp_path / "theirs" / "again")
    if path in ("zero", "wide"):
        given = str(made)
    else:
        folder = tmp_path if path.startswith("theirs") else root
        given = ",".join(str(folder / part) for part in path.split(","))
    result = root / "runs" / "result.json"
    before = result.read_bytes() if result.is_file() else None
    with pytest.raises(SystemExit) as stop:
        evaluate.main(words(root, micro_base_folder, f"adapter.paths=[{given}]"))
    assert stop.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("adapter.paths: ")]
    assert len(lines) == 1
    assert re.search(reason, lines[0])
    assert "adapter.path=" not in lines[0]
    assert (result.read_bytes() if result.is_file() else None) == before
