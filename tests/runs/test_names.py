"""Names of runs become folders below the folder of runs, or are refused."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelpersona.runs.locks import exclusive
from pixelpersona.runs.names import named_folder


@pytest.mark.parametrize("name", ["lora-r8", "실험-r8", "ranks/lora-r8", "a, b (1)", "x" * 240, "한" * 80])
def test_a_name_is_a_folder_that_can_be_written(name: str, tmp_path: Path) -> None:
    folder = named_folder(tmp_path, name)
    assert folder == tmp_path / name
    with exclusive(folder):
        folder.mkdir()
        (folder.with_name(f"{folder.name}.safetensors")).touch()


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../up", "a/..", "a/../b", "/tmp/x", "a//b", "a/", ".hidden", "a/.hidden", "-m"]
)
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"^name=.*: accepted the name of a folder below paths\.runs=runs"):
        named_folder(Path("runs"), name)


@pytest.mark.parametrize("name", ["a\nb", "a\0b", "a\x1b[31mb", "a\x85b", os.fsdecode(b"a\xff")])
def test_a_name_that_cannot_be_shown_is_refused_and_escaped(name: str) -> None:
    with pytest.raises(ValueError, match="accepted a name without control characters") as caught:
        named_folder(Path("runs"), name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["x" * 241, "한" * 81, "a/" + "x" * 300])
def test_a_name_longer_than_a_file_system_takes_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"has (241|243|300) bytes in UTF-8; accepted 240 or fewer"):
        named_folder(Path("runs"), name)


@given(st.text())
def test_any_text_is_a_folder_below_or_is_refused(name: str) -> None:
    runs = Path("/runs")
    try:
        folder = named_folder(runs, name)
    except ValueError:
        return
    assert runs in Path(os.path.normpath(folder)).parents
