"""Flags may stand anywhere on the command line."""

import pytest

from pixelpersona.cli.flags import parse_flags, to_argv


def test_flags_between_overrides() -> None:
    flags, overrides = parse_flags(["a=1", "-m", "b=2", "--cfg", "job", "c=-3"])
    assert overrides == ["a=1", "b=2", "c=-3"]
    assert to_argv(flags) == ["--multirun", "--cfg=job"]


def test_info_takes_an_optional_value() -> None:
    assert to_argv(parse_flags(["--info"])[0]) == ["--info=all"]
    assert to_argv(parse_flags(["--info", "defaults", "a=1"])[0]) == ["--info=defaults"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--rank", "a=1"], "^--rank: no such flag; settings are given as key=value"),
        (["--lora.rank=8"], "^--lora.rank=8: settings have no dashes; write lora.rank=8 "),
        (["-m", "a=1", "-lr=2"], "^-lr=2: settings have no dashes; write lr=2 "),
        (["--multi"], "^--multi: no such flag"),
        (["--config-path=conf"], "^--config-path=conf: accepted --config-dir=FOLDER"),
        (["--cfg=jbo"], "--cfg.*invalid choice: 'jbo'"),
        (["--config-dir"], "--config-dir.*expected one argument"),
    ],
)
def test_wrong_flags(words: list[str], line: str) -> None:
    with pytest.raises(ValueError, match=line):
        parse_flags(words)
