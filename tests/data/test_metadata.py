"""metadata.jsonl as people write it: a row is read, or refused in one line that names it and the way out."""

import hashlib
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelpersona.data.containers import Container, open_container
from pixelpersona.data.metadata import PhotoRecord, read_records
from pixelpersona.data.sources import FolderSource


def container(root: Path, metadata: bytes, *photos: str) -> Container:
    """A zip of empty photos and metadata.jsonl."""
    with zipfile.ZipFile(root / "x.zip", "w") as archive:
        for photo in photos or ("a.png", "sub/b.png"):
            archive.writestr(photo, b"")
        archive.writestr("metadata.jsonl", metadata)
    return open_container(root / "x.zip")


def read(root: Path, metadata: bytes, *photos: str) -> dict[str, PhotoRecord]:
    opened = container(root, metadata, *photos)
    return read_records(opened, opened.listing().files)


def lines(*rows: dict[str, Any]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def refusal(root: Path, metadata: bytes) -> str:
    with pytest.raises(ValueError, match=r"\S") as caught:
        read(root, metadata)
    message = str(caught.value)
    assert message.startswith(f"{root / 'x.zip'}: metadata.jsonl, line ")
    assert "\n" not in message
    return message.removeprefix(f"{root / 'x.zip'}: metadata.jsonl, ")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_utf8_and_utf16_with_a_mark_are_read(tmp_path: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    text = mark + '{"file_name": "a.png", "text": "여자 사진"}\r\n{"file_name": "sub/b.png"}\r\n'
    assert read(tmp_path, text.encode(encoding)) == {
        "a.png": PhotoRecord("여자 사진"),
        "sub/b.png": PhotoRecord(),
    }


@pytest.mark.parametrize("encoding", ["cp949", "utf-16-le", "utf-32"])
def test_other_encodings_name_the_line_and_the_way_out(tmp_path: Path, encoding: str) -> None:
    text = '{"file_name": "a.png"}\n{"file_name": "sub/b.png", "text": "여자 사진"}\n'
    line = 2 if encoding == "cp949" else 1
    assert refusal(tmp_path, text.encode(encoding)) == (
        f"line {line}: neither UTF-8 nor UTF-16 with a byte order mark; save the file as UTF-8 "
        "(for a file in cp949: iconv -f cp949 -t utf-8)"
    )


@pytest.mark.parametrize(
    "name", ["sub/b.png", "sub\\b.png", ".\\sub\\b.png", "./sub/b.png", "x/../sub//b.png"]
)
def test_a_name_is_found_however_its_folders_are_written(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, lines({"file_name": name, "text": "b"})) == {"sub/b.png": PhotoRecord("b")}


def test_a_backslash_in_the_name_of_a_file_is_part_of_it(tmp_path: Path) -> None:
    rows = lines({"file_name": "sub\\b.png", "text": "one file"})
    found = read(tmp_path, rows, "sub\\b.png", "sub/b.png")
    assert found == {"sub\\b.png": PhotoRecord("one file")}


def test_equal_rows_for_one_photo_are_one_and_different_ones_are_refused(tmp_path: Path) -> None:
    row = {"file_name": "sub/b.png", "text": "b"}
    assert len(read(tmp_path, lines(row, row, row | {"file_name": "sub\\b.png"}))) == 1
    message = refusal(tmp_path, lines({"file_name": "a.png"}, row, row | {"text": "another"}))
    assert message == ("line 3: differs from metadata.jsonl, line 2 for the same photo, sub/b.png; keep one")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ('"text": ""', "text '': accepted a non-empty string; or omit text"),
        ('"text": "  "', "text '  ': accepted a non-empty string; or omit text"),
        ('"text": ["a", "b"]', "text ['a', 'b']: accepted a non-empty string; or omit text"),
        ('"text": 5', "text 5: accepted a non-empty string"),
        ('"text": "\\ud800"', r"text '\ud800': accepted a non-empty string"),
        ('"age": "26"', "age '26': accepted a whole number, 0 to 199"),
        ('"age": 26.5', "age 26.5: accepted"),
        ('"age": -1', "age -1: accepted"),
        ('"age": 200', "age 200: accepted"),
        ('"age": true', "age True: accepted"),
        ('"age": 1e999', "age inf: accepted"),
        ('"age": -1e999', "age -inf: accepted"),
        ('"age": NaN', "age nan: accepted"),
        ('"age": [26]', "age [26]: accepted"),
        ('"gender": "M"', "gender 'M' is unknown; accepted: male, female, other, unknown"),
        ('"gender": 1', "gender 1: accepted a non-empty string; or omit gender"),
        ('"ethnicity": {}', "ethnicity {}: accepted a non-empty string; or omit ethnicity"),
        ('"split": "tset"', "split 'tset' is unknown; accepted: train"),
        ('"split": ["train"]', "split ['train'] is unknown; accepted: train"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_accepted(tmp_path: Path, values: str, message: str) -> None:
    rows = b'{"file_name": "a.png"}\n\n{"file_name": "sub/b.png", ' + values.encode() + b"}\n"
    assert refusal(tmp_path, rows).startswith(f"line 3: {message}")


def test_values_that_are_accepted(tmp_path: Path) -> None:
    rows = lines(
        {"file_name": "a.png", "text": None, "age": 26.0, "gender": "Female", "ethnicity": None},
        {"file_name": "sub/b.png", "gender": "unknown"},
    )
    found = read(tmp_path, rows)
    assert found["a.png"].caption == "a photo of a 26 year old woman"
    assert found["sub/b.png"].caption == "a photo of a person"


def test_a_row_for_a_missing_photo_says_what_to_do(tmp_path: Path) -> None:
    message = refusal(tmp_path, lines({"file_name": "c.png"}))
    assert message == (
        "line 1: there is no file c.png; remove the row, or write the name relative to the folder of "
        "metadata.jsonl"
    )
    assert "there is no file ;" in refusal(tmp_path, lines({"file_name": ""}))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2), max_leaves=4)
ROWS = st.fixed_dictionaries(
    {"file_name": st.sampled_from(["a.png", "sub/b.png", "sub\\b.png", "A.PNG", "", "sub"]) | VALUES},
    optional={
        "text": st.text(max_size=8) | VALUES,
        "age": st.integers(0, 199) | VALUES,
        "gender": st.sampled_from(["male", "Female"]) | VALUES,
        "ethnicity": st.sampled_from(["asian"]) | VALUES,
        "split": st.sampled_from(["train", "test"]) | VALUES,
    },
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(rows=st.lists(ROWS | VALUES, max_size=4), cut=st.none() | st.integers(0, 200))
def test_any_rows_give_records_or_one_line_that_names_the_row(
    rows: list[Any], cut: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    metadata = "\n".join(json.dumps(row) for row in rows).encode()[:cut]
    found: dict[str, PhotoRecord] = {}
    message = ""
    try:
        found = read(folder, metadata)
    except ValueError as error:
        message = str(error)
    assert not message or re.fullmatch(rf"{folder}/x\.zip: metadata\.jsonl, line [1-9]\d*: \S.*", message)
    assert set(found) <= {"a.png", "sub/b.png"}
    for record in found.values():
        assert record.caption is None or record.caption.strip()


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=30)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(stem=NAMES, packed=st.booleans())
def test_any_file_name_is_listed_read_and_found_by_its_row(
    stem: str, packed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Control characters, backslashes, leading dots, quotes, decomposed Hangul."""
    root = tmp_path_factory.mktemp("names")
    name = f"x{stem}.png"
    row = lines({"file_name": name, "text": "found"})
    if packed:
        path = root / "x.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, b"photo")
            archive.writestr("metadata.jsonl", row)
    else:
        path = root
        (root / name).write_bytes(b"photo")
        (root / "metadata.jsonl").write_bytes(row)
    source = FolderSource(path)
    assert source.ids() == [name]
    assert source.caption(name) == "found"
    assert source.digest(name) == hashlib.sha256(b"photo").hexdigest()
