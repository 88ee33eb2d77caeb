"""Photo metadata: captions and splits, read from metadata.jsonl in Hugging Face's imagefolder layout."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pixelpersona.data.containers import Container, normalized_name
from pixelpersona.pixel.photo import PhotoError

TRAIN, VAL, TEST = SPLITS = ("train", "val", "test")
_SPLITS = {TRAIN: TRAIN, VAL: VAL, "validation": VAL, TEST: TEST}
_FOLDERS = _SPLITS | {"valid": VAL}
_METADATA_NAME = "metadata.jsonl"
_ADULT_AGE = 16


@dataclass(frozen=True, slots=True)
class PhotoRecord:
    """Metadata of one photo; None where there is none."""

    caption: str | None = None
    split: str | None = None


def attribute_caption(age: int | None, gender: str | None, ethnicity: str | None = None) -> str:
    """For instance "a photo of a 26 year old asian woman"; omits what is None or "other".

    age: years; below 16, the words are boy and girl. gender: "male" or "female".
    """
    child = age is not None and age < _ADULT_AGE
    nouns = {"male": "boy" if child else "man", "female": "girl" if child else "woman"}
    noun = nouns.get((gender or "").strip().lower(), "child" if child else "person")
    words = [] if age is None else [f"{age} year old"]
    if ethnicity and ethnicity.strip().lower() not in ("other", "unknown"):
        words.append(ethnicity.strip().lower())
    text = " ".join([*words, noun])
    begins_with_vowel = text.startswith(tuple("8aeiou")) or text.startswith(("11 ", "18 "))
    return f"a photo of {'an' if begins_with_vowel else 'a'} {text}"


def folder_split(name: str) -> str | None:
    """The split that the first folder called train, val, validation, valid or test names, in any case."""
    folders = map(str.lower, name.split("/")[:-1])
    return next((_FOLDERS[folder] for folder in folders if folder in _FOLDERS), None)


def read_records(container: Container, names: Iterable[str]) -> dict[str, PhotoRecord]:
    """The records of all metadata.jsonl files in a folder or archive, by the photo's name there.

    A row's file_name is relative to the metadata file. Raises ValueError, naming file and line, for a
    row that is not JSON, has no file_name, names a missing photo, or has an unknown split.
    """
    names = list(names)
    known = {normalized_name(name): name for name in names}
    records: dict[str, PhotoRecord] = {}
    for metadata in (name for name in names if name.rpartition("/")[2] == _METADATA_NAME):
        folder = metadata.removesuffix(_METADATA_NAME)
        for number, line in enumerate(_lines(container, metadata), start=1):
            if not line.strip():
                continue
            place = f"{container.path}: {metadata}, line {number}"
            row = _row(line, place)
            name = known.get(normalized_name(folder + str(row["file_name"])))
            if name is None:
                raise ValueError(f"{place}: there is no file {row['file_name']}")
            records[name] = PhotoRecord(_caption(row, place), _split(row, place))
    return records


def _lines(container: Container, metadata: str) -> list[str]:
    try:
        return container.read(metadata).decode("utf-8-sig").split("\n")
    except (PhotoError, UnicodeDecodeError) as error:
        raise ValueError(f"{container.path}: {metadata} cannot be read ({error})") from error


def _row(line: str, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place}: not JSON ({error})") from error
    if not isinstance(row, dict) or not isinstance(row.get("file_name"), str):
        raise ValueError(f'{place}: a row needs a file_name, as in {{"file_name": "a.jpg"}}')
    return row


def _split(row: Mapping[str, Any], place: str) -> str | None:
    value = row.get("split")
    if value is None:
        return None
    if not isinstance(value, str) or value not in _SPLITS:
        hint = "; write val or test instead" if value == "heldout" else ""
        raise ValueError(f"{place}: split {value!r} is unknown; accepted: {', '.join(_SPLITS)}{hint}")
    return _SPLITS[value]


def _caption(row: Mapping[str, Any], place: str) -> str | None:
    if isinstance(row.get("text"), str):
        return str(row["text"])
    age, gender, ethnicity = (row.get(key) for key in ("age", "gender", "ethnicity"))
    if age is None and gender is None and ethnicity is None:
        return None
    if not (age is None or (isinstance(age, int | float) and 0 <= age < 200 and age == int(age))):
        raise ValueError(f"{place}: age {age!r} is not a number of years")
    gender, ethnicity = (None if value is None else str(value) for value in (gender, ethnicity))
    return attribute_caption(None if age is None else int(age), gender, ethnicity)
