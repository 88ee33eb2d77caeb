"""Sweeps: run folders, tracker group, skipped jobs, the table; one process and two give the same weights."""

import csv
import json
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.numpy import load_file
from skimage.data import astronaut

from pixelpersona import train
from pixelpersona.files import read_jsonl
from tests.failing import unprivileged

QUICK = [
    "loop=quick",
    "loop.num_steps=2",
    "loop.num_samples=0",
    "loop.checkpoint_every_steps=1",
    "loop.log_every_steps=1",
    "dataset=folder",
    "dataset.framing=center",
    "model.image_size=32",
    "model.cell=4",
]
FOUR = ["lora.rank=2,3", "optimizer=adamw,lora_plus"]
NAMES = ["lora-r2-adamw", "lora-r2-lora_plus", "lora-r3-adamw", "lora-r3-lora_plus"]


@pytest.fixture(scope="module")
def words(micro_base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    photos = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(10):
        top, left = rng.integers(0, 200, 2)
        Image.fromarray(astronaut()[top : top + 256, left : left + 256]).resize((48, 48)).save(
            photos / f"{number}.png"
        )
    cache = tmp_path_factory.mktemp("cache")
    return [
        *QUICK,
        f"dataset.path={photos}",
        "dataset.val_share=0.3",
        "dataset.test_share=0",
        f"paths.cache={cache}",
        f"model.path={micro_base_folder}",
    ]


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "pytorch_lora_weights.safetensors")


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)


# --- whole sweeps -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def swept(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("swept")
    train.main(["-m", *words, *FOUR, f"paths.runs={runs}"])
    return runs


def test_every_job_has_its_folder_and_tracker_run_in_one_group(swept: Path) -> None:
    assert sorted(path.name for path in swept.iterdir() if path.is_dir()) == NAMES
    ids, groups = set(), set()
    for name in NAMES:
        config = yaml.safe_load((swept / name / "config.yaml").read_text())
        groups.add(config["tracker"]["group"])
        assert name == f"lora-r{config['lora']['rank']}-" + (
            "lora_plus" if "lora_a" in config["optimizer"]["groups"] else "adamw"
        )
        (run,) = (swept / name / "wandb").glob("offline-run-*")
        ids.add(run.name.rpartition("-")[2])
        assert all(
            value.shape[0] == config["lora"]["rank"]
            for key, value in weights(swept / name).items()
            if "lora_A" in key
        )
    assert len(ids) == 4
    assert len(groups) == 1
    assert next(iter(groups)).startswith("sweep-rank-optimizer-")


def test_the_table_holds_the_recorded_metrics(swept: Path) -> None:
    (file,) = swept.glob("sweep-*.csv")
    rows = list(csv.DictReader(file.open(encoding="utf-8")))
    assert [row["run"] for row in rows] == NAMES
    for row in rows:
        record = read_jsonl(swept / row["run"] / "metrics.jsonl")
        last = [r["val/loss"] for r in record if "val/loss" in r][-1]
        assert (float(row["val/loss"]), row["state"], row["step"]) == (last, "finished", "2")
        assert row["run"] == f"lora-r{row['lora.rank']}-{row['optimizer']}"


def test_the_recorded_settings_repeat_a_job_alone_in_its_own_folder(swept: Path) -> None:
    for name, rank in zip(NAMES, (2, 2, 3, 3), strict=True):
        recorded = yaml.safe_load((swept / name / "overrides.yaml").read_text(encoding="utf-8"))
        assert f"lora.rank={rank}" in recorded
        assert [word for word in recorded if word.startswith("name=")] == [f"name={name}"]


def test_the_same_command_runs_missing_and_unfinished_jobs_only(
    swept: Path, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(swept, runs)
    shutil.rmtree(runs / NAMES[1])  # missing
    (runs / NAMES[2] / "finished.json").unlink()  # stopped before its last step was saved
    shutil.rmtree(runs / NAMES[2] / "checkpoints" / "step-000002")
    (runs / NAMES[3] / "pytorch_lora_weights.safetensors").write_bytes(b"")  # damaged afterwards
    before = (runs / NAMES[0] / "pytorch_lora_weights.safetensors").stat()
    train.main(["-m", *words, *FOUR, f"paths.runs={runs}"])
    out = capsys.readouterr().out
    skipped = [line for line in out.splitlines() if "already finished" in line]
    assert len(skipped) == 1
    assert NAMES[0] in skipped[0]
    after = (runs / NAMES[0] / "pytorch_lora_weights.safetensors").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert all(same(weights(runs / name), weights(swept / name)) for name in NAMES)
    table, *steps = out.splitlines()[-3:]
    assert "wrote" in table
    assert steps[0].startswith("next: python -m pixelpersona.evaluate dataset=folder")
    assert f" adapter.path={runs / NAMES[0]} " in steps[1]


def test_a_read_only_folder_is_reported_and_the_table_is_kept(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders can be written by everybody
        root = Path(name)
        command = ["-m", *words, "lora.rank=2,3", "tracker=none", f"paths.runs={root / 'runs'}"]
        for key in ("dataset.path", "paths.cache", "model.path"):
            (there,) = (word.partition("=")[2] for word in words if word.startswith(f"{key}="))
            command.append(f"{key}={shutil.copytree(there, root / key)}")
        train.main(command)
        (table,) = (root / "runs").glob("sweep-*.csv")
        table.write_text("as it was")
        for path in (root, *root.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o666)
        capsys.readouterr()
        with unprivileged(), pytest.raises(SystemExit) as stop:
            train.main(command)
        said = capsys.readouterr()
        assert stop.value.code == 2
        assert said.out.count("already finished") == 2  # the jobs themselves
        assert said.err.splitlines()[-1].startswith(f"{table}: cannot be written (Permission denied)")
        assert said.err.count("denied") == 1
        assert table.read_text() == "as it was"
        assert not list((root / "runs").glob(".*.tmp"))


def test_resume_never_trains_anew(swept: Path, words: list[str], tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(swept / NAMES[0], runs / NAMES[0])
    weights_file = runs / NAMES[0] / "pytorch_lora_weights.safetensors"
    before = weights_file.stat().st_mtime_ns
    train.main([*words, "lora.rank=2", f"name={NAMES[0]}", f"paths.runs={runs}", "loop.resume=never"])
    assert weights_file.stat().st_mtime_ns != before
    assert same(weights(runs / NAMES[0]), weights(swept / NAMES[0]))


@pytest.fixture
def failing(words: list[str], capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs `train`, which must fail with exit code 2; returns its lines on stderr."""

    def call(*more: str) -> str:
        with pytest.raises(SystemExit) as stop:
            train.main([*more, *words])
        assert stop.value.code == 2
        err = capsys.readouterr().err
        assert "Traceback" not in err
        return "\n".join(line for line in err.splitlines() if line.strip() and "%|" not in line)

    return call


def test_a_finished_folder_is_not_overwritten_by_other_settings(
    swept: Path, failing: Callable[..., str], tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(swept, runs)
    files = {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    line = failing(f"name={NAMES[0]}", "lora.rank=2", "optimizer.lr=0.5", f"paths.runs={runs}")
    assert re.search(r"optimizer\.lr was [\d.]+, is 0\.5", line)
    assert "name=" in line
    (runs / NAMES[0] / "finished.json").unlink()  # nor is an unfinished one
    line = failing(f"name={NAMES[0]}", "lora.rank=2", "optimizer.lr=0.5", f"paths.runs={runs}")
    assert re.search(r"made by a run with other settings \(optimizer\.lr was [\d.]+, is 0\.5\)", line)
    left = {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    assert left == {path: data for path, data in files.items() if path in left}
    assert len(left) == len(files) - 1


def test_a_collision_is_reported_before_the_first_job(failing: Callable[..., str], tmp_path: Path) -> None:
    line = failing("-m", "lora.rank=2,2", f"paths.runs={tmp_path / 'runs'}")
    assert line.startswith("name=lora-r2: two jobs of the sweep would write into")
    assert "\n" not in line
    assert not (tmp_path / "runs").exists()


def test_a_sweep_without_m_is_an_error(failing: Callable[..., str], tmp_path: Path) -> None:
    line = failing("hydra.mode=MULTIRUN", "lora.rank=2,3", f"paths.runs={tmp_path}")
    assert "-m" in line.splitlines()[0]


def test_a_failed_job_does_not_stop_the_others(
    failing: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = failing("-m", "loss.max_timestep=0,1000", "tracker=none", f"paths.runs={tmp_path}")
    assert line == "loss.max_timestep=0: accepted 1 to 1000"
    rows = list(csv.DictReader(next(tmp_path.glob("sweep-*.csv")).open(encoding="utf-8")))
    assert [(row["run"], row["state"]) for row in rows] == [
        ("lora-r4-max_timestep_0", "not finished"),
        ("lora-r4-max_timestep_1000", "finished"),
    ]


@pytest.mark.slow
def test_two_processes_give_the_same_weights(
    swept: Path, words: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    parallel = ["hydra=joblib", "hydra.launcher.n_jobs=2"]
    train.main(["-m", *words, *FOUR, *parallel, f"paths.runs={tmp_path}"])
    assert all(same(weights(tmp_path / name), weights(swept / name)) for name in NAMES)
    for name in NAMES:
        assert read_jsonl(tmp_path / name / "metrics.jsonl") == read_jsonl(swept / name / "metrics.jsonl")
    (there,), (here,) = tmp_path.glob("sweep-*.csv"), swept.glob("sweep-*.csv")
    assert there.read_text() == here.read_text()
    capfd.readouterr()
    with pytest.raises(SystemExit) as stop:  # a failure in one process reaches the other
        train.main(
            ["-m", *words, "loss.max_timestep=0,900", "tracker=none", *parallel, f"paths.runs={tmp_path}"]
        )
    assert stop.value.code == 2
    assert "loss.max_timestep=0: accepted 1 to 1000" in capfd.readouterr().err
    states = [
        json.loads(path.read_text())["settings"]["loss.max_timestep"] for path in tmp_path.glob("*900/f*")
    ]
    assert states == [900]
