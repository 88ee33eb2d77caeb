"""One interface to the files of a folder and of a .zip archive.

Archives are never extracted, so path traversal in entry names has no effect, and every read is bounded, so
that a zip bomb cannot fill the memory.
"""

import unicodedata
import zipfile
import zlib
from pathlib import Path

from pixelpersona.pixel.photo import PhotoError

MAX_FILE_BYTES = 256 * 2**20
MAX_ZIP_ENTRIES = 2_000_000


def _is_visible(name: str) -> bool:
    return not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


class FolderContainer:
    """All files below a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """All files, sorted, except hidden ones and macOS's resource forks."""
        files = (file.relative_to(self.path).as_posix() for file in self.path.rglob("*") if file.is_file())
        return sorted(name for name in files if _is_visible(name))

    def read(self, name: str) -> bytes:
        """The bytes of one file. Raises PhotoError when it cannot be read or exceeds 256 MiB."""
        file = self.path / name
        try:
            with file.open("rb") as stream:
                return _bounded(stream.read(MAX_FILE_BYTES + 1), name)
        except OSError as error:
            raise PhotoError(f"cannot be read ({error.strerror or error})", name) from error


class ZipContainer:
    """A .zip archive; it can be pickled, and the other process opens it again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise ValueError(f"{path}: not a folder and not a readable .zip archive ({error})") from error
        if len(self._zip.infolist()) > MAX_ZIP_ENTRIES:
            raise ValueError(f"{path}: more than {MAX_ZIP_ENTRIES:,} files in one archive")

    def names(self) -> list[str]:
        """As `FolderContainer.names`."""
        entries = {entry.filename for entry in self._zip.infolist() if not entry.is_dir()}
        return sorted(name for name in entries if _is_visible(name))

    def read(self, name: str) -> bytes:
        """As `FolderContainer.read`."""
        try:
            with self._zip.open(name) as stream:
                # The size in the header may be wrong on purpose: the bound is enforced on the bytes read.
                return _bounded(stream.read(MAX_FILE_BYTES + 1), name)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, KeyError) as error:
            # RuntimeError: an encrypted entry. Its subclass NotImplementedError: an unknown compression.
            raise PhotoError(f"cannot be read from {self.path.name} ({error})", name) from error

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
    return ZipContainer(path)


def _bounded(data: bytes, name: str) -> bytes:
    if len(data) > MAX_FILE_BYTES:
        raise PhotoError(f"is larger than {MAX_FILE_BYTES // 2**20} MiB", name)
    return data


def normalized_name(name: str) -> str:
    """The name for comparisons: macOS stores 한글 decomposed, metadata files usually have it composed."""
    return unicodedata.normalize("NFC", name)
