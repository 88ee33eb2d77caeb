"""Names, groups and refusals of a sweep, before its first job runs."""

import re
from pathlib import Path

import pytest

from pixelpersona import train
from pixelpersona.cli.overrides import quote
from pixelpersona.cli.schemas import ConfigSource, config_folder, register, schema_keys
from pixelpersona.cli.sweeps import Sweep, plan_sweep, require_no_sweep
from pixelpersona.config.train import TrainConfig


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
    assert said.err.startswith(f"{words[-1]}: is a sweep, lora.rank=4,8 ")
    assert said.err.endswith(f"; add -m: python -m pixelpersona.train -m {' '.join(words)}\n")
    assert (said.out, list(tmp_path.iterdir())) == ("", [])


def test_a_job_of_an_experiment_is_repeated_alone_with_all_its_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the report lists it."""
    (job, *_) = plan("experiment=rank_sweep").jobs
    tree = ConfigSource("train", config_folder()).compose(job.overrides)
    monkeypatch.setattr("hydra.core.hydra_config.HydraConfig.get", lambda: tree.hydra)
    require_no_sweep(job.overrides, "the command")
    for key in ("lora.rank", "loop.seed", "tracker"):
        left = [word for word in job.overrides if not word.startswith(f"{key}=")]
        with pytest.raises(ValueError, match=r"^experiment=rank_sweep: is a sweep, .*; add -m: the command$"):
            require_no_sweep(left, "the command")


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
