"""Sweeps: own folders, one group, only what is missing, a table; the same bits by one process and by two."""

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
from pixelpersona.config import config_folder, register
from pixelpersona.sweep import Sweep, plan_sweep
from pixelpersona.tracking.jsonl import read_jsonl
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
        "dataset.heldout_share=0.3",
        f"paths.cache={cache}",
        f"model.path={micro_base_folder}",
    ]


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "pytorch_lora_weights.safetensors")


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)


# --- names ------------------------------------------------------------------------------------------


def plan(*told: str) -> Sweep:
    register("", "train_schema", train.TrainConfig)
    return plan_sweep(told, "train", config_folder(), train.run_folder)


@pytest.mark.parametrize(
    ("told", "names"),
    [
        (["lora.rank=4,8"], ["lora-r4", "lora-r8"]),
        (["lora=r4,r8"], ["lora-r4", "lora-r8"]),
        (["lora.rank=4,8", "experiment=celeba_sd15"], ["celeba-sd15-r4", "celeba-sd15-r8"]),
        (["optimizer.lr=1e-3,2e-3", "lora.rank=8"], ["lora-r8-lr_0.001", "lora-r8-lr_0.002"]),
        (["loop.seed=range(2)", "dataset.mirror=true,false"], None),
        (["name=mine", "lora.rank=4,8"], ["mine-rank_4", "mine-rank_8"]),
        (["name=a,b"], ["a", "b"]),
        (["method=lora,translator"], ["lora-r4", "translator"]),
        (["loop.seed=1"], ["lora-r4"]),
        (["experiment=rank_sweep"], ["lora-r4", "lora-r8", "lora-r16", "lora-r32"]),
        (["experiment=rank_sweep", "lora.rank=1,2"], ["lora-r1", "lora-r2"]),
        (["tracker.tags=[a],[b]"], ["lora-r4-tags_a", "lora-r4-tags_b"]),
    ],
)
def test_a_run_is_named_by_what_its_own_name_does_not_show(told: list[str], names: list[str] | None) -> None:
    jobs = plan(*told).jobs
    if names is None:
        names = [f"lora-r4-seed_{seed}-mirror_{mirror}" for seed in (0, 1) for mirror in ("True", "False")]
    assert [job.name for job in jobs] == names
    runs = Path("runs/rank_sweep" if "experiment=rank_sweep" in told else "runs")
    assert [job.folder for job in jobs] == [runs / name for name in names]


def test_every_folder_of_a_large_sweep_is_its_own() -> None:
    sweep = plan("lora.rank=2,4", "optimizer=adamw,sgd", "loop.seed=1,2", "method=lora,translator")
    assert len({job.folder for job in sweep.jobs}) == len(sweep.jobs) == 16


@pytest.mark.parametrize("told", [["lora.rank=4,4"], ["loop.seed=1,'1'"], ["name='a b','a b'"]])
def test_two_jobs_in_one_folder_are_refused(told: list[str]) -> None:
    with pytest.raises(ValueError, match=r"name=.*two jobs of the sweep would write into"):
        plan(*told)


def test_the_group_is_that_of_the_command() -> None:
    group = plan("lora.rank=4,8", "optimizer=adamw,sgd").group
    assert group.startswith("sweep-rank-optimizer-")
    assert plan("optimizer=adamw,sgd", "timing=t.json", "lora.rank=4,8", "loop.resume=never").group != ""
    for other in ["lora.rank=4,16", "lora.rank=4,8"]:
        assert plan(other, "loss=huber,mse").group != group


# --- the whole --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def swept(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("swept")
    train.main(["-m", *words, *FOUR, f"paths.runs={runs}"])
    return runs


def test_every_job_has_its_folder_and_its_tracker_run_in_one_group(swept: Path) -> None:
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


def test_the_table_holds_what_the_runs_recorded(swept: Path) -> None:
    (file,) = swept.glob("sweep-*.csv")
    rows = list(csv.DictReader(file.open(encoding="utf-8")))
    assert [row["run"] for row in rows] == NAMES
    for row in rows:
        record = read_jsonl(swept / row["run"] / "metrics.jsonl")
        last = [r["val/loss"] for r in record if "val/loss" in r][-1]
        assert (float(row["val/loss"]), row["state"], row["step"]) == (last, "finished", "2")
        assert row["run"] == f"lora-r{row['lora.rank']}-{row['optimizer']}"


def test_the_same_command_runs_only_what_is_missing_or_failed(
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
    skipped = [line for line in out.splitlines() if "finished already" in line]
    assert len(skipped) == 1
    assert NAMES[0] in skipped[0]
    after = (runs / NAMES[0] / "pytorch_lora_weights.safetensors").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert all(same(weights(runs / name), weights(swept / name)) for name in NAMES)
    assert "wrote" in out.splitlines()[-1]


def test_a_closed_folder_is_told_and_the_table_stays(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to nobody
        root = Path(name)
        told = ["-m", *words, "lora.rank=2,3", "tracker=none", f"paths.runs={root / 'runs'}"]
        for key in ("dataset.path", "paths.cache", "model.path"):
            (there,) = (word.partition("=")[2] for word in words if word.startswith(f"{key}="))
            told.append(f"{key}={shutil.copytree(there, root / key)}")
        train.main(told)
        (table,) = (root / "runs").glob("sweep-*.csv")
        table.write_text("as it was")
        for path in (root, *root.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o666)
        capsys.readouterr()
        with unprivileged(), pytest.raises(SystemExit) as stop:
            train.main(told)
        said = capsys.readouterr()
        assert stop.value.code == 2
        assert said.out.count("finished already") == 2  # the jobs themselves
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
    """Lines on stderr of a command that ends with exit code 2."""

    def call(*more: str) -> str:
        with pytest.raises(SystemExit) as stop:
            train.main([*more, *words])
        assert stop.value.code == 2
        err = capsys.readouterr().err
        assert "Traceback" not in err
        return "\n".join(line for line in err.splitlines() if line.strip() and "%|" not in line)

    return call


def test_a_finished_folder_is_not_written_by_other_settings(
    swept: Path, failing: Callable[..., str], tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(swept, runs)
    files = {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    line = failing(f"name={NAMES[0]}", "lora.rank=2", "optimizer.lr=0.5", f"paths.runs={runs}")
    assert re.search(r"optimizer\.lr was [\d.]+, is 0\.5", line)
    assert "name=" in line
    (runs / NAMES[0] / "finished.json").unlink()  # nor one that was left halfway
    line = failing(f"name={NAMES[0]}", "lora.rank=2", "optimizer.lr=0.5", f"paths.runs={runs}")
    assert re.search(r"made by another run \(optimizer\.lr was [\d.]+, is 0\.5\)", line)
    left = {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    assert left == {path: data for path, data in files.items() if path in left}
    assert len(left) == len(files) - 1


def test_a_collision_is_told_before_anything_is_trained(failing: Callable[..., str], tmp_path: Path) -> None:
    line = failing("-m", "lora.rank=2,2", f"paths.runs={tmp_path / 'runs'}")
    assert line.startswith("name=lora-r2: two jobs of the sweep would write into")
    assert "\n" not in line
    assert not (tmp_path / "runs").exists()


def test_a_sweep_without_m_is_refused(failing: Callable[..., str], tmp_path: Path) -> None:
    line = failing("hydra.mode=MULTIRUN", "lora.rank=2,3", f"paths.runs={tmp_path}")
    assert "-m" in line.splitlines()[0]


def test_a_failed_job_leaves_the_others_alone(
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
def test_two_processes_give_the_same_bits(
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
    with pytest.raises(SystemExit) as stop:  # and one process tells the other what failed
        train.main(
            ["-m", *words, "loss.max_timestep=0,900", "tracker=none", *parallel, f"paths.runs={tmp_path}"]
        )
    assert stop.value.code == 2
    assert "loss.max_timestep=0: accepted 1 to 1000" in capfd.readouterr().err
    states = [
        json.loads(path.read_text())["settings"]["loss.max_timestep"] for path in tmp_path.glob("*900/f*")
    ]
    assert states == [900]
