"""What a training run sends to W&B: rows, samples and artifacts, and nothing private."""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from pixelpersona import train
from pixelpersona.files import read_jsonl
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.score import grid_contrast
from tests.tracking.reading import Records, inspect, of_kind, read_run, scalar_rows
from tests.tracking.starting import default_folders

SECRETS = {
    "WANDB_API_KEY": "5ec2e7" + "a1" * 17,
    "HF_TOKEN": "hf_5ec2e7b2b2b2b2b2b2b2b2b2b2b2b2",
    "AWS_SECRET_ACCESS_KEY": "5ec2e7c3c3c3c3c3c3c3c3c3c3c3c3",
}
NUM_VAL = 4


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory, micro_base_folder: Path) -> list[str]:
    """Settings of a run of four steps on eight crops of a public-domain portrait, in a folder with a name."""
    root = tmp_path_factory.mktemp("home-of-kim")
    (root / "photos").mkdir()
    rows = []
    for number in range(8):
        crop = Image.fromarray(astronaut()[number * 20 : number * 20 + 200, 100:300]).resize((48, 48))
        crop.save(root / "photos" / f"{number}.png")
        rows.append({"file_name": f"{number}.png", "split": "val" if number < NUM_VAL else "train"})
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (root / "photos" / "metadata.jsonl").write_text(lines, encoding="utf-8")
    return [
        "dataset=folder", "dataset.test_share=0", f"dataset.path={root / 'photos'}", "dataset.framing=center",
        f"paths.cache={root / 'cache'}", f"paths.runs={root / 'runs'}", f"timing={root / 'timing.json'}",
        f"model.path={micro_base_folder}", "model.image_size=32", "model.cell=4",
        "loop=quick", "loop.num_steps=4", "loop.log_every_steps=1", "loop.validate_every_steps=2",
        "loop.sample_every_steps=2", "loop.checkpoint_every_steps=2", "sampler=fast",
        "lora.rank=2", "lora.text_encoder=true", "tracker.tags=[style,tiny]",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folder(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of a run that was trained with secrets in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, secret in SECRETS.items():
            patch.setenv(name, secret)
        for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
            patch.setenv(name, str(tmp_path_factory.getbasetemp() / "wandb-home"))
        train.main([*words, "tracker.mode=offline"])
        yield _runs(words) / "lora-r2"


@pytest.fixture(scope="module")
def records(folder: Path) -> Records:
    return inspect(folder)


def _runs(words: list[str]) -> Path:
    return Path(next(word for word in words if word.startswith("paths.runs=")).partition("=")[2])


def test_wandb_holds_the_rows_of_metrics_jsonl(folder: Path, records: Records) -> None:
    rows = read_jsonl(folder / "metrics.jsonl")
    assert scalar_rows([records]) == rows
    assert {key for row in rows for key in row} >= {"train/lr/text", "val/loss", "eval/kid_persona"}


def test_a_resumed_run_is_one_record_in_both(folder: Path, words: list[str], tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "lora-r2")
    copied = tmp_path / "lora-r2"
    (copied / "finished.json").unlink()
    shutil.rmtree(copied / "checkpoints" / "step-000004")
    train.main([*words, f"paths.runs={tmp_path}", "tracker.mode=offline"])
    runs = [read_run(run) for run in sorted((copied / "wandb").glob("offline-run-*"))]
    assert [of_kind(run, "history")[0]["item"]["train/step"] for run in runs] == [0, 3]
    assert len({of_kind(run, "run")[0]["run_id"] for run in runs}) == 1
    own_steps = [record["item"]["_step"] for run in runs for record in of_kind(run, "history")]
    assert own_steps == sorted(set(own_steps))
    rows = read_jsonl(copied / "metrics.jsonl")
    assert scalar_rows(runs) == rows == read_jsonl(folder / "metrics.jsonl")
    kinds = [row["type"] for row in read_jsonl(copied / "artifacts.jsonl")]
    assert (kinds.count("dataset"), kinds[-1]) == (1, "model")


def test_sample_tables_show_the_same_photos_beside_the_base(folder: Path, records: Records) -> None:
    tables = [
        json.loads((folder / "media" / "samples" / "table" / f"step-00000{step}.json").read_text())
        for step in (2, 4)
    ]
    pictured = ["photo", "target", "base", "this run"]
    columns = ["id", "seed", *pictured, "grid_contrast", "likeness"]
    assert all(table["columns"] == columns for table in tables)

    def cells(table: dict[str, list[list[Any]]], column: str) -> list[Any]:
        return [row[columns.index(column)] for row in table["rows"]]

    def pictures(table: dict[str, list[list[Any]]], column: str) -> list[bytes]:
        place = folder / "media" / "samples" / "table"
        return [Image.open(place / cell["image"]).tobytes() for cell in cells(table, column)]

    for column in ("photo", "target", "base"):
        assert pictures(tables[0], column) == pictures(tables[1], column)
    run = [pictures(table, "this run") for table in tables]
    assert run[0] != run[1]  # the run changes, the base does not
    assert [cells(table, "seed") for table in tables] == [list(range(NUM_VAL))] * 2
    assert len(set(cells(tables[0], "id"))) == NUM_VAL
    assert all(-1.0 <= likeness <= 1.0 for likeness in cells(tables[0], "likeness"))
    rows = read_jsonl(folder / "metrics.jsonl")
    means = [row["eval/grid_contrast"] for row in rows if "eval/grid_contrast" in row and row["step"] > 0]
    assert [float(np.mean(cells(table, "grid_contrast"))) for table in tables] == means
    items = [record["item"] for record in of_kind(records, "history")]
    shown = [item for item in items if any(key.startswith("samples/table") for key in item)]
    assert [item["train/step"] for item in shown] == [2, 4]
    (path, *_) = sorted((folder / "wandb").glob("offline-run-*/files/media/table/samples/*.table.json"))
    table = json.loads(path.read_text())
    assert table["columns"] == tables[0]["columns"]
    assert len(table["data"]) == NUM_VAL


def test_artifacts_record_what_the_weights_were_trained_from(folder: Path, records: Records) -> None:
    artifacts = {a["type"]: a for a in of_kind(records, "artifact") if a.get("type") in ("dataset", "model")}
    data = json.loads((folder / "data.json").read_text())
    named = {kind: json.loads(artifact["metadata"]) for kind, artifact in artifacts.items()}
    assert named["dataset"]["sha256"] == named["model"]["pairs"] == data["pairs"]
    assert named["model"]["base"] == data["base"]
    assert named["model"]["dataset"] == artifacts["dataset"]["name"]
    files = {kind: [f["path"] for f in a["manifest"]["contents"]] for kind, a in artifacts.items()}
    assert files == {
        "dataset": ["manifest.json", "metadata.jsonl"],
        "model": ["pytorch_lora_weights.safetensors"],
    }


def test_the_code_of_the_package_is_stored_with_the_run(records: Records) -> None:
    (code,) = [a for a in of_kind(records, "artifact") if a.get("type") == "code"]
    names = [file["path"] for file in code["manifest"]["contents"]]
    assert "training/loop.py" in names
    assert not [name for name in names if name.startswith(("/", ".")) or not name.endswith((".py", ".yaml"))]


def test_the_first_row_is_the_untouched_base(folder: Path) -> None:
    """The pictures of its metrics are those in the column `base`, and its loss that of the base alone."""
    first, *rest = read_jsonl(folder / "metrics.jsonl")
    assert first["step"] == 0
    assert first.keys() == {"step", "val/loss", "eval/grid_contrast", "eval/kid_persona", "eval/fid_persona"}
    place = folder / "media" / "samples" / "table"
    table = json.loads((place / "step-000002.json").read_text())
    column = table["columns"].index("base")
    base = [np.asarray(Image.open(place / row[column]["image"])) for row in table["rows"]]
    grid = Grid.of(32, 32, 4)
    assert first["eval/grid_contrast"] == float(np.mean([grid_contrast(picture, grid) for picture in base]))
    assert first["val/loss"] not in [row["val/loss"] for row in rest if "val/loss" in row]


def test_the_best_weights_are_an_artifact_version_of_their_own(folder: Path, records: Records) -> None:
    (best, *_) = json.loads((folder / "best" / "best.json").read_text())["kept"]
    models = [a for a in of_kind(records, "artifact") if a.get("type") == "model"]
    (marked,) = [a for a in models if "best" in a["aliases"]]
    assert json.loads(marked["metadata"])["steps"] == best["step"]
    kept = folder / "best" / best["folder"] / "pytorch_lora_weights.safetensors"
    (file,) = marked["manifest"]["contents"]
    assert Path(file["local_path"]).read_bytes() == kept.read_bytes()
    assert json.loads(models[-1]["metadata"])["steps"] == 4  # recorded last, so W&B calls it "latest"


def test_no_setting_is_recorded_twice(records: Records) -> None:
    (run,) = of_kind(records, "run")
    config = run["config"]["update"]
    assert not [key for key in config if "." in key]
    assert config["loop"]["precision"] == "fp32"
    assert config["data"].keys() == {"pairs", "base"}


def test_group_job_type_tags_and_versions_are_recorded(records: Records) -> None:
    (run,) = of_kind(records, "run")
    assert (run["display_name"], run["run_group"], run["job_type"]) == ("lora-r2", "runs", "train")
    assert run["tags"] == ["style", "tiny"]
    config = run["config"]["update"]
    assert config["lora"]["rank"] == 2
    assert config["versions"]["wandb"]
    assert config["dataset"]["path"] == "photos"


def test_no_secret_and_no_local_path_is_recorded(
    folder: Path, records: Records, words: list[str], micro_base_folder: Path
) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            for secret in SECRETS.values():
                assert secret.encode() not in data, file
                assert base64.b64encode(secret.encode()) not in data, file
    # Artifact records hold the local paths of files until they are uploaded; these are not sent.
    shown = [record for record in records if record["type"] != "artifact"]
    artifacts = [record for record in of_kind(records, "artifact") if record.get("type") != "code"]
    files = [file for artifact in artifacts for file in artifact["manifest"]["contents"]]
    sent = [Path(file["local_path"]).read_bytes().decode("latin-1") for file in files]
    shown += [{"metadata": artifact.get("metadata")} for artifact in artifacts]
    shown += [{"name": file["path"]} for file in files]
    text = json.dumps(shown, ensure_ascii=False) + "".join(sent)
    assert "source_sha256" in text  # the manifest of the data set is among the files
    for private in (_runs(words).parent, micro_base_folder, Path.home(), Path.cwd(), Path(sys.executable)):
        assert str(private) not in text, private
    assert "home-of-kim" not in text


def test_training_succeeds_without_a_home(
    folder: Path,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    default_folders(monkeypatch, None)
    train.main([*words, f"paths.runs={tmp_path}", "tracker.mode=offline"])
    own = tmp_path / "lora-r2"
    assert (own / "finished.json").is_file()
    assert read_jsonl(own / "metrics.jsonl") == read_jsonl(folder / "metrics.jsonl")
    assert scalar_rows([inspect(own)]) == read_jsonl(own / "metrics.jsonl")
    warned = [line for line in capfd.readouterr().err.splitlines() if "W&B" in line]
    assert warned == [f"W&B's own folders cannot be written; {own / 'wandb' / 'home'} is used instead (HOME)"]


@pytest.mark.slow
def test_training_succeeds_when_wandb_cannot_be_reached(words: list[str], tmp_path: Path) -> None:
    """In its own process, with a key, and a closed local port as the server."""
    own = [*words, f"paths.runs={tmp_path / 'runs'}", "tracker.mode=auto", "tracker.start_timeout_s=1"]
    env = {
        "WANDB_API_KEY": "a" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9", "HOME": str(tmp_path),
        "PATH": os.environ["PATH"], "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    out = subprocess.run(
        [sys.executable, "-m", "pixelpersona.train", *own],
        env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert out.returncode == 0, out.stderr
    assert out.stderr.count("tracking offline") == 1
    folder = tmp_path / "runs" / "lora-r2"
    assert (folder / "finished.json").is_file()
    assert scalar_rows([inspect(folder)]) == read_jsonl(folder / "metrics.jsonl")


def test_target_column_has_at_most_16_colours_unlike_the_photo(folder: Path) -> None:
    place = folder / "media" / "samples" / "table"
    table = json.loads((place / "step-000002.json").read_text())
    row = dict(zip(table["columns"], table["rows"][0], strict=True))
    photo, target = (np.asarray(Image.open(place / row[name]["image"])) for name in ("photo", "target"))
    assert photo.shape == target.shape == (32, 32, 3)
    assert len(np.unique(target.reshape(-1, 3), axis=0)) <= 16 < len(np.unique(photo.reshape(-1, 3), axis=0))
