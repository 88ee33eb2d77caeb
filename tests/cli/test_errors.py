"""Errors of the user: one line, exit code 2."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.errors import MissingConfigException

from pixelpersona.cli.errors import explain
from pixelpersona.pixel.photo import PhotoError
from tests.cli.paint import Config

Failure = Callable[..., str]


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("lora.rnak=8", "lora.rnak: no such key. Did you mean lora.rank?"),
        ("+lora.rnak=8", "lora.rnak: no such key. Did you mean lora.rank?"),
        ("rank=8", "rank: no such key. Did you mean lora.rank?"),
        ("lroa=r8", "lroa: no such key. Did you mean lora?"),
        ("lora.zzz=8", "lora.zzz: no such key. Keys here: lora.alpha, lora.path, lora.rank."),
        ("lora=r88", "lora=r88: no such option. Did you mean r8? Options: r4, r8, unfinished."),
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
        ("lora=unfinished", "lora.alpha: is missing; give lora.alpha=..."),
        ("lora.rank=4,8", "lora.rank=4,8: several values are a sweep; add -m, or quote the value"),
        ("loss.betas=1,2", "loss.betas=[1],[2]: several values are a sweep; add -m, or give one list, [a,b]"),
        ("lora.rank=(", "lora.rank=(: cannot be read; write key=value, and quote odd characters: key='a, b'"),
        ("rank", "rank: cannot be read; write key=value, and quote odd characters: key='a, b'"),
        ("--config-dir=nowhere", "--config-dir=nowhere: no such folder"),
        ("--rank", "--rank: no such flag; settings are given as key=value (see --help)"),
    ],
)
def test_a_wrong_setting(failure: Failure, word: str, line: str) -> None:
    assert failure(word) == line


def test_a_key_missing_in_conf(failure: Failure, folder: Path) -> None:
    file = folder / "paint.yaml"
    file.write_text("".join(line for line in file.open() if "weight" not in line and "steps" not in line))
    assert failure("steps=1") == "loss.weight: is missing; give loss.weight=..."
    assert failure("loss.weight=1") == "steps: is missing; give steps=..."
    assert failure("-m", "lora.rank=4", "steps=1") == "loss.weight: is missing; give loss.weight=..."


def test_an_interpolation_of_a_missing_key(failure: Failure) -> None:
    assert failure("name=${steps}", "steps=???") == "steps: is missing; give steps=..."


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("lora.path: no folder\n  accepted: a file"), "lora.path: no folder accepted: a file"),
        (FileNotFoundError(2, "No such file or directory", "me.jpg"), "me.jpg: no such file or directory"),
        (FileNotFoundError("checkpoint step-7 is gone"), "checkpoint step-7 is gone"),
        (OSError(36, "File name too long", "aa"), "aa: file name too long"),
        (NotADirectoryError(20, "Not a directory", "x/y"), "x/y: not a directory"),
        (PhotoError("not a picture", "me.jpg"), "me.jpg: not a picture"),
        (OSError(28, "No space left on device"), "cannot be written: No space left on device"),
        (OSError(30, "Read-only file system", "x"), "x: cannot be written (Read-only file system)"),
        (Exception("No space left on device (os error 28)"), "cannot be written: No space left on device"),
    ],
)
def test_an_error_raised_by_the_body(failure: Failure, error: Exception, line: str) -> None:
    def body(config: Config) -> None:
        raise error

    assert failure(body=body) == line


@pytest.mark.parametrize(("launcher", "extra"), [("joblib", "joblib"), ("submitit_slurm", "submitit")])
def test_a_launcher_that_is_not_installed_names_its_package(folder: Path, launcher: str, extra: str) -> None:
    error = MissingConfigException("", f"hydra/launcher/{launcher}", ["basic"])
    line = explain(error, Config, folder)
    assert line == f"hydra/launcher={launcher}: needs a package: pip install 'pixelpersona[{extra}]'"
