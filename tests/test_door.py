"""The door: any file name goes through, every mistake is one line and exit code 2."""

import enum
import json
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from pixelpersona.config import config_folder, to_yaml
from pixelpersona.door import command_line, door, overrides
from pixelpersona.pixel.photo import PhotoError


class Kind(enum.Enum):
    mse = "mse"
    huber = "huber"


@dataclass(kw_only=True, slots=True)
class Paths:
    runs: Path = Path("runs")
    cache: Path = Path(".cache")


@dataclass(kw_only=True, slots=True)
class Lora:
    rank: int = 4
    alpha: int = "${.rank}"  # type: ignore[assignment]
    path: Path | None = None


@dataclass(kw_only=True, slots=True)
class Loss:
    kind: Kind = Kind.mse
    weight: float = 1.0
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])


@dataclass(kw_only=True, slots=True)
class Config:
    lora: Lora = field(default_factory=Lora)
    loss: Loss = field(default_factory=Loss)
    paths: Paths = field(default_factory=Paths)
    photo: Path | None = None
    model: str = field(default="tiny", metadata={"path": True})
    steps: int = "???"  # type: ignore[assignment]
    name: str = "lora-r${lora.rank}"
    timing: Path | None = None


FILES = {
    "paint.yaml": """
        defaults:
          - paint_schema
          - _self_
          - hydra: default
          - paths: default
          - lora: r4
          - experiment: null
        steps: 10
    """,
    "lora/r4.yaml": "rank: 4",
    "lora/r8.yaml": "rank: 8",
    "experiment/demo.yaml": """
        # @package _global_
        defaults:
          - override /lora: r8
        steps: 20
    """,
    "experiment/misspelt.yaml": """
        # @package _global_
        lora:
          rnak: 3
    """,
}

SHARED = ("hydra/default", "paths/default")  # read from the project's conf/
Call = Callable[..., list[Config]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small configuration tree that includes the project's own hydra and paths groups."""
    real = {f"{name}.yaml": (config_folder() / f"{name}.yaml").read_text() for name in SHARED}
    for name, text in (FILES | real).items():
        file = tmp_path / "conf" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip("\n"))
    return tmp_path / "conf"


@pytest.fixture
def call(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run the door `paint` in an empty folder: the configurations its body was given."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def run(*words: str, body: Callable[[Config], None] | None = None) -> list[Config]:
        seen: list[Config] = []

        @door("paint", Config, folder=folder)
        def main(config: Config) -> None:
            seen.append(config)
            if body is not None:
                body(config)

        main(list(words))
        return seen

    return run


def failure(call: Call, capsys: pytest.CaptureFixture[str], *words: str, body: Any = None) -> str:
    """The one line a failing call writes."""
    with pytest.raises(SystemExit) as caught:
        call(*words, body=body)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith("\n")
    assert captured.err.count("\n") == 1, captured.err
    return captured.err.rstrip("\n")


# --- what arrives -----------------------------------------------------------------------------------


def test_body_gets_the_typed_configuration(call: Call) -> None:
    (config,) = call("lora.rank=6", "loss.kind=huber")
    assert isinstance(config, Config)
    assert (config.lora.rank, config.lora.alpha, config.name) == (6, 6, "lora-r6")
    assert config.loss.kind is Kind.huber
    assert config.steps == 10


def test_experiment_overrides_groups_and_keys(call: Call) -> None:
    (config,) = call("experiment=demo")
    assert (config.lora.rank, config.steps) == (8, 20)


@pytest.mark.parametrize("words", [("-m", "lora.rank=4,8"), ("lora=r4,r8", "-m")])
def test_sweep_runs_one_job_per_value(call: Call, words: tuple[str, ...]) -> None:
    assert [config.lora.rank for config in call(*words)] == [4, 8]


def test_single_run_leaves_nothing_behind_and_stays_in_its_folder(call: Call) -> None:
    here = Path.cwd()
    call("lora.rank=8", body=lambda _: None if Path.cwd() == here else pytest.fail("moved"))
    assert list(here.iterdir()) == []


def test_overrides_are_known_to_the_body(call: Call) -> None:
    seen: list[list[str]] = []
    call("lora.rank=8", "photo=a b.jpg", body=lambda _: seen.append(overrides(Config)))
    assert seen == [["lora.rank=8", "photo=a b.jpg"]]


def test_a_command_is_told_as_a_shell_takes_it() -> None:
    told = command_line("train", ["lora.rank=8", "timing=t.json", "photo=a b.jpg", "lora.targets=[to_q]"])
    assert told == "python -m pixelpersona.train lora.rank=8 'photo=a b.jpg' 'lora.targets=[to_q]'"


def test_yaml_of_a_configuration_is_plain_and_resolved(call: Call) -> None:
    (config,) = call("photo=사진 1.jpg")
    tree = OmegaConf.create(to_yaml(config))
    assert tree.photo == "사진 1.jpg"
    assert tree.lora.alpha == 4
    assert "!!python" not in to_yaml(config)


# --- file names -------------------------------------------------------------------------------------

ODD_NAMES = [
    "내 사진 (1).jpg",
    "a=b.jpg",
    "a,1.jpg",
    "[x]{y}.jpg",
    "it's.jpg",
    'say "hi".jpg',
    "back\\slash\\",
    "${photo}.jpg",
    "\\${photo}\\\\",
    " two  spaces ",
    "#1 @home $5 !.jpg",
    "-m",
    "true",
    "3",
    "'",
]


@pytest.mark.parametrize("at", range(0, len(ODD_NAMES), 3))
def test_odd_file_names_arrive_unquoted(call: Call, at: int) -> None:
    photo, lora, model = ODD_NAMES[at : at + 3]
    (config,) = call(f"photo={photo}", f"lora.path={lora}", f"model={model}")
    assert (config.photo, config.lora.path, config.model) == (Path(photo), Path(lora), model)


def test_odd_file_names_pass_a_sweep(call: Call) -> None:
    for config in call("photo=a, 'b' (1)\\", "model=${x}=[1,2]", "-m", "lora.rank=4,8"):
        assert (config.photo, config.model) == (Path("a, 'b' (1)\\"), "${x}=[1,2]")


def test_quoted_names_and_null_keep_their_meaning(call: Call) -> None:
    (config,) = call("photo='a b.jpg'", "lora.path=null")
    assert config.photo == Path("a b.jpg")
    assert config.lora.path is None


# --- mistakes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("lora.rnak=8", "lora.rnak: no such key. Did you mean lora.rank?"),
        ("+lora.rnak=8", "lora.rnak: no such key. Did you mean lora.rank?"),
        ("rank=8", "rank: no such key. Did you mean lora.rank?"),
        ("lroa=r8", "lroa: no such key. Did you mean lora?"),
        ("lora.zzz=8", "lora.zzz: no such key. Keys here: lora.alpha, lora.path, lora.rank."),
        ("lora=r88", "lora=r88: no such option. Did you mean r8? Options: r4, r8."),
        ("experiment=dmeo", "experiment=dmeo: no such option. Did you mean demo? Options: demo, misspelt."),
        ("lora.rank=big", "lora.rank: 'big' is not accepted; give a whole number"),
        ("lora.rank=1.5", "lora.rank: '1.5' is not accepted; give a whole number"),
        ("lora.rank=null", "lora.rank: null is not accepted; give a whole number"),
        ("loss.kind=mes", "loss.kind: 'mes' is not accepted; give one of mse, huber"),
        ("loss.weight=x", "loss.weight: 'x' is not accepted; give a number"),
        ("loss.betas=[x]", "loss.betas[0]: 'x' is not accepted; give a list, [a, b], each a number"),
        (
            "experiment=misspelt",
            "conf/experiment/misspelt.yaml: lora.rnak: no such key. Did you mean lora.rank?",
        ),
        ("steps=???", "steps: is missing; give steps=..."),
        ("lora.rank=4,8", "lora.rank=4,8: several values are a sweep; add -m, or quote the value"),
        ("lora.rank=(", "lora.rank=(: cannot be read; write key=value, and quote odd characters: key='a, b'"),
        ("rank", "rank: cannot be read; write key=value, and quote odd characters: key='a, b'"),
        ("--rank", "--rank: no such flag; settings are given as key=value (see --help)"),
    ],
)
def test_a_wrong_setting_is_one_line(
    call: Call, capsys: pytest.CaptureFixture[str], word: str, line: str
) -> None:
    assert failure(call, capsys, word) == line


def test_a_wrong_value_in_a_sweep_stops_it_before_the_first_job(
    call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[Config] = []
    line = failure(call, capsys, "-m", "lora.rank=4,big", body=ran.append)
    assert line == "lora.rank: 'big' is not accepted; give a whole number"
    assert ran == []


def raising(error: BaseException) -> Callable[[Config], None]:
    def body(config: Config) -> None:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("lora.path: no folder\n  accepted: a file"), "lora.path: no folder accepted: a file"),
        (FileNotFoundError(2, "No such file or directory", "me.jpg"), "me.jpg: no such file or directory"),
        (FileNotFoundError("checkpoint step-7 is gone"), "checkpoint step-7 is gone"),
        (NotADirectoryError(20, "Not a directory", "x/y"), "x/y: not a directory"),
        (PhotoError("not a picture", "me.jpg"), "me.jpg: not a picture"),
        (OSError(28, "No space left on device"), "cannot be written: No space left on device"),
        (OSError(30, "Read-only file system", "x"), "x: cannot be written (Read-only file system)"),
        (Exception("No space left on device (os error 28)"), "cannot be written: No space left on device"),
    ],
)
def test_a_users_mistake_in_the_body_is_one_line(
    call: Call, capsys: pytest.CaptureFixture[str], error: Exception, line: str
) -> None:
    assert failure(call, capsys, body=raising(error)) == line


def test_a_failing_job_does_not_stop_the_sweep(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    ran: list[int] = []

    def body(config: Config) -> None:
        ran.append(config.lora.rank)
        if config.lora.rank == 4:
            raise ValueError("rank 4 is out")

    assert failure(call, capsys, "-m", "lora.rank=4,8", body=body) == "rank 4 is out"
    assert ran == [4, 8]


def test_the_door_opens_again_after_a_mistake(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    failure(call, capsys, "lora.rnak=8")
    assert call("lora.rank=8")[0].lora.rank == 8


@pytest.mark.parametrize("error", [RuntimeError("a bug"), OSError(5, "Input/output error")])
def test_a_bug_keeps_its_traceback(call: Call, error: Exception) -> None:
    with pytest.raises(type(error), match=r"a bug|Input/output"):
        call(body=raising(error))


def test_full_error_shows_the_traceback_of_a_mistake(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ValueError, match="wrong"):
        call(body=raising(ValueError("wrong")))


def test_an_interrupt_exits_with_130(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        call(body=raising(KeyboardInterrupt()))
    assert caught.value.code == 130
    assert capsys.readouterr().err == "stopped\n"


def test_a_config_without_its_schema_is_the_developers_mistake(call: Call, folder: Path) -> None:
    file = folder / "paint.yaml"
    file.write_text(file.read_text().replace("  - paint_schema\n", ""))
    with pytest.raises(TypeError, match="must begin with paint_schema"):
        call()


# --- timing -----------------------------------------------------------------------------------------


def test_timing_file_collects_stages(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "runs" / "timing.json"
    call(f"timing={file}", "name=first")
    call(f"timing={file}", "-m", "lora.rank=4,8")
    stages = json.loads(file.read_text())
    assert list(stages) == ["paint first", "paint lora-r4", "paint lora-r8"]
    assert all(isinstance(seconds, float) and seconds >= 0 for seconds in stages.values())
    assert [path.name for path in file.parent.iterdir()] == ["timing.json"]


def test_a_failed_job_is_not_timed(call: Call, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "timing.json"
    failure(call, capsys, f"timing={file}", body=raising(ValueError("no")))
    assert not file.exists()
