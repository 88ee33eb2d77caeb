"""Digests by which a run and its inputs are recognised."""

import hashlib
from pathlib import Path


def file_sha256(file: Path) -> str:
    """SHA-256 of a file's bytes, lower-case hex. Raises OSError when it cannot be read."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def files_stamp(folder: Path) -> str:
    """Digest of the names, sizes and modification times below a folder, without reading the files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    rows = [(file.relative_to(folder).as_posix(), file.stat()) for file in files]
    text = "\n".join(f"{name} {found.st_size} {found.st_mtime_ns}" for name, found in rows)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
