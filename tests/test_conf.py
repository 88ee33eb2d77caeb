"""Every option file and every experiment composes, fits its schema, and builds."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from pixelpersona.config import config_folder, register

DOORS = {
    "prepare": "PrepareConfig",
    "pretrain": "PretrainConfig",
    "train": "TrainConfig",
    "evaluate": "EvaluateConfig",
    "report": "ReportConfig",
    "publish": "PublishConfig",
    "stylize": "StylizeConfig",
    "pixelate": "PixelateConfig",
    "export": "ExportConfig",
}
GROUPS = [
    "dataset",
    "pixelate",
    "augment",
    "model",
    "method",
    "lora",
    "optimizer",
    "lr_schedule",
    "loss",
    "loop",
    "sampler",
    "tracker",
]
OTHER_GROUPS = ["eval", "experiment", "finish", "hydra", "notebook", "paths"]
NEEDED = {"dataset=folder": ["dataset.path=photos"]}


def _options(group: str) -> list[str]:
    return sorted(file.stem for file in (config_folder() / group).glob("*.yaml"))


def _compose(door: str, *words: str) -> Any:
    schema = getattr(importlib.import_module(f"pixelpersona.{door}"), DOORS[door])
    register("", f"{door}_schema", schema)
    required = ["photo=a.jpg", "out=a.png"] if door in ("stylize", "pixelate") else []
    if door == "pretrain":
        required = ["dataset.path=photos"]
    if door == "export":
        required = ["out=exported"]
    with initialize_config_dir(str(config_folder()), version_base=None):
        tree = compose(door, [*words, *required], return_hydra_config=False)
    config = OmegaConf.to_object(tree)
    assert isinstance(config, schema)
    return config


@pytest.mark.parametrize("door", DOORS)
def test_every_door_composes_as_it_is(door: str) -> None:
    assert _compose(door).name


def test_no_folder_is_left_out() -> None:
    folders = {path.name for path in config_folder().iterdir() if path.is_dir()}
    assert folders == {*GROUPS, *OTHER_GROUPS}
    files = {path.stem for path in config_folder().glob("*.yaml")}
    assert files == {*DOORS, "wandb_sweep"}


@pytest.mark.parametrize(("option", "launcher"), [("joblib", "Joblib"), ("submitit", "Slurm")])
def test_every_launcher_composes(option: str, launcher: str) -> None:
    assert {"default", option} <= set(_options("hydra"))
    register("", "train_schema", importlib.import_module("pixelpersona.train").TrainConfig)
    with initialize_config_dir(str(config_folder()), version_base=None):
        tree = compose("train", [f"hydra={option}"], return_hydra_config=True)
    assert launcher in tree.hydra.launcher._target_
    assert tree.hydra.sweep.dir == str(tree.paths.runs)


def test_the_wandb_sweep_starts_runs_that_compose(monkeypatch: pytest.MonkeyPatch) -> None:
    """With W&B's own code for the command line of a run."""
    sweep = yaml.safe_load((config_folder() / "wandb_sweep.yaml").read_text(encoding="utf-8"))
    parameters = sweep["parameters"]
    values = {"lora.rank": parameters["lora.rank"]["values"][-1], "optimizer.lr": 0.0007}
    assert values.keys() == parameters.keys()
    filled = create_sweep_command_args({"args": {key: {"value": value} for key, value in values.items()}})
    command = [*create_sweep_command(list(sweep["command"]))]
    start = command.index("pixelpersona.train") + 1
    assert command[start - 3 : start] == ["python", "-m", "pixelpersona.train"]
    words = [
        word for part in command[start:] for word in (filled[part[2:-1]] if part.startswith("${") else [part])
    ]
    monkeypatch.setenv("WANDB_RUN_ID", "a1b2c3")
    config = _compose("train", *words)
    assert (config.name, config.lora.rank, config.optimizer.lr) == ("wandb-a1b2c3", 16, 0.0007)
    assert sweep["metric"]["name"] == config.loop.best_metric
    assert config.tracker.project == sweep["project"]


@pytest.mark.parametrize("word", [f"{group}={option}" for group in GROUPS for option in _options(group)])
def test_every_option_of_train_composes_and_builds(word: str) -> None:
    from pixelpersona.build.data import make_recipe
    from pixelpersona.build.inference import make_sampler
    from pixelpersona.build.training import num_steps
    from pixelpersona.training.optim import lr_factor

    config = _compose("train", word, *NEEDED.get(word, []))
    recipe = make_recipe(config.dataset, config.pixelate, config.augment, config.model, seed=0)
    assert recipe.size == config.model.image_size
    assert make_sampler(config.sampler).num_calls >= 1
    assert num_steps(config.loop, steps_per_epoch=10) >= 1
    assert 0 < lr_factor(config.lr_schedule.kind, 0, num_steps=10, num_warmup_steps=0) <= 1
    assert config.optimizer.lr > 0
    assert all(group.lr_scale > 0 for group in config.optimizer.groups.values())


@pytest.mark.parametrize("option", _options("eval"))
def test_every_evaluation_composes(option: str) -> None:
    assert _compose("evaluate", f"eval={option}").finish.num_colors == 16


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["eval.features=inception"], "eval.features_path: eval.features=inception needs the file"),
        (["eval.features_path=a.pth"], "eval.features_path: eval.features=inception needs the file"),
        (["eval.also_cells=[3,1]"], "eval.also_cells=1: accepted 2 to 64 pixels"),
        (["eval.also_cells=[100]"], "eval.also_cells=100: accepted 2 to 64 pixels"),
        (["eval.also_colors=[300]"], "eval.also_colors=300: accepted 1 to 256"),
    ],
)
def test_what_an_evaluation_cannot_measure_is_told(words: list[str], said: str) -> None:
    config = _compose("evaluate", *words)
    with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
        config.eval.check(config.model.image_size)


@pytest.mark.parametrize("notebook", _options("notebook"))
def test_every_entry_composes_for_report(notebook: str) -> None:
    config = _compose("report", f"notebook={notebook}")
    assert config.study == Path("experiments") / notebook
    assert config.commands[-1] == f"python -m pixelpersona.report notebook={notebook}"


@pytest.mark.parametrize("door", ["evaluate", "stylize"])
@pytest.mark.parametrize("option", _options("finish"))
def test_every_finish_composes(door: str, option: str) -> None:
    assert _compose(door, f"finish={option}").finish.num_colors == 16


@pytest.mark.parametrize("experiment", _options("experiment"))
def test_every_experiment_composes_for_train(experiment: str) -> None:
    config = _compose("train", f"experiment={experiment}")
    assert str(config.name)


@pytest.mark.parametrize("door", ["prepare", "train", "evaluate", "report", "stylize"])
def test_the_demo_is_one_experiment_for_all_its_doors(door: str) -> None:
    config = _compose(door, "experiment=demo")
    assert config.paths.runs == Path("runs/demo")
    assert config.timing == Path("runs/demo/timing.json")


def test_the_original_recipe_number_by_number() -> None:
    config = _compose("train", "experiment=celeba_sd15")
    assert (config.dataset.kind.value, config.dataset.limit) == ("celeba", 1000)
    assert (config.pixelate.factor, config.pixelate.palette) == (6, 32)
    assert (config.model.name, config.model.image_size) == ("sd15", 512)
    assert config.model.path == "stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert (config.lora.rank, config.lora.alpha) == (4, 4)
    assert set(config.lora.targets) == {"to_q", "to_k", "to_v", "to_out.0"}
    assert config.optimizer.lr == 5e-5
    assert all(group.lr_scale == 1 for name, group in config.optimizer.groups.items() if name != "text")
    assert not config.lora.text_encoder
    assert (config.loop.num_epochs, config.loop.batch_size) == (3, 8)
    assert (config.loss.kind, config.loss.snr_gamma, config.lr_schedule.kind) == ("mse", None, "constant")
    assert (config.sampler.strength, config.sampler.guidance) == (0.5, 7.5)
    assert config.model.prompt == "pixel art portrait, 16-color style"


def test_rank_is_one_word() -> None:
    config = _compose("train", "lora.rank=8")
    assert (config.lora.rank, config.lora.alpha, config.name) == (8, 8, "lora-r8")
    assert _compose("train", "method=translator").name == "translator"
