"""Photo sources: the interface of a data set, and photos in a folder or archive."""

from pathlib import Path, PurePosixPath
from typing import Protocol

from PIL import Image

from pixelpersona.assets.locate import path as asset
from pixelpersona.data.celeba import CelebASource
from pixelpersona.data.contained_photos import ContainedPhotos
from pixelpersona.data.containers import open_container
from pixelpersona.data.metadata import (
    METADATA_NAME,
    PhotoRecord,
    attribute_caption,
    folder_split,
    read_records,
)
from pixelpersona.pixel.photo_formats import PHOTO_SUFFIXES

_NO_RECORD = PhotoRecord()


class PhotoSource(Protocol):
    """Photos by id. A source is sent to worker processes, so it must be picklable."""

    name: str
    notes: tuple[str, ...]
    """Lines for the user: which files are left out, and what was decided where the data set does not."""

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


def check_unchanged(source: PhotoSource, photo_id: str, digest: str) -> None:
    """Raise ValueError when a photo's file no longer has this digest.

    What was made of the photo would otherwise be cached under the key of other bytes.
    """
    if source.digest(photo_id) != digest:
        raise ValueError(f"{photo_id}: changed while the data was prepared; prepare it again")


def caption_of(source: PhotoSource, photo_id: str) -> str:
    """The data set's caption of the photo, or "a photo of a person"."""
    return source.caption(photo_id) or attribute_caption(None, None)


class FolderSource(ContainedPhotos):
    """Photos (of `PHOTO_SUFFIXES`) anywhere below a folder or inside a .zip archive.

    A metadata.jsonl beside the photos may define captions (text, or age, gender and ethnicity) and splits.
    Where it defines no split, a folder called train, val, validation, valid or test does.

    Raises ValueError naming the path when it is missing, is no archive, or holds no photo.
    """

    def __init__(self, path: Path | str) -> None:
        container = open_container(Path(path))
        self.name, found = container.path.name, container.listing()
        photos = [name for name in found.files if PurePosixPath(name).suffix.lower() in PHOTO_SUFFIXES]
        tables = [name for name in found.files if PurePosixPath(name).name == METADATA_NAME]
        left_out = found.left_out([*photos, *tables])
        if not photos:
            accepted = " ".join(sorted(PHOTO_SUFFIXES))
            reasons = "; ".join(filter(None, [f"accepted: {accepted}", left_out]))
            raise ValueError(f"{container.path}: no photos there ({reasons})")
        super().__init__(container, photos)
        self.notes: tuple[str, ...] = (f"{container.path}: {left_out}",) if left_out else ()
        self._records = read_records(container, found.files)

    def caption(self, photo_id: str, /) -> str | None:
        return self._records.get(photo_id, _NO_RECORD).caption

    def split(self, photo_id: str, /) -> str | None:
        return self._records.get(photo_id, _NO_RECORD).split or folder_split(photo_id)
