"""Photo sources: a folder or archive, CelebA as Kaggle packs it, the training photos of another source."""

import csv
import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Protocol

from PIL import Image

from pixelpersona.assets.locate import path as asset
from pixelpersona.data.containers import MAX_FILE_BYTES, Container, FolderContainer, open_container
from pixelpersona.data.metadata import (
    HELDOUT,
    TRAIN,
    PhotoRecord,
    attribute_caption,
    hash_split,
    read_records,
)
from pixelpersona.pixel.photo import PHOTO_SUFFIXES, open_photo

_NO_RECORD = PhotoRecord()


class PhotoSource(Protocol):
    """Photos by id. A source is sent to worker processes, so it must be picklable."""

    name: str
    split_is_given: bool
    """Whether the data set defines which photos are held out; if not, their hashes decide."""

    def ids(self) -> list[str]:
        """The ids of all photos, sorted: stable names, for instance relative paths."""
        ...

    def open(self, photo_id: str, /) -> Image.Image:
        """The photo, upright, RGB in sRGB. Raises PhotoError when it is broken."""
        ...

    def caption(self, photo_id: str, /) -> str | None:
        """The data set's caption of the photo, if there is one."""
        ...

    def split(self, photo_id: str, /) -> str:
        """ "train" or "heldout"."""
        ...

    def digest(self, photo_id: str, /) -> str:
        """SHA-256 of the photo file's bytes, hex. Raises PhotoError when it cannot be read."""
        ...


def open_source(
    kind: str, path: Path | None, *, heldout_share: float, num_tuning: int | None = None
) -> PhotoSource:
    """The photos of a data set.

    kind: "portraits" (packaged; path is not used), "folder" (a folder or .zip) or "celeba".
    heldout_share: share held out where the data set defines no split, 0 to below 1.
    num_tuning: hold out this many of the training photos instead of the data set's own; see `TuningSource`.
    Raises ValueError naming dataset.path when it is needed or does not hold the data set.
    """
    if kind == "portraits":
        path = asset("portraits")
    elif path is None:
        needed = "the folder of CelebA" if kind == "celeba" else "a folder or zip of photos"
        raise ValueError(f"dataset.path: dataset={kind} needs {needed}, dataset.path=DIR")
    opened = CelebASource if kind == "celeba" else FolderSource
    source: PhotoSource = opened(path, heldout_share=heldout_share)
    return source if num_tuning is None else TuningSource(source, num_tuning)


def caption_of(source: PhotoSource, photo_id: str) -> str:
    """The data set's caption of the photo, or "a photo of a person"."""
    return source.caption(photo_id) or attribute_caption(None, None)


class _HashedSource:
    """Photos in a container, split by content hash: a share of `heldout_share`, 0 to below 1, is held out."""

    def __init__(self, container: Container, ids: list[str], heldout_share: float) -> None:
        if not 0 <= heldout_share < 1:
            raise ValueError(f"heldout_share must be in [0, 1), got {heldout_share}")
        self._container, self._ids, self._heldout_share = container, ids, heldout_share

    def ids(self) -> list[str]:
        return list(self._ids)

    def open(self, photo_id: str, /) -> Image.Image:
        return open_photo(self._container.read(photo_id), name=photo_id)

    def split(self, photo_id: str, /) -> str:
        return hash_split(self.digest(photo_id), self._heldout_share)

    def digest(self, photo_id: str, /) -> str:
        return hashlib.sha256(self._container.read(photo_id)).hexdigest()


class FolderSource(_HashedSource):
    """Photos (.jpg .jpeg .png .webp) anywhere below a folder or inside a .zip archive.

    A metadata.jsonl beside the photos may define captions (text, or age, gender and ethnicity) and splits.
    Photos without a split are split by content hash: a share of `heldout_share`, 0 to below 1, is held out.

    Raises ValueError naming the path when it is missing, is no archive, or holds no photo.
    """

    def __init__(self, path: Path | str, *, heldout_share: float = 0.0) -> None:
        container = open_container(Path(path))
        self.name, names = container.path.name, container.names()
        photos = [name for name in names if PurePosixPath(name).suffix.lower() in PHOTO_SUFFIXES]
        if not photos:
            accepted = " ".join(sorted(PHOTO_SUFFIXES))
            raise ValueError(f"{container.path}: no photos there (accepted: {accepted})")
        super().__init__(container, photos, heldout_share)
        self._records = read_records(container, names)
        self.split_is_given = any(record.split for record in self._records.values())

    def caption(self, photo_id: str, /) -> str | None:
        return self._records.get(photo_id, _NO_RECORD).caption

    def split(self, photo_id: str, /) -> str:
        return self._records.get(photo_id, _NO_RECORD).split or super().split(photo_id)


class CelebASource(_HashedSource):
    """CelebA in the layout of Kaggle's jessicali9530/celeba-dataset archive, unpacked.

    img_align_celeba/img_align_celeba/000001.jpg ..., list_eval_partition.csv (0 is training, 1 and 2 are
    held out) and list_attr_celeba.csv (captions), with further folders around or between them, or in the flat
    folder of the original release. Without the partition file, hashes decide as in `FolderSource`.

    Liu et al. 2015, "Deep Learning Face Attributes in the Wild", arXiv:1411.7766; for research only.
    Raises ValueError saying how to download it when `root` does not hold it.
    """

    def __init__(self, root: Path | str, *, heldout_share: float = 0.0) -> None:
        self.name = "celeba"
        root = Path(root).expanduser().absolute()
        photos = _celeba_photos(root)
        ids = sorted(file.name for file in photos.glob("*.jpg"))
        super().__init__(FolderContainer(photos), ids, heldout_share)
        self._partition = _celeba_table(root, photos, "list_eval_partition.csv")
        self._attributes = _celeba_table(root, photos, "list_attr_celeba.csv")
        self.split_is_given = bool(self._partition)

    def caption(self, photo_id: str, /) -> str | None:
        row = self._attributes.get(photo_id)
        return _celeba_caption(row) if row else None

    def split(self, photo_id: str, /) -> str:
        row = self._partition.get(photo_id)
        if row is None:
            return super().split(photo_id)
        return TRAIN if row.get("partition") == "0" else HELDOUT


class TuningSource:
    """The training photos of a source, `num_heldout` of them held out to tune settings on.

    The source's own held-out photos are not used, so that they can evaluate the result once. Photos are
    chosen by content hash, the same in every run. Raises ValueError when num_heldout is below 1 or no photo
    is left for training.
    """

    split_is_given = True

    def __init__(self, source: PhotoSource, num_heldout: int) -> None:
        self.open, self.caption, self.digest = source.open, source.caption, source.digest
        self.name = f"{source.name}-tuning"
        self._ids = [photo_id for photo_id in source.ids() if source.split(photo_id) == TRAIN]
        if not 1 <= num_heldout < len(self._ids):
            raise ValueError(
                f"dataset.num_tuning={num_heldout}: accepted 1 to {len(self._ids) - 1}; "
                f"{source.name} has {len(self._ids)} training photos"
            )
        self._heldout = set(sorted(self._ids, key=source.digest)[:num_heldout])

    def ids(self) -> list[str]:
        return list(self._ids)

    def split(self, photo_id: str, /) -> str:
        return HELDOUT if photo_id in self._heldout else TRAIN


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


def _celeba_caption(row: Mapping[str, str]) -> str:
    has = {name for name, value in row.items() if name and str(value).strip() == "1"}
    person = ("young " if "Young" in has else "") + ("man" if "Male" in has else "woman")
    extras = [text for key, text in (("Smiling", "smiling"), ("Eyeglasses", "with glasses")) if key in has]
    return ", ".join([f"a photo of a {person}", *extras])
