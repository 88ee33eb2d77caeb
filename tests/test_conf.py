"""Every option of every group and every experiment composes, sets every key and builds its component."""

import dataclasses
import re
import typing
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import MISSING
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from pixelpersona.cli.schemas import ConfigSource, config_folder
from pixelpersona.data.augment import Augmentation
from pixelpersona.data.recipe import PairRecipe
from pixelpersona.inference.sampler import Sampler
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.postprocess import Postprocess
from pixelpersona.recipes.check_eval import check_eval
from pixelpersona.recipes.loop_settings import check_loop, count_steps
from pixelpersona.training.optimizers import lr_schedule
from tests.composing import COMMANDS, compose_tree, compose_typed, root_schema

# A command that uses each group.
GROUPS = {
    "adapter": "stylize",
    "augment": "train",
    "dataset": "train",
    "eval": "evaluate",
    "experiment": "train",
    "finetune": "train",
    "hydra": "train",
    "loop": "train",
    "lora": "train",
    "loss": "train",
    "lr_schedule": "train",
    "method": "train",
    "model": "train",
    "optimizer": "train",
    "paths": "train",
    "pixelate": "train",
    "postprocess": "evaluate",
    "sampler": "train",
    "search": "stylize",
    "study": "report",
    "tracker": "train",
}
NEEDED = {"dataset=folder": ["dataset.path=photos"]}


def _options(group: str) -> list[str]:
    return ConfigSource("train", config_folder()).options(group)


def _schemas(schema: type) -> typing.Iterator[type]:
    yield schema
    for kind in typing.get_type_hints(schema).values():
        for part in (kind, *typing.get_args(kind)):
            if isinstance(part, type) and dataclasses.is_dataclass(part):
                yield from _schemas(part)


def _missing(value: Any, key: str) -> typing.Iterator[str]:
    """The keys below a value of the composed configuration that have no value."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _missing(item, f"{key}.{name}")
    elif value == MISSING:
        yield key


@pytest.mark.parametrize("command", COMMANDS)
def test_schemas_have_no_values(command: str) -> None:
    for schema in _schemas(root_schema(command)):
        for field in dataclasses.fields(schema):
            assert field.default in (dataclasses.MISSING, None), f"{schema.__name__}.{field.name}"
            assert field.default_factory is dataclasses.MISSING, f"{schema.__name__}.{field.name}"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_composes_with_a_value_for_every_key(command: str) -> None:
    config = compose_typed(command)
    assert config.name
    assert list(_missing(dataclasses.asdict(config), command)) == []


def test_the_tables_list_all_folders_and_files() -> None:
    folders = {path.name for path in config_folder().iterdir() if path.is_dir()}
    assert folders == set(GROUPS)
    files = {path.stem for path in config_folder().glob("*.yaml")}
    assert files == {*COMMANDS, "wandb_sweep"}


@pytest.mark.parametrize(
    ("group", "option"),
    [
        (group, option)
        for group in GROUPS
        for option in _options(group)
        if group not in ("hydra", "experiment")
    ],
)
def test_every_option_sets_every_key_of_its_group(group: str, option: str) -> None:
    """In its own file or its parents'; values from other options or from a schema do not count."""
    config = compose_typed(GROUPS[group], f"{group}={option}", *NEEDED.get(f"{group}={option}", []))
    schema = type(getattr(config, group))
    keys = {field.name for field in dataclasses.fields(schema)}
    found: set[str] = set()
    names = [option]
    while names:
        text = (config_folder() / group / f"{names.pop()}.yaml").read_text(encoding="utf-8")
        content = yaml.safe_load(text)
        names += [name for name in content.pop("defaults", []) if name != "_self_"]
        found |= set(content[group] if "@package _global_" in text else content)
    assert found == keys


@pytest.mark.parametrize("option", ["demo", "quick", "long"])
def test_options_of_loop_differ_only_in_lengths(option: str) -> None:
    default, other = (
        dataclasses.asdict(compose_typed("train", f"loop={name}").loop) for name in ("default", option)
    )
    changed = {key for key in default if default[key] != other[key]}
    assert changed <= {"num_steps", "batch_size", "num_samples"} | {key for key in default if "every" in key}


@pytest.mark.parametrize("dataset", ["folder", "celeba"])
@pytest.mark.parametrize("model", _options("model"))
def test_photos_are_cropped_alike_for_training_and_stylizing(dataset: str, model: str) -> None:
    words = [f"model={model}", f"dataset={dataset}", *NEEDED.get(f"dataset={dataset}", [])]
    trained = compose_typed("train", *words).dataset.framing
    assert trained == compose_typed("stylize", f"model={model}").framing
    assert trained == {"tiny": "tight", "sd15": "portrait"}[model]
    assert compose_typed("train", *words, "dataset.framing=center").dataset.framing == "center"


@pytest.mark.parametrize("model", _options("model"))
def test_the_finetune_option_is_chosen_by_the_model(model: str) -> None:
    text = (config_folder() / "finetune" / f"{model}.yaml").read_text(encoding="utf-8")
    stated = yaml.safe_load(text)
    for command in ("train", "evaluate"):
        config = compose_typed(command, f"model={model}")
        assert (config.model.name, config.finetune.num_steps) == (model, stated["num_steps"])
    assert compose_typed("train", f"model={model}").optimizer.lr == float(stated["lr"])


@pytest.mark.parametrize(
    ("words", "model"),
    [
        (["model=tiny"], "tiny"),
        (["model=sd15"], "sd15"),
        (["experiment=celeba_sd15"], "sd15"),
        (["experiment=celeba_sd15", "model=tiny"], "tiny"),
        *(([f"experiment={name}"], None) for name in _options("experiment")),
    ],
    ids=lambda case: "-".join(case or []),
)
def test_finetune_follows_model(words: list[str], model: str | None) -> None:
    tree = compose_tree("train", *words)
    choices = tree.hydra.runtime.choices
    assert choices["finetune"] == choices["model"] == tree.model.name == (model or tree.model.name)


def test_finetune_can_be_chosen_apart_from_model() -> None:
    config = compose_typed("train", "finetune=sd15")
    assert (config.model.name, config.finetune.lr) == ("tiny", 1e-4)


@pytest.mark.parametrize(("option", "launcher"), [("joblib", "Joblib"), ("submitit", "Slurm")])
def test_every_launcher_composes(option: str, launcher: str) -> None:
    assert {"default", option} <= set(_options("hydra"))
    tree = compose_tree("train", f"hydra={option}")
    assert launcher in tree.hydra.launcher._target_
    assert tree.hydra.sweep.dir == str(tree.paths.runs)


def test_the_wandb_sweep_starts_runs_that_compose(monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B's own code builds the command line of the run."""
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
    config = compose_typed("train", *words)
    assert (config.name, config.lora.rank, config.optimizer.lr) == ("wandb-a1b2c3", 16, 0.0007)
    assert sweep["metric"]["name"] == f"best/{config.loop.best_metric}"
    assert config.tracker.project == sweep["project"]


@pytest.mark.parametrize("method", _options("method"))
@pytest.mark.parametrize("schedule", _options("lr_schedule"))
@pytest.mark.parametrize("length", [*(f"loop={name}" for name in _options("loop")), "loop.num_epochs=1"])
def test_every_run_reaches_its_learning_rate_and_keeps_it_for_most_of_its_steps(
    length: str, schedule: str, method: str
) -> None:
    config = compose_typed("train", length, f"lr_schedule={schedule}", f"method={method}")
    num_steps = count_steps(config.loop, steps_per_epoch=12)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=config.optimizer.lr)
    scheduler = lr_schedule(optimizer, num_steps=num_steps, **dataclasses.asdict(config.lr_schedule))
    rates = []
    for _ in range(num_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert max(rates) == pytest.approx(config.optimizer.lr)
    assert rates.index(max(rates)) <= 0.2 * num_steps
    assert rates[-1] == (rates[0] if schedule == "constant" else pytest.approx(0, abs=0.2 * max(rates)))
    if num_steps >= 150:  # the warm-up of the runs that were measured
        assert rates.index(max(rates)) == config.lr_schedule.num_warmup_steps


TRAIN_GROUPS = [group for group, command in GROUPS.items() if command == "train" and group != "hydra"]


@pytest.mark.parametrize(
    "word", [f"{group}={option}" for group in TRAIN_GROUPS for option in _options(group)]
)
def test_every_option_of_train_builds(word: str) -> None:
    config = compose_typed("train", word, *NEEDED.get(word, []))
    pixelation = Pixelation(**dataclasses.asdict(config.pixelate))
    recipe = PairRecipe(
        size=config.model.image_size,
        framing=config.dataset.framing,
        pixelate=pixelation,
        augment=Augmentation(**dataclasses.asdict(config.augment)),
        variants=config.dataset.variants,
        caption=config.model.prompt,
    )
    assert recipe.size == config.model.image_size
    assert Sampler(**dataclasses.asdict(config.sampler)).num_calls >= 1
    assert count_steps(config.loop, steps_per_epoch=10) >= 1
    check_loop(config.loop)
    assert config.lr_schedule.kind in ("constant", "cosine", "linear")
    assert config.optimizer.lr > 0
    assert all(group.lr_scale > 0 for group in config.optimizer.groups.values())


@pytest.mark.parametrize("option", _options("eval"))
def test_every_option_of_eval_is_accepted(option: str) -> None:
    config = compose_typed("evaluate", f"eval={option}")
    check_eval(config.eval, config.model.image_size)
    assert bool(config.eval.strengths) == (option in ("samplers", "strengths", "tradeoff"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["eval.features=inception"], "eval.features_path: eval.features=inception needs the file"),
        (["eval.features_path=a.pth"], "eval.features_path: eval.features=inception needs the file"),
        (["eval.also_cells=[3,1]"], "eval.also_cells=1: accepted 2 to 64 pixels"),
        (["eval.also_cells=[100]"], "eval.also_cells=100: accepted 2 to 64 pixels"),
        (["eval.also_colors=[300]"], "eval.also_colors=300: accepted 1 to 256"),
        (["eval.strengths=[0.5]"], "eval.guidances=[]: accepted one or more"),
        (["eval.strengths=[1.5]", "eval.guidances=[1]"], "eval.strengths=1.5: accepted above 0, up to 1"),
        (["eval.strengths=[0.5]", "eval.guidances=[0.5]"], "eval.guidances=0.5: accepted 1 (off) or more"),
        (["eval.samplers=[euler-20]"], "eval.samplers=euler-20: accepted as dpm-20 or ddim-50"),
        (["eval.samplers=[dpm-20,dpm-20]"], "eval.samplers=['dpm-20', 'dpm-20']: accepted each value once"),
    ],
)
def test_a_wrong_evaluation_setting_is_refused(words: list[str], message: str) -> None:
    config = compose_typed("evaluate", *words)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        check_eval(config.eval, config.model.image_size)


@pytest.mark.parametrize("study", [name for name in _options("study") if name != "none"])
def test_every_study_composes_for_report(study: str) -> None:
    config = compose_typed("report", f"study={study}")
    assert config.study.folder == Path("experiments") / study
    assert config.study.commands[-1] == f"python -m pixelpersona.report study={study}"


@pytest.mark.parametrize("command", ["evaluate", "stylize"])
@pytest.mark.parametrize("option", _options("postprocess"))
def test_every_option_of_postprocess_builds_with_its_values(command: str, option: str) -> None:
    config = compose_typed(command, f"postprocess={option}")
    stated = yaml.safe_load((config_folder() / "postprocess" / f"{option}.yaml").read_text(encoding="utf-8"))
    assert dataclasses.asdict(config.postprocess) == stated
    built = Postprocess(**dataclasses.asdict(config.postprocess))
    assert (built.num_colors, built.detail) == (stated["num_colors"], stated["detail"])


@pytest.mark.parametrize("experiment", _options("experiment"))
def test_every_experiment_sets_what_it_states(experiment: str) -> None:
    stated = yaml.safe_load(
        (config_folder() / "experiment" / f"{experiment}.yaml").read_text(encoding="utf-8")
    )
    config = compose_typed("train", f"experiment={experiment}")
    for override in stated.get("defaults", []):
        ((key, option),) = override.items()
        group = key.removeprefix("override /")
        model = [] if group == "model" else [f"model={config.model.name}"]
        chosen = dataclasses.asdict(getattr(compose_typed("train", f"{group}={option}", *model), group))
        found = dataclasses.asdict(getattr(config, group))
        assert {k: v for k, v in chosen.items() if k not in stated.get(group, {})}.items() <= found.items()
    if "paths" in stated:
        assert config.paths.runs == Path(stated["paths"]["runs"])
    finetune = yaml.safe_load(
        (config_folder() / "finetune" / f"{config.model.name}.yaml").read_text(encoding="utf-8")
    )
    assert config.finetune.num_steps == finetune["num_steps"]


@pytest.mark.parametrize("command", ["prepare", "train", "evaluate", "report", "stylize"])
def test_the_demo_experiment_sets_the_same_folders_for_all_its_commands(command: str) -> None:
    config = compose_typed(command, "experiment=demo")
    assert config.paths.runs == Path("runs/demo")
    assert config.timing == Path("runs/demo/timing.json")


def test_the_celeba_sd15_experiment_has_the_numbers_of_the_original_recipe() -> None:
    config = compose_typed("train", "experiment=celeba_sd15")
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
    assert config.loss.residual_shift_strength == 0.0
    assert (config.sampler.strength, config.sampler.guidance) == (0.5, 7.5)
    assert config.model.prompt == "pixel art portrait, 16-color style"


def test_the_rank_sets_alpha_and_the_run_name() -> None:
    config = compose_typed("train", "lora.rank=8")
    assert (config.lora.rank, config.lora.alpha, config.name) == (8, 8, "lora-r8")
    assert compose_typed("train", "method=supervised").name == "supervised"
