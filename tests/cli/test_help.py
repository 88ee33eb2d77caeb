"""`--help`: every key with its value and a description, the groups in use, examples that work."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

import pytest
import yaml

from pixelpersona.cli.command import command
from pixelpersona.cli.help import EXAMPLES, parse_docstring, print_help
from pixelpersona.cli.schemas import ConfigSource, config_folder, group_names, register, schema_keys
from tests.cli.paint import Config, Loss
from tests.composing import COMMANDS, root_schema

ROOT = Path(__file__).resolve().parents[2]

Help = Callable[..., str]


@pytest.fixture
def help_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Help:
    """The help of one of the project's commands."""
    monkeypatch.setenv("COLUMNS", "100")

    def call(name: str, *words: str) -> str:
        register(name, root_schema(name))
        print_help(name, root_schema(name), words, ConfigSource(name, config_folder()))
        return capsys.readouterr().out

    return call


@pytest.fixture
def help_of_paint(
    call: Callable[..., list[Config]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Help:
    """What `paint --help` prints, without running the body."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*words: str) -> str:
        assert call(*words) == []
        return capsys.readouterr().out

    return run


def descriptions(text: str) -> dict[str, str]:
    """key -> description, as printed."""
    found: dict[str, str] = {}
    key = ""
    for line in text.splitlines():
        if match := re.match(r"  ([\w.]+)=", line):
            key = match.group(1)
            found[key] = ""
        if not line.startswith("  "):
            key = ""
        elif key and (match := re.search(r"(?:^ {34}|\S {2,})(\S.*)$", line)):
            found[key] += match.group(1)
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_key_is_listed_with_a_description(name: str, help_of: Help) -> None:
    shown = descriptions(help_of(name))
    keys = [name for name, key in schema_keys(root_schema(name)).items() if not is_dataclass(key.kind)]
    assert sorted(shown) == sorted(keys)
    assert [key for key in keys if not shown[key].removeprefix("required:").strip()] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_docstrings_describe_existing_keys_only(name: str) -> None:
    schemas = [root_schema(name), *(key.kind for key in schema_keys(root_schema(name)).values())]
    for schema in filter(is_dataclass, schemas):
        assert parse_docstring(schema)[1].keys() <= {field.name for field in fields(schema)}, schema


@pytest.mark.parametrize("name", COMMANDS)
def test_only_the_groups_in_use_are_listed(name: str, help_of: Help) -> None:
    listed = yaml.safe_load((config_folder() / f"{name}.yaml").read_text(encoding="utf-8"))["defaults"]
    used = {group for entry in listed if isinstance(entry, dict) for group in entry}
    shown = re.findall(r"^group (\w+): ", help_of(name), re.MULTILINE)
    assert set(shown) == used
    assert len(shown) == len(used)
    assert used <= group_names(config_folder())


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_compose(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 <= len(EXAMPLES[name]) <= 3
    for example in EXAMPLES[name]:
        ran: list[object] = []
        command(name, root_schema(name))(ran.append)(shlex.split(example))
        assert ran, capsys.readouterr().err


@pytest.fixture(scope="module")
def loaded_torch() -> dict[str, bool]:
    """Command -> whether torch is imported after its --help, in a fresh interpreter."""
    code = f"""
import contextlib, importlib, io, json, sys
loaded = {{}}
for name in {[*COMMANDS]}:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        importlib.import_module("pixelpersona." + name).main(["--help"])
    assert out.getvalue().startswith("usage: python -m pixelpersona." + name), name
    loaded[name] = "torch" in sys.modules
print(json.dumps(loaded))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    loaded: dict[str, bool] = json.loads(done.stdout)
    return loaded


@pytest.mark.parametrize("name", COMMANDS)
def test_help_does_not_import_torch(name: str, loaded_torch: dict[str, bool]) -> None:
    assert not loaded_torch[name]


# --- layout -----------------------------------------------------------------------------------------


def test_the_whole_text(help_of_paint: Help) -> None:
    text = help_of_paint("--help", "lora=r8", "photo=my photo.jpg", "steps=???")
    assert (
        text.split("flags\n")[0]
        == """\
usage: python -m pixelpersona.paint [flags] [key=value | group=option] ...

Paint a picture.

keys
  name=lora-r8                  name of the run.
  timing=null                   timing file.
  photo=my photo.jpg            the photo.
  model=tiny                    a model.
  steps=...                     required: number of steps.

loss
  The loss.
  loss.kind=mse                 mse or huber.
  loss.weight=1.0               factor on the loss.
  loss.betas=[0.9, 0.999]       a list of numbers, with a description that is
                                long enough to be continued on a second line.

group lora: r4, r8 (chosen), unfinished
  A LoRA.
  lora.rank=8                   1 or more.
  lora.alpha=8                  the rank unless given.
  lora.path=null                file to start from.

group paths: default (chosen)
  Where files go.
  paths.runs=runs               run folders.
  paths.cache=.cache            caches.

group experiment: demo, misspelt
  Settings of several groups at once, for one study or data set.

group hydra: default (chosen)
  Where the jobs of a sweep run: one after another, in several processes, or on
  a Slurm cluster.

"""
    )


@pytest.mark.parametrize("width", [40, 80, 200])
def test_lines_fit_the_terminal(width: int, help_of_paint: Help, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = help_of_paint("-h", "name=a-name-that-is-too-long-for-the-first-column")
    assert max(map(len, text.splitlines())) <= width
    assert text.isascii()


def test_an_interpolation_that_cannot_be_resolved_is_shown_as_it_is(help_of_paint: Help) -> None:
    assert "name=${steps}" in help_of_paint("--help", "name=${steps}", "steps=???")


def test_swept_keys_show_their_configured_value(help_of_paint: Help) -> None:
    assert "lora.rank=4 " in help_of_paint("--help", "-m", "lora.rank=8,16")


def test_options_of_config_dir_are_listed(help_of_paint: Help, tmp_path: Path) -> None:
    (tmp_path / "more" / "lora").mkdir(parents=True)
    (tmp_path / "more" / "lora" / "mine.yaml").write_text("{rank: 5, alpha: 1, path: null}")
    assert "group lora: mine, r4 (chosen), r8" in help_of_paint(
        "--help", "--config-dir", str(tmp_path / "more")
    )


def test_a_wrong_override_is_one_line(failure: Callable[..., str]) -> None:
    assert failure("--help", "lora.rnak=8") == "lora.rnak: no such key. Did you mean lora.rank?"


def test_a_closed_pipe_is_no_error() -> None:
    code = (
        "from pixelpersona.cli.help import _Page; page = _Page(80); page.lines = ['x'] * 99999; page.print()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_terminal_without_unicode() -> None:
    """Help is printed as every command prints, with characters escaped that the encoding lacks."""
    words = ["-m", "pixelpersona.pixelate", "--help", "photo=사진.jpg"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, check=True, cwd=ROOT, env=environment
    )
    assert rb"photo=\uc0ac\uc9c4.jpg" in done.stdout


def test_docstring_of_a_schema() -> None:
    summary, texts = parse_docstring(Loss)
    assert summary == "The loss."
    assert texts["betas"].endswith("long enough to be continued on a second line.")
    assert list(texts) == ["kind", "weight", "betas"]


def test_docstring_of_a_derived_schema() -> None:
    @dataclass
    class Special(Loss):
        """A special loss.

        kind: always mse.
        extra: a key of its own.
        """

        extra: int

    summary, texts = parse_docstring(Special)
    assert summary == "A special loss."
    assert list(texts) == ["kind", "weight", "betas", "extra"]
    assert (texts["kind"], texts["weight"]) == ("always mse.", "factor on the loss.")
