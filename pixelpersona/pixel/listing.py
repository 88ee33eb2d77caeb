"""The files below a folder, linked folders included, and how many entries were skipped, by kind."""

import os
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pixelpersona.pixel.photo_formats import HINTS

_NUM_KINDS = 8  # that a line names; the others are counted together


@dataclass(frozen=True, slots=True)
class Listing:
    """Files by POSIX-style name relative to their folder or archive, sorted.

    skipped: number of entries that are not listed, by kind, such as "dangling link".
    """

    files: list[str]
    skipped: Counter[str] = field(default_factory=Counter)

    def left_out(self, used: Collection[str]) -> str:
        """For instance "left out: 12 .txt, 3 .heic (how to read them), 1 dangling link"; "" for nothing.

        used: the files that are read; all others are counted by suffix.
        """
        used = frozenset(used)
        counts = Counter(_suffix(file) for file in self.files if file not in used) + self.skipped
        kinds = sorted(counts.items(), key=lambda kind: (-kind[1], kind[0]))
        parts = [_count(kind, number) for kind, number in kinds[:_NUM_KINDS]]
        if rest := sum(number for _, number in kinds[_NUM_KINDS:]):
            parts.append(f"{rest} others")
        return f"left out: {', '.join(parts)}" if parts else ""


def list_files(root: Path, *, skip: Path | None = None) -> Listing:
    """All regular files below a folder, except hidden ones and those in the folder `skip`.

    Linked folders are read like others, but no folder is read twice, and links to a folder above are not
    followed. Raises ValueError when the folder cannot be read.
    """
    walk = _Walk(root, None if skip is None else os.path.realpath(skip))
    walk.read_all()
    return Listing(sorted(walk.files), walk.skipped)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is skipped: hidden, or the resource forks of macOS."""
    return name.startswith(".") or name == "__MACOSX"


class _Walk:
    def __init__(self, root: Path, skip: str | None) -> None:
        self.root, self.skip = root, skip
        self.files: list[str] = []
        self.skipped: Counter[str] = Counter()
        self._seen: set[str] = set()
        self._links: list[tuple[str, str]] = []

    def read_all(self) -> None:
        """Real folders first, so that a folder inside the tree has its own name and not that of a link."""
        self._read_tree("", os.path.realpath(self.root))
        while self._links:
            links, self._links = sorted(self._links), []
            for name, real in links:
                self._read_tree(name, real)

    def _read_tree(self, top: str, real_top: str) -> None:
        """top: relative name. real_top: the same folder without links, absolute."""
        stack = [(top, real_top)]
        while stack:
            name, real = stack.pop()
            if self.skip is not None and _is_inside(real, self.skip):
                continue
            if real in self._seen:
                self.skipped["repeated folder link"] += 1
                continue
            self._seen.add(real)
            try:
                with os.scandir(self.root / name) as entries:
                    for entry in entries:
                        stack += self._read_entry(entry, f"{name}/{entry.name}" if name else entry.name, real)
            except OSError as error:
                if not name:
                    raise ValueError(f"{self.root}: cannot be read ({error.strerror})") from error
                self.skipped["unreadable folder"] += 1

    def _read_entry(self, entry: os.DirEntry[str], name: str, real_folder: str) -> list[tuple[str, str]]:
        """Record a file, a link or a skipped entry; returns the entry when it is a folder to read next."""
        if is_hidden(entry.name):
            self.skipped["hidden item"] += 1
        elif entry.is_symlink():
            self._follow(entry, name, real_folder)
        elif entry.is_dir():
            return [(name, os.path.join(real_folder, entry.name))]
        elif entry.is_file():
            self.files.append(name)
        else:
            self.skipped["special file"] += 1
        return []

    def _follow(self, entry: os.DirEntry[str], name: str, real_folder: str) -> None:
        real = os.path.realpath(entry.path)
        if self.skip is not None and _is_inside(real, self.skip):
            return
        if os.path.isdir(real):
            if _is_inside(real_folder, real):
                self.skipped["repeated folder link"] += 1
            else:
                self._links.append((name, real))
        elif os.path.isfile(real):
            self.files.append(name)
        else:
            self.skipped["special file" if os.path.exists(real) else "dangling link"] += 1


def _is_inside(path: str, folder: str) -> bool:
    """Whether a path is a folder or below it; both absolute and without links."""
    return path == folder or path.startswith(os.path.join(folder, ""))


def _suffix(file: str) -> str:
    """The kind of a file: its suffix if it looks like one, "(no suffix)" otherwise."""
    suffix = PurePosixPath(file).suffix.lower()
    return suffix if re.fullmatch(r"\.\w{1,10}", suffix) else "(no suffix)"


def _count(kind: str, number: int) -> str:
    if kind.startswith((".", "(")):
        return f"{number} {kind} ({HINTS[kind]})" if kind in HINTS else f"{number} {kind}"
    return f"{number} {kind}" + ("s" if number > 1 else "")
