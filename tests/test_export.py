"""`export`: a LoRA with a good evaluation is exported, others cause a warning or, with strict, an error."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from safetensors import safe_open
from safetensors.torch import save_file

from pixelpersona import export
from pixelpersona.evaluation.intervals import bootstrap_mean
from pixelpersona.evaluation.result import EvalResult, EvalResults, save_results
from pixelpersona.models import formats
from pixelpersona.models.adapter import ADAPTER_FILE, add_lora, save_lora
from pixelpersona.models.base import load_base
from pixelpersona.recipes import export_adapter
from pixelpersona.runs.records import plain_config
from tests.composing import compose_typed
from tests.failing import disk_full

NUM = 8


@pytest.fixture(scope="module")
def runs(micro_base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with one LoRA and a good evaluation of it."""
    folder = tmp_path_factory.mktemp("한글 runs")
    base = load_base(micro_base_folder, name="micro")
    add_lora(base.unet, rank=2, alpha=5.0)
    with torch.no_grad():
        for name, parameter in base.unet.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.01)
    save_lora(base.unet, folder / "lora-r2")
    save_results(evaluation(folder, base.sha256), folder / "result.json")
    return folder


def evaluation(folder: Path, base_sha256: str, grid: float = 0.6, like: float = 0.8) -> EvalResults:
    sha256 = hashlib.sha256((folder / "lora-r2" / ADAPTER_FILE).read_bytes()).hexdigest()
    spread = np.linspace(-0.05, 0.05, NUM)
    variants = []
    for name, levels in (("base", (0.2, 0.8)), ("lora-r2", (grid, like))):
        per_photo = {
            key: (level + spread).tolist()
            for key, level in zip(("grid_contrast_raw", "likeness_raw"), levels, strict=True)
        }
        variants.append(
            EvalResult(
                variant=name,
                metrics={key: bootstrap_mean(values) for key, values in per_photo.items()},
                per_photo=per_photo,
                photo_ids=[str(i) for i in range(NUM)],
                seeds=list(range(NUM)),
                base_sha256=base_sha256,
                adapter_sha256=None if name == "base" else sha256,
                features_sha256="f" * 64,
                num_parameters=0,
            )
        )
    return EvalResults(variants, [], {})


def model(micro_base_folder: Path) -> list[str]:
    return [f"model.path={micro_base_folder}", "model.image_size=32", "model.cell=4"]


@pytest.mark.parametrize("format", ["diffusers", "kohya", "merged"])
def test_a_good_lora_is_exported_without_a_warning(
    runs: Path,
    micro_base_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    format: str,
) -> None:
    out = tmp_path / "내보내기 (1)"
    words = [f"adapter.path={runs / 'lora-r2'}", f"out={out}", f"format={format}", "strict=true"]
    export.main([*words, *model(micro_base_folder)])
    printed = capsys.readouterr()
    assert "WARNING" not in printed.err
    assert str(out) in printed.out
    expected = {"diffusers": ADAPTER_FILE, "kohya": "lora-r2.safetensors", "merged": "model_index.json"}
    assert (out / expected[format]).is_file()
    card = ModelCard.load(out / "README.md")
    assert {r.metric_type for r in card.data.eval_results or []} == {"grid_contrast_raw", "likeness_raw"}
    assert ("load_lora_weights" in card.text) == (format != "merged")
    assert str(micro_base_folder) not in card.text
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_a_kohya_file_says_how_it_was_trained(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(runs / "lora-r2", tmp_path / "runs" / "lora-r2")
    words = ["lora.rank=2", "lora.alpha=5", "optimizer.lr=7e-3", "loss.snr_gamma=5", "loop.seed=3"]
    words += ["model.prompt='pixel art, 한글'", "model.path=/home/someone/tiny"]
    config = compose_typed("train", *words)
    dataset = {"type": "dataset", "metadata": {"num_train_pairs": 160}}
    (run / "config.yaml").write_text(yaml.safe_dump(plain_config(config), allow_unicode=True))
    (run / "artifacts.jsonl").write_text(json.dumps(dataset) + "\n")
    (run / "summary.json").write_text('{"steps": 450}')
    os.utime(run / ADAPTER_FILE, (1e9, 1e9))
    for name in ("once", "again"):
        export.main([f"adapter.path={run}", f"out={tmp_path / name}", "format=kohya", "author=김 작가"])
    files = [tmp_path / name / "lora-r2.safetensors" for name in ("once", "again")]
    assert files[0].read_bytes() == files[1].read_bytes()
    with safe_open(files[0], "pt") as opened:
        found = opened.metadata()
    expected = {
        "modelspec.sai_model_spec": "1.0.0", "modelspec.architecture": "pixelpersona-tiny/lora",
        "modelspec.implementation": "diffusers", "modelspec.title": "lora-r2", "modelspec.author": "김 작가",
        "modelspec.date": "2001-09-09", "modelspec.license": "creativeml-openrail-m",
        "modelspec.resolution": "128x128", "modelspec.trigger_phrase": "pixel art, 한글",
        "modelspec.prediction_type": "epsilon", "ss_network_module": "networks.lora", "ss_network_dim": "2",
        "ss_network_alpha": "5.0", "ss_base_model_version": "pixelpersona_tiny", "ss_output_name": "lora-r2",
        "ss_sd_model_name": "tiny", "ss_learning_rate": "0.007", "ss_num_train_images": "160",
        "ss_max_train_steps": "450", "ss_resolution": "(128, 128)", "ss_min_snr_gamma": "5.0",
        "ss_loss_type": "l2", "ss_mixed_precision": "no", "ss_seed": "3", "ss_optimizer": "adamw",
    }  # fmt: skip
    assert {key: found.get(key) for key in expected} == expected
    assert json.loads(found["ss_tag_frequency"]) == {"pairs": {"pixel art, 한글": 160}}
    assert not any("someone" in value or str(tmp_path) in value for value in found.values())
    assert "fits no checkpoint of A1111 or ComfyUI" in found["modelspec.description"]


def test_a_lora_of_the_tiny_base_is_said_to_fit_no_other_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for format in ("kohya", "diffusers"):
        export.main([f"out={tmp_path / format}", f"format={format}"])
        line = f"{tmp_path / format}: It fits no checkpoint of A1111 or ComfyUI: its base is not"
        assert line in capsys.readouterr().err
        assert line.partition(": ")[2] in (tmp_path / format / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["config.yaml", "summary.json", "artifacts.jsonl"])
def test_a_broken_record_of_the_run_is_named(
    runs: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(runs, tmp_path / "runs") / "lora-r2"
    (run / "config.yaml").write_text("model: {}\n")
    (run / name).write_text("{]\n")
    line = refused([f"adapter.path={run}", f"out={tmp_path / 'out'}", "format=kohya"], capsys)
    assert str(run / name) in line
    assert not (tmp_path / "out").exists()


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        export.main(words)
    assert stop.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip() and "%|" not in line]
    assert len(lines) == 1, lines
    return lines[0]


def test_a_bad_lora_is_exported_with_warnings_and_refused_with_strict(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.json"
    save_results(evaluation(runs, "b" * 64, grid=0.2, like=0.5), bad)
    words = [f"adapter.path={runs / 'lora-r2'}", f"result={bad}", f"out={tmp_path / 'deep' / 'out'}"]
    line = refused([*words, "strict=true"], capsys)
    assert line.startswith("strict=true: not exported: lora-r2 is not shown to draw pixel art more clearly")
    assert "loses likeness" in line
    assert [path.name for path in tmp_path.iterdir()] == ["bad.json"]

    export.main(words)
    assert capsys.readouterr().err.count("WARNING: lora-r2") == 2
    assert "**Warning.** lora-r2 loses likeness" in (tmp_path / "deep" / "out" / "README.md").read_text()
    export.main([*words[:2], f"out={tmp_path / 'kept'}", "max_likeness_loss=0.5"])
    assert capsys.readouterr().err.count("WARNING") == 1


def test_weights_without_an_evaluation_are_exported_with_a_warning(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.safetensors"
    file.write_bytes((runs / "lora-r2" / ADAPTER_FILE).read_bytes())
    words = [f"adapter.path={file}", f"out={tmp_path / 'out'}", "format=kohya"]
    assert "no evaluation of these weights" in refused([*words, "strict=true"], capsys)
    export.main(words)
    assert "WARNING: no evaluation of these weights was found" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"mine.safetensors", "README.md"}


def test_a_merged_export_needs_an_evaluation_on_the_same_base(
    runs: Path, micro_base_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.json"
    save_results(evaluation(runs, "c" * 64), other)
    words = [f"adapter.path={runs / 'lora-r2'}", f"out={tmp_path / 'out'}", f"result={other}", "strict=true"]
    assert "another base" in refused([*words, "format=merged", *model(micro_base_folder)], capsys)
    export.main(words)


@pytest.fixture
def unusable(tmp_path: Path) -> Path:
    """A folder with a broken LoRA, a broken evaluation, and a folder that is not empty."""
    (tmp_path / "broken.safetensors").write_bytes(b"no weights")
    pair = {"unet.conv_in.lora_A.weight": torch.ones(2, 3), "unet.conv_in.lora_B.weight": torch.ones(4, 2)}
    save_file(
        pair | {"unet.conv_in.lora_B.weight": torch.full((4, 2), torch.nan)}, tmp_path / "nan.safetensors"
    )
    save_file({key: torch.zeros_like(half) for key, half in pair.items()}, tmp_path / "zero.safetensors")
    save_file({f"base_model.model.{key}": half for key, half in pair.items()}, tmp_path / "peft.safetensors")
    save_file({"lora_unet_conv_in.lora_down.weight": torch.ones(2, 3)}, tmp_path / "kohya.safetensors")
    save_file(pair, tmp_path / "other.safetensors")
    (tmp_path / "bad.json").write_text(json.dumps({"variants": []}))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("adapter.path={here}/none out={here}/out", "no such LoRA"),
        ("adapter.path={here}/broken.safetensors out={here}/out", "broken.safetensors: not a LoRA"),
        ("adapter.path={here}/nan.safetensors out={here}/out", "1 of 2 keys hold values that are not finite"),
        ("adapter.path={here}/zero.safetensors out={here}/out format=kohya", "it would change nothing"),
        ("adapter.path={here}/peft.safetensors out={here}/out", "2 of 2 keys cannot be used"),
        ("adapter.path={here}/kohya.safetensors out={here}/out", "has kohya's key names"),
        (
            "adapter.path={here}/other.safetensors out={here}/out format=merged"
            " model.path={base} model.image_size=32 model.cell=4",
            "do not have the shape their layer needs",
        ),
        ("adapter.path={lora} out={here}/full", "full: already exists"),
        ("adapter.path={lora} out={here}/out result={here}/none.json", "none.json: no such file"),
        ("adapter.path={lora} out={here}/out result={here}/bad.json", "bad.json"),
        ("adapter.path={lora} out={here}/out max_likeness_loss=3", "max_likeness_loss=3.0: accepted"),
        ("adapter.path={lora} out={here}/out format=onnx", "format: 'onnx' is not accepted; give one of"),
        ("adapter.path={lora}", "out: is missing"),
        ("out={here}/out model.path={base} model.image_size=32 model.cell=4", "no packaged LoRA"),
    ],
    ids=["missing LoRA", "broken LoRA", "NaN", "all zero", "PEFT's names", "kohya's names", "wrong shapes",
         "full folder", "missing result", "broken result", "limit", "format",
         "no out", "no LoRA of this base"],
)  # fmt: skip
def test_a_mistake_is_one_error_line_and_writes_nothing(
    runs: Path,
    micro_base_folder: Path,
    unusable: Path,
    words: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"here": unusable, "lora": runs / "lora-r2", "base": micro_base_folder}
    typed = [word.format(**places) for word in words.split()]
    assert message in refused(typed, capsys)
    assert not (unusable / "out").exists()


def test_an_interrupted_export_leaves_no_partial_files(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted_write(lora: formats.LoraFile, file: Path, metadata: dict[str, str]) -> Path:
        file.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(export_adapter, "write_kohya", interrupted_write)
    (tmp_path / "out").mkdir()
    with pytest.raises(SystemExit) as stop:
        export.main([f"adapter.path={runs / 'lora-r2'}", f"out={tmp_path / 'out'}", "format=kohya"])
    assert stop.value.code == 130
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("format", ["diffusers", "kohya"])
def test_a_full_disk_is_one_error_line_and_leaves_nothing(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], format: str
) -> None:
    words = [f"adapter.path={runs / 'lora-r2'}", f"out={tmp_path / 'out'}", f"format={format}"]
    with disk_full(1000):
        line = refused(words, capsys)
    assert "out: cannot be written (" in line
    assert line.endswith("nothing was written there")
    assert list(tmp_path.iterdir()) == []


def test_the_packaged_lora_is_the_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export.main([f"out={tmp_path / 'out'}"])
    assert (tmp_path / "out" / ADAPTER_FILE).is_file()
    assert "non-commercial" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
