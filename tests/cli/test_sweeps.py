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
from pixelpersona.cli.overrides import quote
from pixelpersona.cli.schemas import ConfigSource, config_folder, register, schema_keys
from pixelpersona.cli.sweeps import Sweep, plan_sweep
from pixelpersona.config.train import TrainConfig
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


# --- names ------------------------------------------------------------------------------------------


def plan(*words: str) -> Sweep:
    register("train", TrainConfig)
    source = ConfigSource("train", config_folder())
    return plan_sweep(quote(words, schema_keys(TrainConfig)), source, train.run_folder)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["lora.rank=4,8"], ["lora-r4", "lora-r8"]),
        (["lora=r4,r8"], ["lora-r4", "lora-r8"]),
        (["lora.rank=4,8", "experiment=celeba_sd15"], ["celeba-sd15-r4", "celeba-sd15-r8"]),
        (["optimizer.lr=1e-3,2e-3", "lora.rank=8"], ["lora-r8-lr_0.001", "lora-r8-lr_0.002"]),
        (["loop.seed=range(2)", "dataset.mirror=true,false"], None),
        (["name=mine", "lora.rank=4,8"], ["mine-rank_4", "mine-rank_8"]),
        (["name='a','b'"], ["a", "b"]),
        (["name=choice(a,b)"], ["a", "b"]),
        (["name=r${lora.rank}-실험, 1", "lora.rank=4,8"], ["r4-실험, 1", "r8-실험, 1"]),
        (["method=lora,supervised"], ["lora-r4", "supervised"]),
        (["loop.seed=1"], ["lora-r4"]),
        (["experiment=rank_sweep"], [f"lora-r{rank}-seed_{seed}" for rank in (4, 8) for seed in (0, 1, 2)]),
        (["experiment=rank_sweep", "lora.rank=1,2", "loop.seed=0"], ["lora-r1", "lora-r2"]),
        (["tracker.tags=[a],[b]"], ["lora-r4-tags_a", "lora-r4-tags_b"]),
        (["loss=glob(*)"], ["lora-r4-huber", "lora-r4-mse"]),
        (["optimizer=glob(*,exclude=[lora*,prodigy])"], ["lora-r4-adamw", "lora-r4-sgd"]),
        (["hydra.verbose=true", "lora.rank=choice(4,8)"], ["lora-r4", "lora-r8"]),
    ],
)
def test_run_names_show_every_swept_setting(words: list[str], names: list[str] | None) -> None:
    jobs = plan(*words).jobs
    if names is None:
        names = [f"lora-r4-seed_{seed}-mirror_{mirror}" for seed in (0, 1) for mirror in ("True", "False")]
    assert [job.name for job in jobs] == names
    runs = Path("runs/rank_sweep" if "experiment=rank_sweep" in words else "runs")
    assert [job.folder for job in jobs] == [runs / name for name in names]


def test_settings_of_hydra_are_not_among_those_of_a_job() -> None:
    (job,) = plan("hydra.verbose=true", "+hydra.job.env_set.A=b", "lora.rank=8").jobs
    assert job.overrides == ("lora.rank=8",)


def test_run_folders_of_a_large_sweep_are_distinct() -> None:
    sweep = plan("lora.rank=2,4", "optimizer=adamw,sgd", "loop.seed=1,2", "method=lora,supervised")
    assert len({job.folder for job in sweep.jobs}) == len(sweep.jobs) == 16


@pytest.mark.parametrize("words", [["lora.rank=4,4"], ["loop.seed=1,'1'"], ["name='a b','a b'"]])
def test_two_jobs_in_one_folder_are_an_error(words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"name=.*two jobs of the sweep would write into"):
        plan(*words)


def test_the_group_depends_on_what_is_trained() -> None:
    group = plan("lora.rank=4,8", "optimizer=adamw,sgd").group
    assert group.startswith("sweep-rank-optimizer-")
    same = plan("lora.rank=4,8", "timing=t.json", "optimizer=adamw,sgd", "loop.resume=never", "tracker=none")
    assert same.group == group
    for other in ["lora.rank=4,16", "lora.rank=4,8"]:
        assert plan(other, "loss=huber,mse").group != group


def test_a_sweep_over_models_uses_their_finetune_settings() -> None:
    rates: list[float] = []

    def run_folder(config: TrainConfig) -> Path:
        rates.append(config.finetune.lr)
        return train.run_folder(config)

    register("train", TrainConfig)
    sweep = plan_sweep(["model=tiny,sd15"], ConfigSource("train", config_folder()), run_folder)
    assert rates == [6e-3, 1e-4]
    assert [job.name for job in sweep.jobs] == ["lora-r4-tiny", "lora-r4-sd15"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["optimizer.lr=-1,1e-3"], "optimizer.lr=-1.0: accepted 0 or more"),
        (["optimizer.groups.text.lr_scale=-1"], "optimizer.groups.text.lr_scale=-1.0: accepted 0 or more"),
        (["loop.seed=1,99999999999"], "loop.seed=99999999999: accepted 0 to 4294967295"),
    ],
)
def test_a_value_out_of_its_range_stops_the_sweep_before_its_first_job(words: list[str], line: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        plan(*words)


@pytest.mark.parametrize("words", [["lora.rank=interval(1,8)"], ["optimizer.lr=interval(0.001,0.01)"]])
def test_an_interval_is_an_error(words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"interval\(.*\): accepted a,b,c"):
        plan(*words)


@pytest.mark.parametrize("words", [["experiment=rank_sweep"], ["loop.seed=3", "experiment=tradeoff"]])
def test_an_experiment_that_is_a_sweep_needs_m(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        train.main(words)
    assert stop.value.code == 2
    said = capsys.readouterr()
    ranks = {"rank_sweep": "4,8,16,32", "tradeoff": "4,8"}[words[-1].partition("=")[2]]
    assert said.err.startswith(f"{words[-1]}: is a sweep, lora.rank={ranks} ")
    assert said.err.endswith(f"; add -m: python -m pixelpersona.train -m {' '.join(words)}\n")
    assert (said.out, list(tmp_path.iterdir())) == ("", [])


@pytest.mark.parametrize("experiments", ["rank_sweep,palette_size", "demo,tradeoff"])
def test_a_sweep_over_experiments_that_are_sweeps_is_refused(experiments: str) -> None:
    with pytest.raises(ValueError, match=r"^experiment=(rank_sweep|tradeoff): is a sweep over lora\.rank, "):
        plan(f"experiment={experiments}")


def test_a_sweep_over_experiments_that_are_no_sweeps() -> None:
    sweep = plan("experiment=demo,celeba_sd15")
    assert [job.folder for job in sweep.jobs] == [Path("runs/demo/lora-r4"), Path("runs/celeba-sd15-r4")]


@pytest.mark.parametrize("name", ["../up", "/tmp/x", "", ".", "a/../b", ".hidden", "a//b", "한" * 81])
def test_a_name_that_is_no_folder_below_runs_stops_the_sweep_before_its_first_job(name: str) -> None:
    with pytest.raises(ValueError, match=r"^name="):
        plan(f"name={name}-r${{lora.rank}}" if name == "한" * 81 else f"name={name}", "lora.rank=4,8")


def test_a_long_swept_value_is_shown_by_its_digest() -> None:
    targets = [f"[{','.join(f'layer{number}.{part}' for number in range(40))}]" for part in ("to_q", "to_k")]
    names = [job.name for job in plan(f"lora.targets={','.join(targets)}").jobs]
    assert all(re.fullmatch(r"lora-r4-targets_[0-9a-f]{12}", name) for name in names)
    assert len(set(names)) == 2


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
    assert "wrote" in out.splitlines()[-1]


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
