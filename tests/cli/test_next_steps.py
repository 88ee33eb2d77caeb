"""Every command ends with the commands to type next: they compose, with the settings of the finished one."""

import importlib
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from pixelpersona.cli.command import command
from pixelpersona.cli.next_steps import NextStep, show_steps
from pixelpersona.cli.overrides import quote
from pixelpersona.cli.schemas import ConfigSource, config_folder, schema_keys
from tests.cli.paint import Config
from tests.composing import COMMANDS, compose_tree, compose_typed, root_schema

EXPERIMENTS = ConfigSource("train", config_folder()).options("experiment")


def steps_after(name: str, *typed: str) -> tuple[list[NextStep], DictConfig, list[str]]:
    """The next steps of a finished command, its configuration, and the lines that are printed."""
    words = quote([*COMMANDS[name], *typed], schema_keys(root_schema(name)))
    tree = compose_tree(name, *words)
    steps = importlib.import_module(f"pixelpersona.{name}").next_steps(compose_typed(name, *words))
    return steps, tree, show_steps(steps, tree, ConfigSource(name, config_folder()))


def typed_in(line: str) -> list[str]:
    """The words that a shell makes of a printed line, without the label before the command."""
    return shlex.split(line.partition(": ")[2], comments=True)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("prepare", []),
        ("prepare", ["dataset=folder", "dataset.path=내 사진, 1/it's [here] #2", "pixelate=drawn"]),
        ("prepare", ["pixelate.palette=[#3a7bd5,123e45]", "dataset.limit=12"]),
        ("train", []),
        ("train", ["model=sd15", "dataset=celeba", "lora.rank=8", "model.prompt=한글, 초상화"]),
        ("train", ["method=supervised", "paths.runs=~/runs"]),
        *(("train", [f"experiment={name}"]) for name in EXPERIMENTS),
        ("evaluate", ["eval=tradeoff", "experiment=tradeoff", "paths.runs=no such folder"]),
        ("stylize", ["photo=사진 (1).jpg", "out=a b.png", "model=sd15", "search.strengths=[0.2,0.4]"]),
        ("stylize", ["seed=7", "num_candidates=2", "postprocess=plain", "framing=center"]),
        ("pixelate", ["pixelate=drawn"]),
        ("pixelate", ["photo=.", "pixelate.factor=6", "pixelate.palette=pico8"]),
        ("export", ["format=merged", "model=sd15"]),
        *(
            ("pretrain", [f"stage={stage}", "name=mine", "unet.num_steps=9", "model.image_size=96"])
            for stage in ("all", "autoencoder", "unet", "portraits", "features")
        ),
    ],
)
def test_the_next_commands_share_the_settings(name: str, words: list[str]) -> None:
    steps, tree, lines = steps_after(name, *words)
    assert len(steps) == len(lines) >= 1
    for step, line in zip(steps, lines, strict=True):
        python, m, module, *typed = typed_in(line)
        assert (python, m, module) == ("python", "-m", f"pixelpersona.{step.command}")
        keys = schema_keys(step.schema)
        following = compose_tree(step.command, *quote(typed, keys))
        given = {word.partition("=")[0] for word in step.words}
        compared = [key for key in keys if key.partition(".")[0] in step.shared and key not in given]
        assert len(compared) > len(step.shared) or not step.shared
        for key in compared:
            found = OmegaConf.select(following, key)
            assert OmegaConf.is_dict(found) or found == OmegaConf.select(tree, key), key


@pytest.mark.parametrize(
    ("name", "words", "expected"),
    [
        ("prepare", [], ["next: python -m pixelpersona.train"]),
        ("prepare", ["verify=true"], []),
        (
            "prepare",
            ["dataset=folder", "dataset.path=my photos"],
            ["next: python -m pixelpersona.train dataset=folder 'dataset.path=my photos'"],
        ),
        (
            "train",
            ["experiment=demo", "lora.rank=8"],
            [
                "next: python -m pixelpersona.evaluate paths.runs=runs/demo",
                "  or: python -m pixelpersona.stylize photo=me.jpg out=me.png adapter.path=runs/demo/lora-r8",
            ],
        ),
        ("train", ["method=supervised"], ["next: python -m pixelpersona.evaluate"]),
        (
            "stylize",
            [],
            ["next: python -m pixelpersona.stylize photo=a.jpg out=a-4.png seed=4"],
        ),
        ("pixelate", ["photo=a.gif", "out=a.gif"], []),
        (
            "pretrain",
            ["stage=unet", "unet.precision=bf16", "autoencoder.keep_encoder=false"],
            [
                "next: python -m pixelpersona.pretrain stage=portraits dataset.path=photos "
                "autoencoder.keep_encoder=false unet.precision=bf16"
            ],
        ),
        ("pretrain", ["stage=landmarks"], []),
        (
            "export",
            ["out=merged", "format=merged", "model.path=base", "model.image_size=192"],
            [
                "next: python -m pixelpersona.stylize photo=me.jpg out=me.png model.path=merged "
                "model.image_size=192"
            ],
        ),
    ],
)
def test_the_next_commands_say_no_more_than_needed(name: str, words: list[str], expected: list[str]) -> None:
    assert [line.partition("  #")[0] for line in steps_after(name, *words)[2]] == expected


def test_an_exported_lora_is_drawn_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").touch()
    (line,) = steps_after("export", f"out={tmp_path}", "format=kohya")[2]
    assert f"adapter.path={tmp_path / 'mine.safetensors'}" in typed_in(line)


def test_a_measured_base_is_fine_tuned(tmp_path: Path) -> None:
    words = ["stage=measure", f"paths.runs={tmp_path}", "name=new"]
    assert steps_after("pretrain", *words)[0] == []  # this run has no base of its own
    (tmp_path / "new" / "base").mkdir(parents=True)
    (line,) = steps_after("pretrain", *words)[2]
    assert typed_in(line)[2:] == ["pixelpersona.train", f"model.path={tmp_path / 'new' / 'base'}"]


def test_every_command_but_the_last_names_the_next() -> None:
    missing = [n for n in COMMANDS if not hasattr(importlib.import_module(f"pixelpersona.{n}"), "next_steps")]
    assert missing == ["dashboard"]  # the end of the way


def test_swept_settings_are_left_out() -> None:
    words = ["pixelate.palette=8", "model=sd15", "dataset.limit=5"]
    steps, tree, _ = steps_after("train", *words)
    source = ConfigSource("train", config_folder())
    line = show_steps(steps[:1], tree, source, ["pixelate", "dataset.limit"])[0].partition("  #")[0]
    assert line == "next: python -m pixelpersona.evaluate model=sd15"


@pytest.fixture
def paint(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A command that can be swept and names a next one; `steps=13` fails."""
    monkeypatch.chdir(tmp_path)

    def body(config: Config) -> None:
        if config.steps == 13:
            raise ValueError("unlucky")

    def steps(config: Config) -> list[NextStep]:
        return [NextStep("train", "paint", Config, ("lora", "loss", "paths"), (f"name={config.name}",))]

    def run_folder(config: Config) -> Path:
        return config.paths.runs / config.name

    return command("paint", Config, folder=folder, run_folder=run_folder, next_steps=steps)(body)


def test_a_command_ends_with_them_once_it_has_succeeded(
    paint: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    paint(["lora=r8", "steps=5"])
    assert capsys.readouterr().out == "next: python -m pixelpersona.paint name=lora-r8 lora=r8  # train\n"
    paint(["--cfg", "job"])
    assert "next: " not in capsys.readouterr().out
    with pytest.raises(SystemExit):
        paint(["steps=13"])
    assert "next: " not in capsys.readouterr().out


def test_a_sweep_ends_with_them_once(paint: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    paint(["-m", "loss.weight=5,6", "steps=5,6", "paths.runs=mine"])
    lines = capsys.readouterr().out.splitlines()
    expected = "next: python -m pixelpersona.paint name=lora-r4-weight_5-steps_5 paths.runs=mine  # train"
    assert [line for line in lines if "next: " in line] == [expected] == lines[-1:]
    with pytest.raises(SystemExit):
        paint(["-m", "steps=5,13"])
    assert "next: " not in capsys.readouterr().out


def test_an_extra_configuration_folder_is_named(
    paint: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "more" / "lora").mkdir(parents=True)
    (tmp_path / "more" / "lora" / "mine.yaml").write_text("rank: 3\nalpha: 6\npath: null\n")
    paint(["--config-dir=more", "lora=mine"])
    line = capsys.readouterr().out
    assert line == "next: python -m pixelpersona.paint --config-dir=more name=lora-r3 lora=mine  # train\n"
    paint(typed_in(line)[3:])
    assert capsys.readouterr().out == line
