"""Photo metadata: captions and splits, read from metadata.jsonl in Hugging Face's imagefolder layout."""

import codecs
import json
import posixpath
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pixelpersona.data.containers import Container, normalized_name
from pixelpersona.pixel.photo import PhotoError

TRAIN, VAL, TEST = SPLITS = ("train", "val", "test")
_SPLITS = {TRAIN: TRAIN, VAL: VAL, "validation": VAL, TEST: TEST}
_FOLDERS = _SPLITS | {"valid": VAL}
METADATA_NAME = "metadata.jsonl"
_ADULT_AGE = 16
_MAX_AGE = 199
_GENDERS = ("male", "female", "other", "unknown")


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

    A file is UTF-8, or UTF-16 with a byte order mark. A row's file_name is relative to its file; backslashes
    separate folders, too. Raises ValueError, naming file and line, for a row that is not JSON, has no
    file_name, names a missing photo or one that an earlier row describes differently, or has a value that
    is not accepted.
    """
    names = list(names)
    find = _NameFinder(names)
    records: dict[str, PhotoRecord] = {}
    places: dict[str, str] = {}
    for metadata in (name for name in names if name.rpartition("/")[2] == METADATA_NAME):
        for number, line in enumerate(_lines(container, metadata), start=1):
            if not line.strip():
                continue
            place = f"{container.path}: {metadata}, line {number}"
            row = _row(line, place)
            name = find(metadata.removesuffix(METADATA_NAME), row["file_name"])
            if name is None:
                raise ValueError(
                    f"{place}: there is no file {row['file_name']}; remove the row, or write the name "
                    f"relative to the folder of {METADATA_NAME}"
                )
            record = PhotoRecord(_caption(row, place), _split(row, place))
            if records.setdefault(name, record) != record:
                raise ValueError(f"{place}: differs from {places[name]} for the same photo, {name}; keep one")
            places.setdefault(name, f"{metadata}, line {number}")
    return records


class _NameFinder:
    """Finds the file that a row means: by its exact name, else by its normalised one."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._normalized = {normalized_name(name): name for name in sorted(self._names)}

    def __call__(self, folder: str, file_name: str) -> str | None:
        written = folder + file_name
        names = written, posixpath.normpath(written), posixpath.normpath(written.replace("\\", "/"))
        found = (
            name if name in self._names else self._normalized.get(normalized_name(name)) for name in names
        )
        return next(filter(None, found), None)


def _lines(container: Container, metadata: str) -> list[str]:
    """The lines of a file. Raises ValueError naming the line that is in another encoding."""
    try:
        data = container.read(metadata)
    except PhotoError as error:
        raise ValueError(f"{container.path}: {metadata} {error.reason}") from error
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        text = data[: error.start].decode(encoding, "replace") + "\0"
    if "\0" in text:  # above, or in UTF-16 and UTF-32 without a mark
        line = text.partition("\0")[0].count("\n") + 1
        raise ValueError(
            f"{container.path}: {metadata}, line {line}: neither UTF-8 nor UTF-16 with a byte order mark; "
            "save the file as UTF-8 (for a file in cp949: iconv -f cp949 -t utf-8)"
        )
    return text.split("\n")


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
    """The row's text, or a caption of its age, gender and ethnicity; None when it has none of them."""
    text = row.get("text")
    if text is not None:
        return _text(row, "text", place)
    age = row.get("age")
    if age is not None and not _is_age(age):
        raise ValueError(f"{place}: age {reprlib.repr(age)}: accepted a whole number, 0 to {_MAX_AGE}")
    gender, ethnicity = (
        None if row.get(key) is None else _text(row, key, place) for key in ("gender", "ethnicity")
    )
    if gender is not None and gender.strip().lower() not in _GENDERS:
        accepted = ", ".join(_GENDERS)
        raise ValueError(f"{place}: gender {reprlib.repr(gender)} is unknown; accepted: {accepted}")
    if age is None and gender is None and ethnicity is None:
        return None
    return attribute_caption(None if age is None else int(age), gender, ethnicity)


def _text(row: Mapping[str, Any], key: str, place: str) -> str:
    """A string that is not blank and is valid Unicode. Raises ValueError for anything else."""
    value = row[key]
    if not isinstance(value, str) or not value.strip() or any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueError(f"{place}: {key} {reprlib.repr(value)}: accepted a non-empty string; or omit {key}")
    return value


def _is_age(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value <= _MAX_AGE and value == int(value)  # NaN and infinity fail the range
