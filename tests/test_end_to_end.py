"""The commands as a user calls them, on a tiny Stable Diffusion."""

import hashlib
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file
from skimage.data import astronaut, coffee

from pixelpersona import evaluate, prepare, report, stylize, train
from pixelpersona.data.duplicates import fingerprint
from pixelpersona.evaluation.result import load_results
from pixelpersona.files import read_jsonl
from pixelpersona.pixel.photo import open_photo

SPLITS = ["test"] * 5 + ["val"] * 4 + ["train"] * 4


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crops of a public-domain portrait; 5 test, 4 val and 4 train photos."""
    folder = tmp_path_factory.mktemp("사진 (1), a=b [x]")
    rng = np.random.default_rng(0)
    rows = []
    for number, split in enumerate(SPLITS):
        top, left = rng.integers(0, 200, 2)
        name = f"내 사진 {number}.png"
        Image.fromarray(astronaut()[top : top + 256, left : left + 256]).resize((48, 48)).save(folder / name)
        rows.append({"file_name": name, "split": split})
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "metadata.jsonl").write_text(lines, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def words(photos: Path, micro_base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    root = tmp_path_factory.mktemp("out")
    return [
        "dataset=folder",
        f"dataset.path={photos}",
        "dataset.framing=center",
        f"paths.cache={root / 'cache'}",
        f"paths.runs={root / 'runs'}",
        f"timing={root / 'runs' / 'timing.json'}",
        f"model.path={micro_base_folder}",
        "model.image_size=32",
        "model.cell=4",
    ]


TRAIN = [
    "loop=quick",
    "loop.num_steps=4",
    "loop.checkpoint_every_steps=2",
    "loop.log_every_steps=1",
    "sampler=fast",
]


@pytest.fixture(scope="module")
def runs(words: list[str]) -> Path:
    """A sweep over two ranks, a supervised baseline, and their evaluation, as in `make demo`."""
    prepare.main(words)
    train.main(["-m", *words, *TRAIN, "lora.rank=2,3"])
    train.main([*words, *TRAIN, "method=supervised", "method.widths=[8,8,8]", "tracker=none"])
    evaluate.main([*words, "sampler=fast", "sampler.guidance=2.0", "eval.sheet_rows=2"])
    return Path(next(word for word in words if word.startswith("paths.runs=")).removeprefix("paths.runs="))


def test_every_run_records_its_settings_versions_and_data(runs: Path) -> None:
    for name in ("lora-r2", "lora-r3", "supervised"):
        found = {path.name for path in (runs / name).iterdir()}
        assert found >= {
            "config.yaml",
            "overrides.yaml",
            "versions.json",
            "git.json",
            "data.json",
            "metrics.jsonl",
        }
    assert (runs / "lora-r3" / "wandb").is_dir()
    assert not (runs / "supervised" / "wandb").exists()


def test_every_run_records_its_training_photos(runs: Path, photos: Path) -> None:
    names = sorted(f"내 사진 {number}.png" for number, split in enumerate(SPLITS) if split == "train")
    for name in ("lora-r2", "lora-r3", "supervised"):
        rows = read_jsonl(runs / name / "train_photos.jsonl")
        assert [row["id"] for row in rows] == names
        digests = [hashlib.sha256((photos / name).read_bytes()).hexdigest() for name in names]
        assert [row["sha256"] for row in rows] == digests
        assert [row["fingerprint"] for row in rows] == [fingerprint(open_photo(photos / n)) for n in names]


def test_losses_samples_and_set_metrics_are_logged(runs: Path) -> None:
    rows = read_jsonl(runs / "lora-r2" / "metrics.jsonl")
    keys = {key for row in rows for key in row}
    assert {"train/loss", "train/grad_norm", "val/loss", "eval/kid_persona", "eval/fid_persona"} <= keys
    assert {"eval/grid_contrast", "train/lr/unet_down", "train/lr/unet_up"} <= keys
    sheet = Image.open(runs / "lora-r2" / "media" / "samples" / "portraits" / "step-000004.png")
    assert min(sheet.size) > 100


def test_the_weights_have_the_configured_rank(runs: Path) -> None:
    for rank in (2, 3):
        weights = load_file(runs / f"lora-r{rank}" / "pytorch_lora_weights.safetensors")
        down = [value for key, value in weights.items() if "lora_A" in key or "lora.down" in key]
        assert down
        assert all(value.shape[0] == rank for value in down)


def test_all_variants_are_evaluated_raw_and_snapped(runs: Path) -> None:
    results = load_results(runs / "result.json")
    assert [result.variant for result in results.variants] == [
        "photo",
        "nearest",
        "pyxelate",
        "target",
        "target-vae",
        "base",
        "base-g1",
        "supervised",
        "lora-r2",
        "lora-r3",
    ]
    raw = json.loads((runs / "result.json").read_text())["variants"][-1]["metrics"]
    assert {"mean", "low", "high"} <= raw["grid_contrast_raw"].keys()
    for result in results.variants:
        assert result.metrics["grid_contrast_snapped"].mean == pytest.approx(1.0)
        assert result.metrics["palette_error_snapped"].mean == pytest.approx(0.0, abs=1e-6)
        assert len(result.per_photo["structure_raw"]) == SPLITS.count("test")
    assert results.variant("target").metrics["grid_contrast_raw"].mean == pytest.approx(1.0)
    assert results.variant("photo").metrics["structure_raw"].mean > 0.95
    assert "noise_loss" in results.variant("lora-r3").metrics


def test_seconds_per_portrait_are_in_a_file_beside_the_results(runs: Path) -> None:
    seconds = json.loads((runs / "timings.json").read_text())["seconds_per_portrait"]
    assert {"pyxelate", "base", "supervised", "lora-r2", "lora-r3"} <= seconds.keys()
    assert not {"photo", "target", "target-vae"} & seconds.keys()
    assert "seconds" not in (runs / "result.json").read_text()


def test_the_report_is_written_and_says_where_it_is_and_what_to_export(
    runs: Path, words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    study = tmp_path / "study"
    folders = [word for word in words if word.startswith(("paths.runs", "timing"))]
    report.main([*folders, f"study.folder={study}"])
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[-3] == f"open {runs / 'report.html'} in a browser"
    assert lines[-2].startswith("all stages: ")
    exported = shlex.split(lines[-1].removeprefix("next: "), comments=True)
    assert exported[:3] + exported[4:] == ["python", "-m", "pixelpersona.export", "out=exported"]
    lora = Path(exported[3].removeprefix("adapter.path="))
    assert lora.is_file()
    assert lora.is_relative_to(runs)
    html = (runs / "report.html").read_text(encoding="utf-8")
    assert "lora-r3" in html
    assert "s per portrait" in html
    assert "data:image/png;base64," in html
    assert {path.name for path in study.iterdir()} == {"README.md", "results.json", "sheet.png"}
    stages = json.loads((runs / "timing.json").read_text())
    assert {"prepare", "train lora-r2", "train lora-r3", "train supervised", "evaluate"} <= stages.keys()
    assert all(seconds > 0 for seconds in stages.values())


def test_stylize_writes_pictures_of_one_pixel_per_cell_and_enlarged(
    runs: Path, words: list[str], photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "나 [1], a=b.png"
    model = [word for word in words if word.startswith("model.")]
    stylize.main(
        [
            f"photo={photos / '내 사진 1.png'}",
            f"out={out}",
            f"adapter.path={runs / 'lora-r3'}",
            "framing=center",
            "scale=5",
            "postprocess.num_colors=6",
            "sampler=fast",
            *model,
        ]
    )
    cells = Image.open(out.with_suffix(".cells.png"))
    assert (cells.mode, cells.size) == ("P", (8, 8))
    assert Image.open(out).size == (40, 40)
    true_size = np.asarray(cells.convert("RGB"))
    assert np.array_equal(np.asarray(Image.open(out).convert("RGB")), true_size.repeat(5, 0).repeat(5, 1))
    assert len(np.unique(true_size.reshape(-1, 3), axis=0)) <= 6


def test_stylize_reports_when_it_finds_no_face(
    runs: Path, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "coffee.png"
    Image.fromarray(coffee()).save(photo)
    model = [word for word in words if word.startswith("model.")]
    out, adapter = tmp_path / "out.png", f"adapter.path={runs / 'lora-r3'}"
    stylize.main([f"photo={photo}", f"out={out}", adapter, "sampler=fast", *model])
    assert f"{photo}: no face found, so the centre of the photo is drawn" in capsys.readouterr().err
    assert Image.open(out).size[0] == Image.open(out).size[1]


def test_the_same_command_resumes_a_stopped_run(runs: Path, words: list[str], tmp_path: Path) -> None:
    again = [*words, *TRAIN, "tracker=none", f"paths.runs={tmp_path}", "lora.rank=2"]
    train.main(again)
    uninterrupted = load_file(tmp_path / "lora-r2" / "pytorch_lora_weights.safetensors")
    rows = read_jsonl(tmp_path / "lora-r2" / "metrics.jsonl")
    (tmp_path / "lora-r2" / "finished.json").unlink()
    checkpoints = tmp_path / "lora-r2" / "checkpoints"
    for file in sorted((checkpoints / "step-000004").iterdir()):
        file.unlink()
    (checkpoints / "step-000004").rmdir()
    train.main(again)
    for folder in (tmp_path, runs):  # the job of the sweep is the same run, though another job ran before it
        resumed = load_file(folder / "lora-r2" / "pytorch_lora_weights.safetensors")
        assert resumed.keys() == uninterrupted.keys()
        assert all(np.array_equal(resumed[key], uninterrupted[key]) for key in uninterrupted)
    assert read_jsonl(tmp_path / "lora-r2" / "metrics.jsonl") == rows
