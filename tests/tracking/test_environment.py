"""W&B's environment variables, and W&B without a home or with folders that cannot be written."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pixelpersona import evaluate, pretrain, train
from pixelpersona.config.train import TrainConfig
from pixelpersona.recipes import finetune
from pixelpersona.tracking.wandb_start import use_writable_folders
from tests.composing import compose_typed
from tests.failing import unprivileged
from tests.tracking.reading import inspect, of_kind
from tests.tracking.starting import default_folders, start_run

pytestmark = pytest.mark.usefixtures("own_home")
ROOT = Path(__file__).resolve().parents[2]
NAMED = {
    "project": "WANDB_PROJECT",
    "entity": "WANDB_ENTITY",
    "group": "WANDB_RUN_GROUP",
    "notes": "WANDB_NOTES",
}


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def call(main: Callable[[list[str]], None], *words: str) -> str:
        with pytest.raises(SystemExit) as stop:
            main(list(words))
        assert stop.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return call


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """The configurations that `train` was called with; nothing is trained."""
    configs: list[TrainConfig] = []
    monkeypatch.setattr(finetune, "finetune", lambda config, *words: configs.append(config))
    return configs


@pytest.mark.parametrize(("key", "variable"), NAMED.items())
def test_a_variable_counts_unless_its_key_is_set(
    key: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "실험, of Kim")
    assert getattr(compose_typed("train").tracker, key) == "실험, of Kim"
    assert getattr(compose_typed("train", f"tracker.{key}=mine").tracker, key) == "mine"
    monkeypatch.delenv(variable)
    assert getattr(compose_typed("train").tracker, key) == ("pixelpersona" if key == "project" else None)


def test_wandb_name_counts_unless_the_run_is_named(
    trained: list[TrainConfig], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WANDB_NAME", "first try")
    runs = f"paths.runs={tmp_path}"
    for words in (
        [],
        ["name=mine"],
        ["name=mine", "tracker.name=shown"],
        ["tracker.name=shown"],
        ["-m", "lora.rank=2,3"],
    ):
        train.main([*words, runs])
    found = [(config.name, config.tracker.name) for config in trained]
    assert found == [
        ("lora-r4", "first try"),
        ("mine", None),
        ("mine", "shown"),
        ("lora-r4", "shown"),
        ("lora-r2", None),
        ("lora-r3", None),
    ]


def test_wandb_run_group_counts_in_a_sweep(
    trained: list[TrainConfig], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WANDB_RUN_GROUP", "ranks")
    train.main(["-m", "lora.rank=2,3", f"paths.runs={tmp_path}"])
    assert [config.tracker.group for config in trained] == ["ranks", "ranks"]


def test_tags_entity_and_notes_reach_the_run(tmp_path: Path) -> None:
    """WANDB_TAGS is read by W&B itself, once per process, so this is a process of its own."""
    code = (
        "from pathlib import Path; from tests.tracking.starting import start_run\n"
        "start_run(Path('default'), entity='kim', notes='a\\nb').finish()\n"
        "start_run(Path('own'), tags=['mine']).finish()\n"
    )
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "WANDB_TAGS": "a,b"}
    subprocess.run([sys.executable, "-c", code], env=env, cwd=tmp_path, check=True)
    runs = [of_kind(inspect(tmp_path / name), "run")[0] for name in ("default", "own")]
    assert [run["tags"] for run in runs] == [["a", "b"], ["mine"]]
    assert (runs[0]["entity"], runs[0]["notes"]) == ("kim", "a\nb")


def test_a_fixed_run_id_is_refused_for_several_runs(
    refused: Callable[..., str],
    trained: list[TrainConfig],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "a1b2c3")
    start = "WANDB_RUN_ID=a1b2c3 is the id of one W&B run, but 2 runs would be recorded; unset it"
    sweep = ["-m", "lora.rank=2,3", f"paths.runs={tmp_path}"]
    assert refused(train.main, *sweep).startswith(start)
    assert refused(evaluate.main, "-m", "eval.seed=0,1", "tracker=wandb").startswith(start)
    assert refused(pretrain.main, f"dataset.path={tmp_path}", "tracker=wandb").startswith(start)
    assert trained == []
    train.main([*sweep, "tracker=none"])
    train.main([f"paths.runs={tmp_path}"])
    assert len(trained) == 3


@pytest.mark.parametrize("mode", ["on-line", "Offline", ""])
@pytest.mark.parametrize("main", [train.main, evaluate.main])
def test_a_wrong_mode_is_named_with_the_accepted_ones(
    main: Callable[[list[str]], None],
    mode: str,
    refused: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("WANDB_MODE", mode)
    line = refused(main, f"paths.runs={tmp_path / 'runs'}", "tracker=wandb")
    assert line == f"WANDB_MODE={mode}: accepted online, offline, disabled, or unset it"
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("WANDB_RESUME", "yes", "WANDB_RESUME=yes: Input should be 'allow', 'must', 'never' or 'auto'"),
        (
            "WANDB_BASE_URL",
            "wandb.example.org",
            "WANDB_BASE_URL=wandb.example.org: Input should be a valid URL",
        ),
        ("WANDB_RUN_ID", "a/b", "W&B: Run ID cannot contain"),
    ],
)
def test_other_wrong_variables_are_named(tmp_path: Path, variable: str, value: str, message: str) -> None:
    """W&B reads them once per process, so each is a process of its own."""
    code = (
        "from pathlib import Path; from tests.tracking.starting import start_run\n"
        "try: start_run(Path('run'))\n"
        "except ValueError as error: print(error)\n"
    )
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), variable: value}
    out = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    (line,) = out.stdout.splitlines()
    assert line.startswith(message)


def test_a_wrong_project_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^W&B: Invalid project name 'a/b'"):
        start_run(tmp_path, project="a/b")


def test_writable_folders_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    default_folders(monkeypatch, tmp_path / "home")
    use_writable_folders(tmp_path / "instead")
    assert "WANDB_DATA_DIR" not in os.environ
    assert capsys.readouterr().err == ""


def test_a_read_only_home_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").mkdir(mode=0o555)
    default_folders(monkeypatch, tmp_path / "home")
    with unprivileged():
        use_writable_folders(tmp_path / "instead")
    assert [os.environ[f"WANDB_{name}_DIR"] for name in ("DATA", "CACHE")] == [
        str(tmp_path / "instead" / name) for name in ("data", "cache")
    ]
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"W&B's own folders cannot be written; {tmp_path / 'instead'} is used instead "
        "(WANDB_DATA_DIR, WANDB_CACHE_DIR)"
    )


@pytest.mark.parametrize("name", ["DATA", "CACHE"])
def test_a_folder_that_was_chosen_is_replaced_when_it_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / "file" / "below"))
    (tmp_path / "weights").write_bytes(b"123")
    tracker = start_run(tmp_path / "run", code=ROOT / "pixelpersona" / "tracking")
    tracker.artifact("lora", "model", [tmp_path / "weights"], {})
    tracker.finish()
    kinds = [artifact.get("type") for artifact in of_kind(inspect(tmp_path / "run"), "artifact")]
    assert {"code", "model"} <= set(kinds)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"is used instead (WANDB_{name}_DIR)")


def test_without_a_home_a_run_is_recorded_completely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    default_folders(monkeypatch, None)
    monkeypatch.delenv("NETRC")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").write_bytes(b"123")
    tracker = start_run(tmp_path / "run")
    tracker.scalars({"train/loss": 1.0}, 1)
    tracker.artifact("lora", "model", [tmp_path / "weights"], {})
    tracker.finish()
    records = inspect(tmp_path / "run")
    assert len(of_kind(records, "history")) == 1
    assert "model" in [artifact.get("type") for artifact in of_kind(records, "artifact")]
    (line,) = capfd.readouterr().err.splitlines()
    assert line.endswith("is used instead (HOME)")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "weights"]  # no folder called ~


def test_an_artifact_that_cannot_be_stored_does_not_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such as on a disk that became full; the weights themselves are in the run folder."""
    (tmp_path / "weights").write_bytes(b"123")
    tracker = start_run(tmp_path / "run")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "weights" / "below"))
    tracker.artifact("lora", "model", [tmp_path / "weights"], {})
    tracker.scalars({"train/loss": 1.0}, 1)
    tracker.finish()
    assert len(of_kind(inspect(tmp_path / "run"), "history")) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("W&B did not accept lora: ")
