"""One interface to the files of a folder and of a .zip archive.

Archives are never extracted, so path traversal in entry names has no effect, and every read is bounded, so
that a zip bomb cannot fill the memory.
"""

import unicodedata
import zipfile
from collections import Counter
from pathlib import Path

from pixelpersona.pixel.listing import Listing, is_hidden, list_files
from pixelpersona.pixel.photo import MAX_FILE_BYTES, PhotoError

MAX_ZIP_ENTRIES = 2_000_000


class FolderContainer:
    """All files below a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def listing(self) -> Listing:
        """All files except hidden ones and macOS's resource forks."""
        return list_files(self.path)

    def read(self, name: str) -> bytes:
        """The bytes of one file. Raises PhotoError when it cannot be read or exceeds 256 MiB."""
        file = self.path / name
        try:
            with file.open("rb") as stream:
                return _bounded(stream.read(MAX_FILE_BYTES + 1), name)
        except OSError as error:
            raise PhotoError(f"cannot be read ({error.strerror or error})", name) from error


class ZipContainer:
    """A .zip archive. It can be pickled; the process that unpickles it opens the archive again.

    Raises ValueError naming the path when it is not a readable archive or has more than 2,000,000 files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except Exception as error:  # zipfile checks few of the fields that it reads
            raise ValueError(f"{path}: not a folder and not a readable .zip archive ({error})") from error
        if len(self._zip.infolist()) > MAX_ZIP_ENTRIES:
            raise ValueError(f"{path}: more than {MAX_ZIP_ENTRIES:,} files in one archive")

    def listing(self) -> Listing:
        """As `FolderContainer.listing`."""
        names = {entry.filename for entry in self._zip.infolist() if not entry.is_dir()}
        hidden = {name: _hidden_item(name) for name in names}
        num_hidden = len({item for item in hidden.values() if item is not None})
        visible = sorted(name for name, item in hidden.items() if item is None)
        return Listing(visible, Counter({"hidden item": num_hidden} if num_hidden else {}))

    def read(self, name: str) -> bytes:
        """As `FolderContainer.read`."""
        try:
            with self._zip.open(name) as stream:
                # The size in the header may be wrong on purpose: the bound is enforced on the bytes read.
                data = stream.read(MAX_FILE_BYTES + 1)
        except Exception as error:  # BadZipFile, RuntimeError (encrypted), and what the decompressors raise
            reason = " ".join(str(error).split()) or type(error).__name__
            raise PhotoError(f"cannot be read from {self.path.name} ({reason})", name) from error
        return _bounded(data, name)

    def __reduce__(self) -> tuple[type["ZipContainer"], tuple[Path]]:
        return ZipContainer, (self.path,)


Container = FolderContainer | ZipContainer
"""Files by POSIX-style relative name; a folder and an archive of it have the same names."""


def open_container(path: Path) -> Container:
    """A folder or a .zip archive. Raises ValueError naming the path when it is neither."""
    path = Path(path).expanduser().absolute()
    if path.is_dir():
        return FolderContainer(path)
    if not path.exists():
        raise ValueError(f"{path}: no such folder or .zip archive")
    if not path.is_file():  # opening a FIFO and reading a device may never end
        raise ValueError(f"{path}: not a folder and not a regular file")
    return ZipContainer(path)


def _hidden_item(name: str) -> str | None:
    """The outermost hidden folder of an entry, or the entry itself when it is hidden."""
    parts = name.split("/")
    first = next((number for number, part in enumerate(parts, start=1) if is_hidden(part)), None)
    return None if first is None else "/".join(parts[:first])


def _bounded(data: bytes, name: str) -> bytes:
    if len(data) > MAX_FILE_BYTES:
        raise PhotoError(f"is larger than {MAX_FILE_BYTES // 2**20} MiB", name)
    return data


def normalized_name(name: str) -> str:
    """The name for comparisons: macOS stores 한글 decomposed, metadata files usually have it composed."""
    return unicodedata.normalize("NFC", name)
