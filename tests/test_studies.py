"""The lab notebook's rules: a study runs when what its numbers are made of has changed, and only then."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir

from pixelpersona import evaluate, train
from pixelpersona.config import register
from pixelpersona.sweep import plan_sweep

ROOT = Path(__file__).resolve().parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
STUDIES = re.search(r"^STUDIES := (.*)$", MAKEFILE, re.MULTILINE).group(1).split()  # type: ignore[union-attr]


def notebook(study: str) -> Any:
    return yaml.safe_load((ROOT / "conf" / "notebook" / f"{study}.yaml").read_text(encoding="utf-8"))


def rule(study: str) -> list[str]:
    """The commands of a study's rule that are doors: what follows `$(DOOR)`."""
    text = MAKEFILE.partition(f"\nexperiments/{study}/recipe.sha256: ")[2].partition("\n\n")[0]
    return re.findall(r"^\t\$\(DOOR\)(.*)$", text, re.MULTILINE)


def variable(name: str) -> str:
    made = subprocess.run(
        ["make", "-s", "--no-print-directory", "-f", "Makefile", "-f", "-", "print"],
        cwd=ROOT, input=f"print:\n\t@echo $({name})\n", capture_output=True, text=True, check=True,
    )  # fmt: skip
    return made.stdout


def test_every_study_has_an_experiment_an_entry_and_a_rule() -> None:
    assert STUDIES
    for study in STUDIES:
        assert (ROOT / "conf" / "experiment" / f"{study}.yaml").is_file()
        entry = notebook(study)
        assert entry["study"] == f"experiments/{study}"
        assert entry["paths"]["runs"] == f"runs/{study}"
        assert entry["question"].endswith("?")
        assert len(entry["notes"]) > 100
        assert len(entry["would_change"]) > 100
    assert {path.stem for path in (ROOT / "conf" / "notebook").glob("*.yaml")} == set(STUDIES)


@pytest.mark.parametrize("study", STUDIES)
def test_the_entry_tells_the_rules_commands(study: str) -> None:
    told = [command for command in notebook(study)["commands"] if "-m pixelpersona." in command]
    assert [command.removeprefix("python -m pixelpersona.") for command in told] == rule(study)


def used_files(door: str, words: list[str]) -> set[str]:
    """The files under conf/ that Hydra composes a command's settings of."""
    with initialize_config_dir(str(ROOT / "conf"), version_base=None):
        tree = compose(door, words, return_hydra_config=True)
    choices = {group: option for group, option in tree.hydra.runtime.choices.items() if option}
    return {f"conf/{door}.yaml"}.union(
        *(with_parents(group, option) for group, option in choices.items() if "/" not in group)
    )


def with_parents(group: str, option: str) -> set[str]:
    """An option's file, and those of its group that it builds upon."""
    file = f"conf/{group}/{option}.yaml"
    found = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    parents = [name for name in found.get("defaults", []) if isinstance(name, str) and name != "_self_"]
    return {file}.union(*(with_parents(group, parent) for parent in parents))


@pytest.mark.parametrize("study", STUDIES)
def test_the_recipe_holds_every_setting_that_the_commands_use(study: str) -> None:
    listed = set(variable(f"{study}_FILES").split())
    listed |= {f"conf/{name}.yaml" for name in variable("STUDY_CONF").split()}
    assert all((ROOT / file).is_file() for file in listed)
    # Where files go, who is told, how Hydra behaves: none of it changes a number.
    harmless = re.compile(r"conf/(paths|tracker|hydra)/")
    for door, schema in (("train", train.TrainConfig), ("evaluate", evaluate.EvaluateConfig)):
        register("", f"{door}_schema", schema)
    for command in rule(study):
        door, *words = command.split()
        if door == "report":
            continue
        jobs: list[list[str]] = [words]
        if words[0] == "-m":
            sweep = plan_sweep(words[1:], "train", ROOT / "conf", train.run_folder)
            jobs = [list(job.overrides) for job in sweep.jobs]
        for job in jobs:
            missing = {file for file in used_files(door, job) if not harmless.match(file)} - listed
            assert not missing, (command, missing)


# --- the mechanism, with a stub in place of Python ------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile and conf/ beside small stand-ins for the assets, and a python that only writes down."""
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
study = sys.argv[-1].partition("=")[2] if "notebook=" in sys.argv[-1] else ""
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


def make(checkout: Path, target: str, code: int = 0) -> list[str]:
    """The doors that `make target` called, without `pixelpersona.`."""
    (checkout / "log").unlink(missing_ok=True)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(
        ["make", target], cwd=checkout, env=clean, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    log = checkout / "log"
    return log.read_text().replace("pixelpersona.", "").splitlines() if log.exists() else []


def test_a_study_runs_once_and_again_only_when_its_recipe_changed(checkout: Path) -> None:
    assert make(checkout, "studies") == [command for study in STUDIES for command in rule(study)]
    assert make(checkout, "studies") == []
    for file in checkout.rglob("*.yaml"):  # a fresh checkout: other times, the same content
        os.utime(file, (2e9, 2e9))
    assert make(checkout, "studies") == []

    entry = checkout / "conf" / "notebook" / "rank_sweep.yaml"
    entry.write_text(entry.read_text() + "# a typing mistake mended\n")
    assert make(checkout, "studies") == []
    palettes = checkout / "conf" / "eval" / "palettes.yaml"
    palettes.write_text(palettes.read_text().replace("8, 32", "8, 64"))
    assert make(checkout, "studies") == rule("palette_size")
    (checkout / "pixelpersona" / "assets" / "tiny" / "unet" / "weights").write_text("another base")
    assert len(make(checkout, "studies")) == sum(len(rule(study)) for study in STUDIES)


def test_one_study_by_its_name(checkout: Path) -> None:
    assert make(checkout, "study-rank_sweep") == rule("rank_sweep")
    assert make(checkout, "study-rank_sweep") == []
    (checkout / "experiments" / "rank_sweep" / "recipe.sha256").unlink()
    assert make(checkout, "study-rank_sweep") == rule("rank_sweep")


def test_a_study_that_failed_is_not_recorded(checkout: Path) -> None:
    (checkout / "broken").touch()
    assert make(checkout, "study-rank_sweep", code=2) == rule("rank_sweep")[:1]
    assert not (checkout / "experiments" / "rank_sweep" / "recipe.sha256").exists()
    (checkout / "broken").unlink()
    assert make(checkout, "study-rank_sweep") == rule("rank_sweep")
