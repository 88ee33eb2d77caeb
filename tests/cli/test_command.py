"""`command`: the body gets the typed configuration, file names pass unchanged, exit codes, timing."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from PIL import Image

from pixelpersona.cli.command import command
from pixelpersona.cli.overrides import overrides
from pixelpersona.training.interrupt import Interrupted
from tests.cli.paint import Config, Kind

ROOT = Path(__file__).resolve().parents[2]
Call = Callable[..., list[Config]]
Failure = Callable[..., str]


def raising(error: BaseException) -> Callable[[Config], None]:
    def body(config: Config) -> None:
        raise error

    return body


def test_body_gets_the_typed_configuration(call: Call) -> None:
    (config,) = call("lora.rank=6", "loss.kind=huber")
    assert isinstance(config, Config)
    assert (config.lora.rank, config.lora.alpha, config.name) == (6, 6, "lora-r6")
    assert config.loss.kind is Kind.huber
    assert config.steps == 10


@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_experiment_overrides_groups_and_keys(call: Call, plus: str) -> None:
    (config,) = call(f"{plus}experiment=demo")
    assert (config.lora.rank, config.steps) == (8, 20)


@pytest.mark.parametrize(
    "words", [("-m", "lora.rank=4,8"), ("lora=r4,r8", "-m"), ("lora=r4,r8", "-m", "steps=3")]
)
def test_sweep_runs_one_job_per_value(call: Call, words: tuple[str, ...]) -> None:
    assert [config.lora.rank for config in call(*words)] == [4, 8]


def test_single_run_stays_in_its_folder_and_leaves_no_files(call: Call) -> None:
    here = Path.cwd()
    call("lora.rank=8", body=lambda _: None if Path.cwd() == here else pytest.fail("moved"))
    assert list(here.iterdir()) == []


def test_overrides_are_returned_as_typed(call: Call) -> None:
    seen: list[list[str]] = []
    call("lora.rank=8", "photo=a b.jpg", body=lambda _: seen.append(overrides("paint", Config)))
    assert seen == [["lora.rank=8", "photo=a b.jpg"]]


def test_body_sees_the_original_sys_argv(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ["paint.py", "photo=a b.jpg"]
    monkeypatch.setattr(sys, "argv", typed)
    seen: list[list[str]] = []
    call("photo=a b.jpg", body=lambda _: seen.append(sys.argv))
    assert seen == [typed]
    assert sys.argv is typed


def test_arguments_are_read_from_sys_argv(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["paint.py", "lora.rank=6"])
    seen: list[Config] = []
    command("paint", Config, folder=folder)(seen.append)()
    assert seen[0].lora.rank == 6


def test_cfg_prints_the_configuration(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--cfg", "job", "lora.rank=8", "photo=사진 1.jpg", "--resolve") == []
    tree = yaml.safe_load(capsys.readouterr().out)  # paths are plain strings
    assert (tree["lora"], tree["photo"]) == ({"rank": 8, "alpha": 8, "path": None}, "사진 1.jpg")
    assert "hydra" not in tree


def test_config_dir_adds_options(call: Call, tmp_path: Path) -> None:
    (tmp_path / "more" / "lora").mkdir(parents=True)
    (tmp_path / "more" / "lora" / "mine.yaml").write_text("{rank: 5, alpha: 1, path: null}")
    (config,) = call("lora=mine", "--config-dir", str(tmp_path / "more"))
    assert config.lora.rank == 5


def test_the_recorded_command_keeps_the_config_dir(call: Call, tmp_path: Path) -> None:
    folders = (tmp_path / "more", Path("내 conf"))  # one outside of the working directory, one inside
    seen: list[list[str]] = []
    for folder in folders:
        (folder / "lora").mkdir(parents=True)
        (folder / "lora" / "mine.yaml").write_text("{rank: 5, alpha: 1, path: null}")
        call("lora=mine", f"--config-dir={folder}", body=lambda _: seen.append(overrides("paint", Config)))
    assert seen == [[f"--config-dir={folder}", "lora=mine"] for folder in folders]


def test_the_recorded_command_keeps_the_config_name(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "brush.yaml").write_text("defaults: [paint, _self_]\nsteps: 3\n")
    recorded: list[str] = []

    def body(config: Config) -> None:
        assert (config.steps, config.lora.rank) == (3, 8)
        recorded.extend(overrides("paint", Config))

    call("--config-name=brush", f"--config-dir={folder}", "lora.rank=8", body=body)
    assert recorded == [f"--config-dir={folder}", "--config-name=brush", "lora.rank=8"]
    call(*recorded, body=body)
    assert recorded[3:] == recorded[:3]


@pytest.mark.parametrize("flags", [[], ["-m"]])
@pytest.mark.parametrize(
    ("word", "accepted"),
    [
        ("hydra.run.dir=elsewhere", "only the default"),
        ("hydra.run.dir=", "only the default"),
        ("hydra.sweep.subdir=elsewhere", "only the default"),
        ("++hydra.job.chdir=true", "only false"),
        ("hydra.mode=MULTIRUN", "-m in its place"),
    ],
)
def test_a_setting_of_hydra_that_moves_files_or_hides_a_sweep_is_refused(
    failure: Failure, flags: list[str], word: str, accepted: str
) -> None:
    assert failure(*flags, word).startswith(f"{word}: accepted {accepted}")
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("flag", ["--cfg=job", "--info"])
def test_a_sweep_that_only_prints_is_refused(failure: Failure, flag: str) -> None:
    assert failure("-m", "lora.rank=4,8", flag) == "-m: not accepted with --cfg or --info, which run nothing"


def test_info_is_printed_once() -> None:
    words = ["-m", "pixelpersona.pixelate", "--info", "searchpath"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.count("Config search path") == 1


def test_characters_that_the_terminal_lacks_are_escaped(tmp_path: Path) -> None:
    """With ASCII alone, a Korean name is written as escapes: neither an error nor a question mark."""
    Image.new("RGB", (16, 16), "red").save(tmp_path / "사진.png")
    words = ["-m", "pixelpersona.pixelate", "photo=사진.png", "out=그림.png", "pixelate=drawn"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, check=False, cwd=tmp_path, env=environment
    )
    wrote, following, *rest = done.stdout.splitlines()
    assert (done.returncode, wrote, rest) == (0, rb"wrote \uadf8\ub9bc.png", []), done.stderr
    assert following.startswith(rb"next: python -m pixelpersona.stylize 'photo=\uc0ac\uc9c4.png'")
    assert (tmp_path / "그림.png").is_file()


def test_hydra_internals_are_not_used() -> None:
    """`hydra._internal` may change in any release of Hydra; a use that cannot be avoided is listed here."""
    files = (ROOT / "pixelpersona").rglob("*.py")
    uses = [
        file.relative_to(ROOT).as_posix() for file in files if "hydra._internal" in file.read_text("utf-8")
    ]
    assert uses == []


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
def test_odd_file_names_need_no_quotes(call: Call, at: int) -> None:
    photo, lora, model = ODD_NAMES[at : at + 3]
    (config,) = call(f"photo={photo}", f"lora.path={lora}", f"model={model}")
    assert (config.photo, config.lora.path, config.model) == (Path(photo), Path(lora), model)


def test_odd_file_names_in_a_sweep(call: Call) -> None:
    for config in call("photo=a, 'b' (1)\\", "model=${x}=[1,2]", "-m", "lora.rank=4,8"):
        assert (config.photo, config.model) == (Path("a, 'b' (1)\\"), "${x}=[1,2]")


def test_quoted_names_and_null_keep_their_meaning(call: Call) -> None:
    (config,) = call("photo='a b.jpg'", "lora.path=null")
    assert config.photo == Path("a b.jpg")
    assert config.lora.path is None


# --- failures ---------------------------------------------------------------------------------------


def test_a_wrong_value_in_a_sweep_stops_it_before_the_first_job(failure: Failure) -> None:
    ran: list[Config] = []
    line = failure("-m", "lora.rank=4,big", body=ran.append)
    assert line == "lora.rank: 'big' is not accepted; give a whole number"
    assert ran == []


def test_a_failing_job_does_not_stop_the_sweep(failure: Failure) -> None:
    ran: list[int] = []

    def body(config: Config) -> None:
        ran.append(config.lora.rank)
        if config.lora.rank == 4:
            raise ValueError("rank 4 is out")

    assert failure("-m", "lora.rank=4,8", body=body) == "rank 4 is out"
    assert ran == [4, 8]


def test_the_command_runs_again_after_an_error(call: Call, failure: Failure) -> None:
    failure("lora.rnak=8")
    assert call("lora.rank=8")[0].lora.rank == 8


@pytest.mark.parametrize("error", [RuntimeError("a bug"), OSError(5, "Input/output error")])
def test_a_bug_keeps_its_traceback(call: Call, error: Exception) -> None:
    with pytest.raises(type(error), match=r"a bug|Input/output"):
        call(body=raising(error))


def test_full_error_shows_the_traceback_of_a_user_error(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ValueError, match="wrong"):
        call(body=raising(ValueError("wrong")))
    assert os.environ["HYDRA_FULL_ERROR"] == "1"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "stopped\n"),
        (Interrupted(15), 143, "stopped by SIGTERM; the same command continues from here\n"),
    ],
)
def test_a_signal_has_its_own_exit_code(
    call: Call, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, line: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        call(body=raising(error))
    assert caught.value.code == code
    assert capsys.readouterr().err == line


def test_a_config_without_its_schema_is_a_bug(call: Call, folder: Path) -> None:
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
    assert sorted(path.name for path in file.parent.iterdir()) == [".timing.json.lock", "timing.json"]


def test_a_job_that_had_nothing_to_do_keeps_its_earlier_seconds(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "timing.json"
    file.write_text(json.dumps({"paint lora-r4": 51.2, "paint lora-r8": 9.5}))
    call(f"timing={file}", "-m", "lora.rank=4,8", body=lambda config: config.lora.rank != 4)
    stages = json.loads(file.read_text())
    assert stages["paint lora-r4"] == 51.2
    assert stages["paint lora-r8"] != 9.5


@pytest.mark.parametrize("text", ["[]", "3", "{", ""])
def test_a_timing_file_that_is_no_json_object_stops_the_command_before_it_starts(
    failure: Failure, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "timing.json"
    file.write_text(text)
    ran: list[Config] = []
    assert failure(f"timing={file}", body=ran.append).startswith(f"timing={file}: ")
    assert (ran, file.read_text()) == ([], text)


def test_a_failed_job_is_not_timed(failure: Failure, tmp_path: Path) -> None:
    file = tmp_path / "timing.json"
    failure(f"timing={file}", body=raising(ValueError("no")))
    assert not file.exists()


def test_cli_does_not_import_torch() -> None:
    code = "import sys, pixelpersona.cli.command; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
