"""CelebA: photos, official partition, and captions from its attributes."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from pixelpersona.data.contained_photos import ContainedPhotos
from pixelpersona.data.containers import FolderContainer
from pixelpersona.data.metadata import SPLITS
from pixelpersona.pixel.photo import MAX_FILE_BYTES

_PHOTO_FOLDERS = ("img_align_celeba", "img_align_celeba_png")
_PHOTO_SUFFIXES = frozenset({".jpg", ".png"})
_TABLE_FOLDERS = (".", "Eval", "Anno")  # the last two in the original release
_PARTITION, _ATTRIBUTES = "list_eval_partition", "list_attr_celeba"
_SPLIT_OF_PARTITION = dict(zip(("0", "1", "2"), SPLITS, strict=True))
_NUM_NAMED = 3  # photos named in a note

Row = Mapping[str, str]


class CelebASource(ContainedPhotos):
    """CelebA, unpacked: the layout of Kaggle's jessicali9530/celeba-dataset or of the original release.

    img_align_celeba/img_align_celeba/000001.jpg ..., or .png in img_align_celeba_png; list_eval_partition (0
    train, 1 val, 2 test) and list_attr_celeba (captions), as .csv or as the official .txt, with the photos,
    in a folder above up to `root`, or in a subfolder Eval or Anno of one of these. Where both exist, the .csv
    is read. The tables name .jpg files and apply to .png, too.

    Liu et al. 2015, "Deep Learning Face Attributes in the Wild", arXiv:1411.7766; for research only.
    Raises ValueError saying how to download CelebA when `root` does not hold it, or naming a wrong line of a
    table.
    """

    def __init__(self, root: Path | str) -> None:
        self.name = "celeba"
        root = Path(root).expanduser().absolute()
        photos = _find_photos(root)
        container = FolderContainer(photos)
        found = container.listing()
        ids = [name for name in found.files if _is_photo(name) and "/" not in name]
        super().__init__(container, ids)
        partitions, attributes = (_find_tables(root, photos, stem) for stem in (_PARTITION, _ATTRIBUTES))
        splits = _read_splits(partitions[0]) if partitions else {}
        captions = _read_captions(attributes[0]) if attributes else {}
        self._splits = {name: splits[stem] for name in ids if (stem := _stem(name)) in splits}
        self._captions = {name: captions[stem] for name in ids if (stem := _stem(name)) in captions}
        used = [*ids, *(file.name for file in (*partitions, *attributes))]
        left_out = found.left_out(used)
        self.notes: tuple[str, ...] = (
            *([f"{photos}: {left_out}"] if left_out else []),
            *(f"{table[0]} is read, {table[1]} is not" for table in (partitions, attributes) if table[1:]),
            *_partition_notes(root, partitions, ids, self._splits),
        )

    def caption(self, photo_id: str, /) -> str | None:
        return self._captions.get(photo_id)

    def split(self, photo_id: str, /) -> str | None:
        return self._splits.get(photo_id)


def _find_photos(root: Path) -> Path:
    """The folder of photos, one of `_PHOTO_FOLDERS`, at most five levels below root."""
    patterns = ["", *("/".join(["*"] * depth) for depth in range(1, 6))]
    for pattern in patterns if root.is_dir() else ():
        for folder in sorted(root.glob(pattern)) if pattern else [root]:
            if folder.name in _PHOTO_FOLDERS and folder.is_dir() and any(map(_is_photo, _names(folder))):
                return folder
    if root.is_file():
        raise ValueError(f"dataset.path={root}: dataset=celeba needs a folder; unpack the archive")
    raise ValueError(
        f"dataset.path={root}: no CelebA there. Get it with `kaggle datasets download -d "
        "jessicali9530/celeba-dataset --unzip -p DIR` and set dataset.path=DIR"
    )


def _names(folder: Path) -> Iterator[str]:
    return (file.name for file in folder.iterdir())


def _is_photo(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in _PHOTO_SUFFIXES and not name.startswith(".")


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _find_tables(root: Path, photos: Path, stem: str) -> list[Path]:
    """The files of a table from the photos' folder up to root, .csv first, then the nearest first."""
    folders = [photos, *photos.parents]
    folders = folders[: folders.index(root) + 1]
    places = [folder / below for folder in folders for below in _TABLE_FOLDERS]
    files = [place / f"{stem}{suffix}" for suffix in (".csv", ".txt") for place in places]
    return [file for file in files if file.exists()]


def _partition_notes(
    root: Path, tables: Sequence[Path], ids: Sequence[str], splits: Mapping[str, str]
) -> Iterator[str]:
    missing = [name for name in ids if name not in splits]
    if not tables:
        yield f"{root}: no {_PARTITION}.csv or .txt; the photos are split by content hash"
    elif missing:
        names = ", ".join(missing[:_NUM_NAMED]) + (", ..." if len(missing) > _NUM_NAMED else "")
        yield (
            f"{tables[0]}: {len(missing)} of {len(ids)} photos are not in it ({names}); they are train photos"
        )


def _read_splits(file: Path) -> dict[str, str]:
    """Splits by the photo's stem."""
    splits: dict[str, str] = {}
    for place, name, row in _read_table(file, default_columns=["partition"]):
        partition = row.get("partition", "")
        split = _SPLIT_OF_PARTITION.get(partition)
        if split is None:
            raise ValueError(f"{place}: partition {partition!r}; accepted 0, 1 and 2")
        if splits.setdefault(_stem(name), split) != split:
            raise ValueError(f"{place}: a second row for {name} with another partition; keep one")
    return splits


def _read_captions(file: Path) -> dict[str, str]:
    """Captions by the photo's stem."""
    return {_stem(name): _caption(row) for _, name, row in _read_table(file, default_columns=None)}


def _caption(row: Row) -> str:
    has = {name for name, value in row.items() if value == "1"}
    noun = "person" if "Male" not in row else "man" if "Male" in has else "woman"
    person = ("young " if "Young" in has else "") + noun
    extras = [text for key, text in (("Smiling", "smiling"), ("Eyeglasses", "with glasses")) if key in has]
    return ", ".join([f"a photo of a {person}", *extras])


def _read_table(file: Path, default_columns: list[str] | None) -> Iterator[tuple[str, str, Row]]:
    """(place for messages, photo's name, values by column) of each row of a .csv or an official .txt table.

    default_columns: of a .txt without a header line; None when it must have one.
    Raises ValueError naming file and line.
    """
    try:
        if not file.is_file():
            raise ValueError(f"{file}: not a regular file")
        if file.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"{file}: larger than {MAX_FILE_BYTES // 2**20} MiB")
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: not readable as UTF-8 text ({error})") from error
    columns: list[str] | None
    if file.suffix == ".csv":
        columns, lines = _csv_lines(file, text)
    else:
        columns, lines = _txt_lines(text)
        columns = columns or default_columns
    if columns is None:
        raise ValueError(f"{file}: no line with the names of its columns")
    for number, (name, *values) in lines:
        place = f"{file}, line {number}"
        if len(values) != len(columns):
            raise ValueError(f"{place}: {len(values)} values after the photo; accepted {len(columns)}")
        yield place, name, dict(zip(columns, values, strict=True))


Lines = Iterator[tuple[int, list[str]]]
"""Line number and fields, the photo's name first."""


def _csv_lines(file: Path, text: str) -> tuple[list[str], Lines]:
    """Column names after image_id, and the lines, without the header."""
    rows = csv.reader(text.splitlines())
    try:
        header = next(rows, [])
        lines = [(rows.line_num, [field.strip() for field in row]) for row in rows if row]
    except csv.Error as error:
        raise ValueError(f"{file}, line {rows.line_num}: not CSV ({error})") from error
    if header[:1] != ["image_id"]:
        raise ValueError(f"{file}: not a CSV file whose first column is image_id")
    return header[1:], iter(lines)


def _txt_lines(text: str) -> tuple[list[str] | None, Lines]:
    """Column names if there is a header line, and the other lines, without the photo count at the top."""
    lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), start=1)]
    lines = [(number, fields) for number, fields in lines if fields]
    if lines and len(lines[0][1]) == 1 and lines[0][1][0].isdigit():
        del lines[0]
    if not lines or _is_photo(lines[0][1][0]):
        return None, iter(lines)
    names = lines.pop(0)[1]
    return [name for name in names if name != "image_id"], iter(lines)
