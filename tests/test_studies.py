"""Studies: their files agree, and a study runs only when the inputs of its results have changed."""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pixelpersona import train
from pixelpersona.cli.schemas import ConfigSource, register
from pixelpersona.cli.sweeps import plan_sweep
from pixelpersona.config.train import TrainConfig
from pixelpersona.evaluation.result import load_results
from pixelpersona.reporting.table import variant_title
from tests.composing import compose_tree
from tests.making import make

ROOT = Path(__file__).resolve().parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
STUDIES = re.search(r"^STUDIES := (.*)$", MAKEFILE, re.MULTILINE).group(1).split()  # type: ignore[union-attr]


def study_config(study: str) -> Any:
    return yaml.safe_load((ROOT / "conf" / "study" / f"{study}.yaml").read_text(encoding="utf-8"))


def rule(study: str) -> list[str]:
    """The commands in a study's Makefile rule: what follows `$(RUN)`."""
    text = MAKEFILE.partition(f"\nexperiments/{study}/recipe.sha256: ")[2].partition("\n\n")[0]
    return re.findall(r"^\t\$\(RUN\)(.*)$", text, re.MULTILINE)


def variable(name: str) -> str:
    """The value of a Makefile variable."""
    return make(ROOT, "-s", "--eval", f"print:\n\t@echo $({name})", "print").stdout


def test_every_study_has_an_experiment_a_config_and_a_rule() -> None:
    assert STUDIES
    for study in STUDIES:
        assert (ROOT / "conf" / "experiment" / f"{study}.yaml").is_file()
        found = study_config(study)
        assert found["study"]["folder"] == f"experiments/{study}"
        assert found["paths"]["runs"] == f"runs/{study}"
        assert found["study"]["question"].endswith("?")
        assert rule(study)
    assert {path.stem for path in (ROOT / "conf" / "study").glob("*.yaml")} == {*STUDIES, "none"}


@pytest.mark.parametrize("study", STUDIES)
def test_the_committed_readme_shows_the_question_and_every_variant(study: str) -> None:
    """The question of conf/study and the variants of the committed results."""
    text = " ".join((ROOT / "experiments" / study / "README.md").read_text(encoding="utf-8").split())
    found = study_config(study)["study"]
    assert found["question"] in text
    results = load_results(ROOT / "experiments" / study / "results.json")
    for variant in results.variants:
        assert variant_title(variant.variant) in text


@pytest.mark.parametrize("study", STUDIES)
def test_the_config_lists_the_commands_of_the_rule(study: str) -> None:
    commands = study_config(study)["study"]["commands"]
    listed = [command for command in commands if "-m pixelpersona." in command]
    assert [command.removeprefix("python -m pixelpersona.") for command in listed] == rule(study)


@pytest.mark.parametrize("study", STUDIES)
def test_the_report_reads_the_runs_of_the_study(study: str) -> None:
    assert compose_tree("report", f"study={study}").paths.runs == Path("runs", study)


def used_files(command_name: str, words: list[str]) -> set[str]:
    """The files under conf/ from which Hydra composes a command's configuration."""
    tree = compose_tree(command_name, *words)
    choices = {group: option for group, option in tree.hydra.runtime.choices.items() if option}
    return {f"conf/{command_name}.yaml"}.union(
        *(with_parents(group, option) for group, option in choices.items() if "/" not in group)
    )


def with_parents(group: str, option: str) -> set[str]:
    """An option's file, and those of its group that it extends."""
    file = f"conf/{group}/{option}.yaml"
    found = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    parents = [name for name in found.get("defaults", []) if isinstance(name, str) and name != "_self_"]
    return {file}.union(*(with_parents(group, parent) for parent in parents))


@pytest.mark.parametrize("study", STUDIES)
def test_the_recipe_lists_every_configuration_file_that_its_commands_use(study: str) -> None:
    listed = set(variable(f"{study}_FILES").split())
    listed |= {f"conf/{name}.yaml" for name in variable("STUDY_CONF").split()}
    assert all((ROOT / file).is_file() for file in listed)
    # Folders, tracking and the behaviour of Hydra do not change results.
    irrelevant = re.compile(r"conf/(paths|tracker|hydra)/")
    register("train", TrainConfig)
    for command in rule(study):
        command_name, *words = command.split()
        if command_name == "report":
            continue
        jobs: list[list[str]] = [words]
        if words[0] == "-m":
            sweep = plan_sweep(words[1:], ConfigSource("train", ROOT / "conf"), train.run_folder)
            jobs = [list(job.overrides) for job in sweep.jobs]
        for job in jobs:
            missing = {file for file in used_files(command_name, job) if not irrelevant.match(file)} - listed
            assert not missing, (command, missing)


# --- the Makefile rules, with a stub in place of Python -------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile and conf/ with stand-ins for the assets, and a `python` that only logs its arguments."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    for name in ("tiny/unet/weights", "persona/weights", "portraits/0.webp"):
        file = tmp_path / "pixelpersona" / "assets" / name
        file.parent.mkdir(parents=True)
        file.write_text(name)
    lora = tmp_path / "pixelpersona" / "assets" / "lora" / "pytorch_lora_weights.safetensors"
    lora.parent.mkdir()
    lora.write_text("lora")
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    stub = f"""#!{sys.executable}
import pathlib, sys
study = sys.argv[-1].partition("=")[2] if "study=" in sys.argv[-1] else ""
if pathlib.Path("broken").exists() and "pixelpersona.evaluate" in sys.argv:
    sys.exit(2)
with open("log", "a") as log:
    log.write(" ".join(sys.argv[2:]) + "\\n")
if study:
    pathlib.Path("experiments", study).mkdir(parents=True, exist_ok=True)
"""
    python.write_text(stub)
    python.chmod(0o755)
    (tmp_path / ".venv" / ".installed").touch()
    return tmp_path


def called(checkout: Path, target: str, code: int = 0) -> list[str]:
    """The commands that `make target` called, without `pixelpersona.`."""
    (checkout / "log").unlink(missing_ok=True)
    done = make(checkout, target)
    assert done.returncode == code, done.stderr
    log = checkout / "log"
    return log.read_text().replace("pixelpersona.", "").splitlines() if log.exists() else []


def test_a_study_runs_once_and_again_only_when_its_recipe_changed(checkout: Path) -> None:
    assert called(checkout, "studies") == [command for study in STUDIES for command in rule(study)]
    assert called(checkout, "studies") == []
    for file in checkout.rglob("*.yaml"):  # as in a fresh checkout: only the modification times differ
        os.utime(file, (2e9, 2e9))
    assert called(checkout, "studies") == []

    entry = checkout / "conf" / "study" / "rank_sweep.yaml"
    entry.write_text(entry.read_text() + "# a comment\n")
    assert called(checkout, "studies") == []
    palettes = checkout / "conf" / "eval" / "palettes.yaml"
    palettes.write_text(palettes.read_text().replace("8, 32", "8, 64"))
    assert called(checkout, "studies") == rule("palette_size")
    (checkout / "pixelpersona" / "assets" / "tiny" / "unet" / "weights").write_text("another base")
    assert len(called(checkout, "studies")) == sum(len(rule(study)) for study in STUDIES)


def test_one_study_can_be_run_by_name(checkout: Path) -> None:
    assert called(checkout, "study-rank_sweep") == rule("rank_sweep")
    assert called(checkout, "study-rank_sweep") == []
    (checkout / "experiments" / "rank_sweep" / "recipe.sha256").unlink()
    assert called(checkout, "study-rank_sweep") == rule("rank_sweep")


def test_a_study_that_failed_is_not_recorded(checkout: Path) -> None:
    (checkout / "broken").touch()
    trainings = [command for command in rule("rank_sweep") if command.startswith("train ")]
    assert called(checkout, "study-rank_sweep", code=2) == trainings  # broken: evaluate
    assert not (checkout / "experiments" / "rank_sweep" / "recipe.sha256").exists()
    trained = checkout / "runs" / "rank_sweep" / "lora-r4"
    trained.mkdir()
    (checkout / "broken").unlink()
    assert called(checkout, "study-rank_sweep") == rule("rank_sweep")
    assert trained.is_dir()  # the study was continued


def test_a_study_of_another_recipe_begins_anew(checkout: Path) -> None:
    (checkout / "broken").touch()
    called(checkout, "study-rank_sweep", code=2)
    trained = checkout / "runs" / "rank_sweep" / "lora-r4"
    trained.mkdir()
    recipe = checkout / "conf" / "experiment" / "rank_sweep.yaml"
    recipe.write_text(recipe.read_text().replace("4,8", "4,16"))
    (checkout / "broken").unlink()
    assert called(checkout, "study-rank_sweep") == rule("rank_sweep")
    assert not trained.exists()
    (checkout / "experiments" / "rank_sweep" / "recipe.sha256").unlink()
    trained.mkdir()
    assert called(checkout, "study-rank_sweep") == rule("rank_sweep")
    assert not trained.exists()  # a finished study that is asked for again is made anew


def test_the_environment_of_the_tests_is_not_installed_into(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make test VENV=OTHER` sets VENV for the tests, whose checkout must not be installed there."""
    other = tmp_path / "other"
    shutil.copytree(checkout / ".venv", other)
    (other / ".installed").unlink()
    before = {path: path.stat().st_mtime_ns for path in other.rglob("*")}
    monkeypatch.setenv("VENV", str(other))
    monkeypatch.setenv("MAKEFLAGS", f" -- VENV={other}")
    assert called(checkout, "study-rank_sweep") == rule("rank_sweep")
    assert {path: path.stat().st_mtime_ns for path in other.rglob("*")} == before


# --- the demo, and cleaning -----------------------------------------------------------------------------


def test_the_demo_keeps_what_an_earlier_call_has_made(checkout: Path) -> None:
    made = checkout / "runs" / "demo" / "lora-r4" / "finished.json"
    made.parent.mkdir(parents=True)
    made.write_text("{}")
    commands = called(checkout, "demo")
    assert [command.split()[0] for command in commands if "experiment=demo" in command] == [
        *("prepare", "train", "train", "evaluate", "stylize", "report"),
    ]
    assert made.read_text() == "{}"
    assert called(checkout, "demo") == commands


def test_clean_deletes_caches_and_clean_runs_the_runs(checkout: Path) -> None:
    weights, cache, compiled = (
        checkout / name
        for name in ("runs/lora-r8/weights", ".cache/pairs/a", "pixelpersona/__pycache__/a.pyc")
    )
    for file in (weights, cache, compiled):
        file.parent.mkdir(parents=True)
        file.touch()
    called(checkout, "clean")
    assert [file.exists() for file in (weights, cache, compiled)] == [True, False, False]
    done = make(checkout, "clean-runs")
    assert (done.returncode, weights.exists(), (checkout / "runs").exists()) == (0, False, False)
    assert "lora-r8" in done.stdout
    assert make(checkout, "clean-runs").stdout == "clean-runs: there is no runs/\n"
    assert (checkout / ".venv" / ".installed").exists()


def test_help_lists_every_documented_target(checkout: Path) -> None:
    shown = make(checkout, "help").stdout
    assert re.search(r"^  make clean +remove caches", shown, re.MULTILINE)
    assert re.search(r"^  make clean-runs +delete runs/", shown, re.MULTILINE)
