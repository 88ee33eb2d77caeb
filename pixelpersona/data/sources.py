"""Photo sources: a folder or archive, CelebA as Kaggle packs it."""

import csv
import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Protocol

from PIL import Image

from pixelpersona.assets.locate import path as asset
from pixelpersona.data.containers import MAX_FILE_BYTES, Container, FolderContainer, open_container
from pixelpersona.data.metadata import (
    SPLITS,
    PhotoRecord,
    attribute_caption,
    folder_split,
    read_records,
)
from pixelpersona.pixel.photo import PHOTO_SUFFIXES, open_photo

_NO_RECORD = PhotoRecord()


class PhotoSource(Protocol):
    """Photos by id. A source is sent to worker processes, so it must be picklable."""

    name: str

    def ids(self) -> list[str]:
        """The ids of all photos, sorted: stable names, for instance relative paths."""
        ...

    def open(self, photo_id: str, /) -> Image.Image:
        """The photo, upright, RGB in sRGB. Raises PhotoError when it is broken."""
        ...

    def caption(self, photo_id: str, /) -> str | None:
        """The data set's caption of the photo, if there is one."""
        ...

    def split(self, photo_id: str, /) -> str | None:
        """ "train", "val" or "test" as the data set defines it; None where it does not."""
        ...

    def digest(self, photo_id: str, /) -> str:
        """SHA-256 of the photo file's bytes, hex. Raises PhotoError when it cannot be read."""
        ...


def open_source(kind: str, path: Path | None) -> PhotoSource:
    """The photos of a data set.

    kind: "portraits" (packaged; path is not used), "folder" (a folder or .zip) or "celeba".
    Raises ValueError naming dataset.path when it is needed or does not hold the data set.
    """
    if kind == "portraits":
        path = asset("portraits")
    elif path is None:
        needed = "the folder of CelebA" if kind == "celeba" else "a folder or zip of photos"
        raise ValueError(f"dataset.path: dataset={kind} needs {needed}, dataset.path=DIR")
    return CelebASource(path) if kind == "celeba" else FolderSource(path)


def caption_of(source: PhotoSource, photo_id: str) -> str:
    """The data set's caption of the photo, or "a photo of a person"."""
    return source.caption(photo_id) or attribute_caption(None, None)


class _ContainedPhotos:
    """Photos in a folder or archive."""

    def __init__(self, container: Container, ids: list[str]) -> None:
        self._container, self._ids = container, ids

    def ids(self) -> list[str]:
        return list(self._ids)

    def open(self, photo_id: str, /) -> Image.Image:
        return open_photo(self._container.read(photo_id), name=photo_id)

    def digest(self, photo_id: str, /) -> str:
        return hashlib.sha256(self._container.read(photo_id)).hexdigest()


class FolderSource(_ContainedPhotos):
    """Photos (.jpg .jpeg .png .webp) anywhere below a folder or inside a .zip archive.

    A metadata.jsonl beside the photos may define captions (text, or age, gender and ethnicity) and splits.
    Where it defines no split, a folder called train, val, validation, valid or test does.

    Raises ValueError naming the path when it is missing, is no archive, or holds no photo.
    """

    def __init__(self, path: Path | str) -> None:
        container = open_container(Path(path))
        self.name, names = container.path.name, container.names()
        photos = [name for name in names if PurePosixPath(name).suffix.lower() in PHOTO_SUFFIXES]
        if not photos:
            accepted = " ".join(sorted(PHOTO_SUFFIXES))
            raise ValueError(f"{container.path}: no photos there (accepted: {accepted})")
        super().__init__(container, photos)
        self._records = read_records(container, names)

    def caption(self, photo_id: str, /) -> str | None:
        return self._records.get(photo_id, _NO_RECORD).caption

    def split(self, photo_id: str, /) -> str | None:
        return self._records.get(photo_id, _NO_RECORD).split or folder_split(photo_id)


class CelebASource(_ContainedPhotos):
    """CelebA in the layout of Kaggle's jessicali9530/celeba-dataset archive, unpacked.

    img_align_celeba/img_align_celeba/000001.jpg ..., list_eval_partition.csv (0 train, 1 val, 2 test) and
    list_attr_celeba.csv (captions), with further folders around or between them, or in the flat folder of the
    original release.

    Liu et al. 2015, "Deep Learning Face Attributes in the Wild", arXiv:1411.7766; for research only.
    Raises ValueError saying how to download it when `root` does not hold it.
    """

    def __init__(self, root: Path | str) -> None:
        self.name = "celeba"
        root = Path(root).expanduser().absolute()
        photos = _celeba_photos(root)
        ids = sorted(file.name for file in photos.glob("*.jpg"))
        super().__init__(FolderContainer(photos), ids)
        self._partition = _celeba_table(root, photos, "list_eval_partition.csv")
        self._attributes = _celeba_table(root, photos, "list_attr_celeba.csv")

    def caption(self, photo_id: str, /) -> str | None:
        row = self._attributes.get(photo_id)
        return _celeba_caption(row) if row else None

    def split(self, photo_id: str, /) -> str | None:
        row = self._partition.get(photo_id)
        return None if row is None else _celeba_split(photo_id, row)


def _celeba_photos(root: Path) -> Path:
    """The folder called img_align_celeba that holds .jpg files, at most five levels below root."""
    patterns = ["", *("/".join(["*"] * depth) for depth in range(1, 6))]
    for pattern in patterns if root.is_dir() else ():
        for folder in sorted(root.glob(pattern)) if pattern else [root]:
            if folder.name == "img_align_celeba" and folder.is_dir() and next(folder.glob("*.jpg"), None):
                return folder
    raise ValueError(
        f"dataset.path={root}: no CelebA there. Get it with `kaggle datasets download -d "
        "jessicali9530/celeba-dataset --unzip -p DIR` and set dataset.path=DIR"
    )


def _celeba_table(root: Path, photos: Path, file_name: str) -> dict[str, dict[str, str]]:
    """A CSV file's rows by image_id, searched from the photos' folder up to root; {} when it is missing."""
    for folder in (photos, *photos.parents):
        file = folder / file_name
        if file.is_file():
            return _read_csv(file)
        if folder == root:
            break
    return {}


def _read_csv(file: Path) -> dict[str, dict[str, str]]:
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"{file}: larger than {MAX_FILE_BYTES // 2**20} MiB")
        with file.open(encoding="utf-8-sig", newline="") as stream:
            return {row["image_id"]: row for row in csv.DictReader(stream)}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise ValueError(f"{file}: not a CSV file with a column image_id ({error})") from error


def _celeba_split(photo_id: str, row: Mapping[str, str]) -> str:
    partition = str(row.get("partition")).strip()
    if partition not in ("0", "1", "2"):
        raise ValueError(f"list_eval_partition.csv: {photo_id}: partition {partition!r}; accepted 0, 1, 2")
    return SPLITS[int(partition)]


def _celeba_caption(row: Mapping[str, str]) -> str:
    has = {name for name, value in row.items() if name and str(value).strip() == "1"}
    person = ("young " if "Young" in has else "") + ("man" if "Male" in has else "woman")
    extras = [text for key, text in (("Smiling", "smiling"), ("Eyeglasses", "with glasses")) if key in has]
    return ", ".join([f"a photo of a {person}", *extras])
