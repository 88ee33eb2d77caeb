"""The base class of photo sources that read a folder or archive."""

import hashlib

from PIL import Image

from pixelpersona.data.containers import Container
from pixelpersona.pixel.photo import open_photo


class ContainedPhotos:
    """The part of a `PhotoSource` that reads files. ids: names of the photos in the container, sorted."""

    def __init__(self, container: Container, ids: list[str]) -> None:
        self._container, self._ids = container, ids

    def ids(self) -> list[str]:
        return list(self._ids)

    def open(self, photo_id: str, /) -> Image.Image:
        return open_photo(self._container.read(photo_id), name=photo_id)

    def digest(self, photo_id: str, /) -> str:
        return hashlib.sha256(self._container.read(photo_id)).hexdigest()
