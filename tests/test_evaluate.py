"""`evaluate` on a tiny Stable Diffusion: what is compared, and that the results are reproducible."""

import csv
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from skimage.data import astronaut

from pixelpersona import evaluate, report
from pixelpersona.data.duplicates import fingerprint
from pixelpersona.data.training_photos import TRAINING_PHOTOS, TrainingPhoto
from pixelpersona.evaluation.result import EvalResults, load_results
from pixelpersona.evaluation.tradeoff import load_tradeoff
from pixelpersona.models.adapter import ADAPTER_FILE, add_lora, save_lora
from pixelpersona.models.base import load_base
from pixelpersona.models.baseline import BASELINE_FILE, BaselineUNet, save_baseline
from pixelpersona.pixel.sheet import contact_sheet
from pixelpersona.reporting import sheets
from pixelpersona.tracking.wandb_run import WandbTracker
from tests.refusing import refused

NUM_TEST = 5


def save_trained(runs: Path, base_folder: Path) -> None:
    """Two LoRAs (one in a subfolder), one of another base, and a baseline with its best and last weights."""
    for name, rank in (("lora-r2", 2), ("ranks/lora-r10", 10), ("foreign", 2)):
        base = load_base(base_folder, name="micro")
        add_lora(base.unet, rank=rank, alpha=rank, seed=1)
        with torch.no_grad():
            for key, parameter in base.unet.named_parameters():
                if "lora_B" in key:
                    parameter.add_(0.3)
        save_lora(base.unet, runs / name)
        sha256 = "0" * 64 if name == "foreign" else base.sha256
        (runs / name / "data.json").write_text(json.dumps({"base": sha256}))
    torch.manual_seed(0)
    supervised = BaselineUNet(cell=4, widths=(8, 8, 8))
    save_baseline(supervised, runs / "supervised" / "best" / "step-000001")
    torch.nn.init.zeros_(supervised.out.bias)
    save_baseline(supervised, runs / "supervised")
    kept = {"kept": [{"step": 1, "value": 0.1, "folder": "step-000001"}]}
    (runs / "supervised" / "best" / "best.json").write_text(json.dumps(kept))


@pytest.fixture(scope="module")
def words(micro_base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    root = tmp_path_factory.mktemp("evaluate")
    (root / "photos").mkdir()
    rows = []
    for number in range(NUM_TEST + 2):
        Image.fromarray(astronaut()[20 * number : 20 * number + 256, 96:352]).save(
            root / "photos" / f"{number}.png"
        )
        split = "test" if number < NUM_TEST else "train"
        row = {"file_name": f"{number}.png", "split": split}
        rows.append(json.dumps(row if number else row | {"text": "a photo of a woman"}))
    (root / "photos" / "metadata.jsonl").write_text("\n".join(rows))
    save_trained(root / "runs", micro_base_folder)
    return [
        "dataset=folder",
        f"dataset.path={root / 'photos'}",
        "dataset.framing=center",
        f"paths.cache={root / 'cache'}",
        f"paths.runs={root / 'runs'}",
        f"model.path={micro_base_folder}",
        "model.image_size=32",
        "model.cell=4",
        "sampler=fast",
        "eval.sheet_rows=2",
    ]


@pytest.fixture(scope="module")
def runs(words: list[str]) -> Path:
    evaluate.main(words)
    return Path(next(word for word in words if word.startswith("paths.runs=")).removeprefix("paths.runs="))


@pytest.fixture(scope="module")
def results(runs: Path) -> EvalResults:
    return load_results(runs / "result.json")


def test_runs_of_this_base_are_found_in_subfolders_too(results: EvalResults) -> None:
    names = [result.variant for result in results.variants]
    assert names == [
        "photo", "nearest", "pyxelate", "target", "target-vae", "base", "supervised", "lora-r2",
        "ranks/lora-r10",
    ]  # fmt: skip
    assert [r.variant for r in results.variants if r.is_fine_tune] == ["lora-r2", "ranks/lora-r10"]
    assert list(results.captions.values()) == ["a photo of a woman"]


def test_a_run_of_another_base_is_skipped_and_reported(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], micro_base_folder: Path
) -> None:
    save_trained(tmp_path, micro_base_folder)
    evaluate.main([*words, f"paths.runs={tmp_path}", "eval.num_photos=4"])
    assert "foreign: left out, trained on another base (000000000000)" in capsys.readouterr().err


def fill(file: Path, end_of_key: str, value: float) -> None:
    """Set the first value of each tensor whose key ends with `end_of_key`."""
    weights = load_file(file)
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    for key in weights:
        if key.endswith(end_of_key):
            weights[key].view(-1)[0] = value
    save_file(weights, file, metadata=metadata)


def test_runs_with_broken_weights_are_named_and_left_out(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], micro_base_folder: Path
) -> None:
    save_trained(tmp_path, micro_base_folder)
    fill(tmp_path / "lora-r2" / ADAPTER_FILE, "to_q.lora_B.weight", np.nan)
    fill(tmp_path / "supervised" / "best" / "step-000001" / BASELINE_FILE, "out.bias", np.inf)
    (tmp_path / "cut").mkdir()
    whole = (tmp_path / "ranks" / "lora-r10" / ADAPTER_FILE).read_bytes()
    (tmp_path / "cut" / ADAPTER_FILE).write_bytes(whole[:5000])
    evaluate.main([*words, f"paths.runs={tmp_path}", "eval.num_photos=4"])
    printed = capsys.readouterr().err
    assert re.findall(r"([\w-]+): left out", printed) == ["foreign", "supervised", "cut", "lora-r2"]
    assert re.search(r"supervised: left out, .*1 of \d+ weights are not finite, .*out\.bias", printed)
    assert re.search(r"lora-r2: left out, .*keys hold values that are not finite, .*to_q", printed)
    results = load_results(tmp_path / "result.json")
    assert [r.variant for r in results.variants if r.adapter_sha256] == ["ranks/lora-r10"]


def test_a_run_that_was_trained_on_compared_photos_is_left_out(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], micro_base_folder: Path
) -> None:
    """Nothing is measured if no run is left."""
    save_trained(tmp_path, micro_base_folder)
    copy = TrainingPhoto("copy", "0" * 64, fingerprint(Image.fromarray(astronaut()[20:276, 96:352])))
    for name in ("lora-r2", "ranks/lora-r10", "supervised"):
        (tmp_path / name / TRAINING_PHOTOS).write_text(json.dumps(asdict(copy)))
    message = refused(evaluate.main, capsys, [*words, f"paths.runs={tmp_path}"])
    assert message.startswith("no run is left to compare; supervised: left out, trained on 1 of the 5 photos")
    assert not (tmp_path / "result.json").exists()


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("eval.num_photos=3", "eval.num_photos=3: accepted 4 or more, or null"),
        (
            "eval.split=val",
            "eval.split=val: the data set has 1 val photos; accepted 4 or more: add val photos, or raise "
            "dataset.val_share (now 0.1) and train again",
        ),
    ],
)
def test_too_few_photos_are_refused_with_the_key_that_helps(
    words: list[str], runs: Path, capsys: pytest.CaptureFixture[str], word: str, message: str
) -> None:
    assert refused(evaluate.main, capsys, [*words, word]) == message


def test_nearest_is_on_its_grid_and_palette_without_snapping(results: EvalResults) -> None:
    nearest = results.variant("nearest").metrics
    assert nearest["grid_contrast_raw"].mean == pytest.approx(1.0)
    assert nearest["palette_error_raw"].mean == pytest.approx(0.0, abs=1e-6)
    assert nearest["structure_raw"].mean == nearest["structure_snapped"].mean


def test_the_baseline_is_evaluated_with_its_best_weights_and_a_lora_with_its_last(
    results: EvalResults, runs: Path
) -> None:
    assert results.settings["weights"] == {
        "supervised": "supervised/best/step-000001/supervised_baseline.safetensors",
        "lora-r2": "lora-r2/pytorch_lora_weights.safetensors",
        "ranks/lora-r10": "ranks/lora-r10/pytorch_lora_weights.safetensors",
    }


def test_all_sheets_have_the_same_columns(
    runs: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    columns: list[tuple[str, ...]] = []

    def recorded(rows: list[list[Image.Image]], *, column_titles: list[str]) -> Image.Image:
        assert {len(row) for row in rows} == {len(column_titles)}
        columns.append(tuple(column_titles))
        return contact_sheet(rows, column_titles=column_titles)

    monkeypatch.setattr(sheets, "contact_sheet", recorded)
    evaluate.main(words)
    assert columns == 3 * [("photo", "pyxelate", "base", "supervised", "lora-r2", "ranks/lora-r10")]
    sizes = {Image.open(runs / "sheets" / f"{name}.png").size for name in ("raw", "snapped", "worst")}
    assert len(sizes) == 1


def test_the_same_command_writes_the_same_bytes(runs: Path, words: list[str]) -> None:
    files = [
        "result.json",
        "result.overrides.yaml",
        "sheets/raw.png",
        "sheets/snapped.png",
        "sheets/worst.png",
    ]
    first = {name: (runs / name).read_bytes() for name in files}
    torch.manual_seed(99)
    np.random.seed(99)
    evaluate.main(words)
    assert {name: (runs / name).read_bytes() for name in files} == first


def test_a_tradeoff_measures_every_setting_and_keeps_the_comparison(
    runs: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = (runs / "result.json").read_bytes()
    grid = ["eval=tradeoff", "eval.strengths=[0.3,0.6]", "eval.guidances=[1,4]", "eval.num_photos=4"]
    evaluate.main([*words[:-1], *grid])
    shown = capsys.readouterr().out
    first = (runs / "tradeoff.json").read_bytes()
    tradeoff = load_tradeoff(runs / "tradeoff.json")
    assert [(s.variant, s.strength, s.guidance) for s in tradeoff.settings] == [
        (name, strength, guidance)
        for name in ("base", "lora-r2", "ranks/lora-r10")
        for guidance in (1.0, 4.0)
        for strength in (0.3, 0.6)
    ]
    assert len({tuple(s.likeness) for s in tradeoff.settings}) == 12  # the portraits differ
    assert len(tradeoff.photo_ids) == 4
    assert "base: " in shown
    evaluate.main([*words[:-1], *grid])
    assert (runs / "tradeoff.json").read_bytes() == first
    assert (runs / "result.json").read_bytes() == before


def test_a_tradeoff_setting_equals_the_comparison_at_that_setting(runs: Path, words: list[str]) -> None:
    """The comparison here has strength 0.5 and guidance 1."""
    evaluate.main([*words[:-1], "eval.strengths=[0.5]", "eval.guidances=[1]"])
    results, tradeoff = load_results(runs / "result.json"), load_tradeoff(runs / "tradeoff.json")
    for setting in tradeoff.settings:
        measured = results.variant(setting.variant)
        assert setting.style == measured.per_photo["grid_contrast_raw"]
        assert setting.likeness == measured.per_photo["likeness_raw"]
        assert setting.adapter_sha256 == measured.adapter_sha256
    assert tradeoff.ceiling == results.variant("target-vae").per_photo["grid_contrast_raw"]


def test_the_report_has_the_tradeoff_the_results_and_the_commands(
    runs: Path, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate.main([*words[:-1], "eval.strengths=[0.5]", "eval.guidances=[1]"])
    report.main(
        [f"paths.runs={runs}", f"study.folder={tmp_path / 'study'}", f"timing={tmp_path / 'timing.json'}"]
    )
    page = (runs / "report.html").read_text(encoding="utf-8")
    text = (runs / "report.md").read_text(encoding="utf-8")
    assert 'id="tradeoff"' in page
    assert "## Trade-offs" in text
    assert "(sheets/snapped.png)" in text
    commands = re.findall(r"^python -m pixelpersona\.(\w+) (.*)$", text, re.MULTILINE)
    assert [command for command, _ in commands] == ["evaluate", "evaluate", "report"]
    assert [shlex.split(shown) for command, shown in commands if command == "evaluate"] == [
        words,
        [*words[:-1], "eval.strengths=[0.5]", "eval.guidances=[1]"],
    ]
    assert "timing=" not in text
    rows = list(csv.DictReader((runs / "results.csv").open(encoding="utf-8")))
    likeness = [r for r in rows if (r["variant"], r["metric"], r["baseline"]) == ("base", "likeness_raw", "")]
    expected = load_results(runs / "result.json").variant("base").metrics["likeness_raw"].mean
    assert float(likeness[0]["mean"]) == expected
    assert (tmp_path / "study" / "tradeoff.json").read_bytes() == (runs / "tradeoff.json").read_bytes()
    printed = capsys.readouterr().out
    assert {str(runs / name) for name in ("report.md", "results.csv", "tradeoff.json")} <= set(
        printed.splitlines()
    )


def test_a_broken_timing_file_is_one_error_line_that_names_it(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    timing = tmp_path / "timing.json"
    timing.write_text("{")
    message = refused(report.main, capsys, [f"paths.runs={runs}", f"timing={timing}"])
    assert message.startswith(f"timing={timing}: not readable")


def test_with_tracker_wandb_the_comparison_is_logged_to_wandb(
    words: list[str], runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: dict[Path, Mapping[str, float]] = {}
    monkeypatch.setattr(
        WandbTracker, "add_result", lambda self, folder, values: judged.update({folder: values})
    )
    assert not (runs / "wandb").exists()
    before = (runs / "result.json").read_bytes()
    evaluate.main([*words, "tracker=wandb", "tracker.mode=offline"])
    (run,) = (runs / "wandb").glob("offline-run-*")
    tables = {file.name.split("_")[0]: file for file in (run / "files" / "media" / "table").rglob("*.json")}
    assert set(tables) == {"results", "differences"}
    shown = json.loads(tables["results"].read_text(encoding="utf-8"))
    assert shown["columns"] == ["variant", "metric", "mean", "low", "high", "num_seeds", "deviation"]
    results = load_results(runs / "result.json")
    assert len(shown["data"]) == sum(len(result.metrics) for result in results.variants)
    assert {row[0] for row in shown["data"]} == {result.variant for result in results.variants}
    assert len(list((run / "files" / "media" / "images").rglob("*.png"))) == 3
    assert (runs / "result.json").read_bytes() == before
    assert not (runs / "metrics.jsonl").exists()  # which only a training run has
    assert set(judged) == {runs / "supervised", runs / "lora-r2", runs / "ranks" / "lora-r10"}
    metrics = results.variant("lora-r2").metrics
    assert judged[runs / "lora-r2"] == {f"test/{name}": metrics[name].mean for name in metrics}


@pytest.mark.parametrize(
    ("wrong", "shown"),
    [
        ("eval.strengths=[0.5]", r"eval.guidances=\[\]: accepted one or more"),
        ("eval.samplers=[euler-20]", "eval.samplers=euler-20: accepted as dpm-20 or ddim-50"),
        ("eval.strengths=[0] eval.guidances=[1]", "eval.strengths=0.0: accepted above 0, up to 1"),
        ("eval.strengths=[0.5] eval.guidances=[0.5]", "eval.guidances=0.5: accepted 1"),
        ("eval.damage=torn", "eval.damage=torn: accepted null, dark, overexposed, blurred, small, hidden"),
        (
            "eval.strengths=[0.5] eval.guidances=[1] eval.damage=dark",
            "eval.damage=dark: accepted null with eval.strengths",
        ),
        (
            "eval.strengths=[0.5,0.5] eval.guidances=[1]",
            r"eval.strengths=\[0.5, 0.5\]: accepted each value once",
        ),
    ],
)
def test_a_wrong_setting_is_one_error_line(
    words: list[str], runs: Path, wrong: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        evaluate.main([*words, *wrong.split()])
    assert stop.value.code == 2
    assert re.search(shown, capsys.readouterr().err)
