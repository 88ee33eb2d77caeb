"""Where photos come from: a folder, an archive, or CelebA as Kaggle packs it."""

import csv
import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Protocol

from PIL import Image

from pixelpersona.data.containers import MAX_FILE_BYTES, FolderContainer, open_container
from pixelpersona.data.metadata import HELDOUT, TRAIN, attribute_caption, hash_split, read_records
from pixelpersona.pixel.photo import PHOTO_SUFFIXES, open_photo

__all__ = ["CelebASource", "FolderSource", "PhotoSource", "attribute_caption", "caption_of"]


class PhotoSource(Protocol):
    """Photos by id. A source travels to worker processes, so it must be picklable."""

    name: str
    split_is_given: bool
    """True when the data set says itself which photos are held out, False when their hashes decide."""

    def ids(self) -> list[str]:
        """Every photo's id, sorted: stable names, for instance relative paths."""
        ...

    def open(self, photo_id: str, /) -> Image.Image:
        """The photo, upright RGB in sRGB; PhotoError when it is broken."""
        ...

    def caption(self, photo_id: str, /) -> str | None:
        """What the data set says the photo shows, if it says anything."""
        ...

    def split(self, photo_id: str, /) -> str:
        """ "train" or "heldout"."""
        ...

    def digest(self, photo_id: str, /) -> str:
        """SHA-256 of the photo file's bytes, hex; PhotoError when it cannot be read."""
        ...


def caption_of(source: PhotoSource, photo_id: str) -> str:
    """What the data set says the photo shows; that it is a person where it says nothing."""
    return source.caption(photo_id) or attribute_caption(None, None)


class FolderSource:
    """Photos (.jpg .jpeg .png .webp) anywhere under a folder or inside a .zip archive.

    A metadata.jsonl beside the photos may give each a caption (text, or age, gender and ethnicity) and
    a split; where it gives no split, `heldout_share` of the photos is held out by the hash of their bytes.

    Raises ValueError naming the path when it is missing, is no archive, or holds no photo.
    """

    def __init__(self, path: Path | str, *, heldout_share: float = 0.1) -> None:
        _check_share(heldout_share)
        self._container = open_container(Path(path))
        self.name = self._container.path.name
        self._heldout_share = heldout_share
        names = self._container.names()
        self._ids = [name for name in names if PurePosixPath(name).suffix.lower() in PHOTO_SUFFIXES]
        if not self._ids:
            accepted = " ".join(sorted(PHOTO_SUFFIXES))
            raise ValueError(f"{self._container.path}: no photos there (accepted: {accepted})")
        self._records = read_records(self._container, names)
        self.split_is_given = any(record.split for record in self._records.values())

    def ids(self) -> list[str]:
        return list(self._ids)

    def open(self, photo_id: str, /) -> Image.Image:
        return open_photo(self._container.read(photo_id), name=photo_id)

    def caption(self, photo_id: str, /) -> str | None:
        record = self._records.get(photo_id)
        return record.caption if record else None

    def split(self, photo_id: str, /) -> str:
        record = self._records.get(photo_id)
        if record and record.split:
            return record.split
        return hash_split(self.digest(photo_id), self._heldout_share)

    def digest(self, photo_id: str, /) -> str:
        return hashlib.sha256(self._container.read(photo_id)).hexdigest()


class CelebASource:
    """CelebA in the layout of Kaggle's jessicali9530/celeba-dataset archive, unpacked.

    img_align_celeba/img_align_celeba/000001.jpg ..., list_eval_partition.csv (0 is training, 1 and 2 are
    held out) and list_attr_celeba.csv (captions), with one or two folders around or between them, or with
    the flat folder of the original release. Without the partition file, hashes decide.

    Liu et al. 2015, "Deep Learning Face Attributes in the Wild", arXiv:1411.7766; for research only.
    Raises ValueError with the way to get it when `root` does not hold it.
    """

    def __init__(self, root: Path | str, *, heldout_share: float = 0.1) -> None:
        _check_share(heldout_share)
        self.name = "celeba"
        root = Path(root).expanduser().absolute()
        self._photos = FolderContainer(_celeba_photos(root))
        self._ids = sorted(file.name for file in self._photos.path.glob("*.jpg"))
        self._heldout_share = heldout_share
        self._partition = _celeba_table(root, self._photos.path, "list_eval_partition.csv")
        self._attributes = _celeba_table(root, self._photos.path, "list_attr_celeba.csv")
        self.split_is_given = bool(self._partition)

    def ids(self) -> list[str]:
        return list(self._ids)

    def open(self, photo_id: str, /) -> Image.Image:
        return open_photo(self._photos.read(photo_id), name=photo_id)

    def caption(self, photo_id: str, /) -> str | None:
        row = self._attributes.get(photo_id)
        return _celeba_caption(row) if row else None

    def split(self, photo_id: str, /) -> str:
        row = self._partition.get(photo_id)
        if row is None:
            return hash_split(self.digest(photo_id), self._heldout_share)
        return TRAIN if row.get("partition") == "0" else HELDOUT

    def digest(self, photo_id: str, /) -> str:
        return hashlib.sha256(self._photos.read(photo_id)).hexdigest()


def _celeba_photos(root: Path) -> Path:
    """The innermost folder called img_align_celeba that holds .jpg files, at most five folders down."""
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
    """A CSV file's rows by image_id, from the photos' folder or one around it up to root; {} when missing."""
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


def _celeba_caption(row: Mapping[str, str]) -> str:
    def has(name: str) -> bool:
        return row.get(name, "").strip() == "1"

    age = "young " if has("Young") else ""
    extras = [text for key, text in (("Smiling", "smiling"), ("Eyeglasses", "with glasses")) if has(key)]
    return ", ".join([f"a photo of a {age}{'man' if has('Male') else 'woman'}", *extras])


def _check_share(heldout_share: float) -> None:
    if not 0 <= heldout_share < 1:
        raise ValueError(f"heldout_share must be in [0, 1), got {heldout_share}")
