"""Folders and archives that are damaged, are something else, or never end."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pixelpersona.data.celeba import CelebASource
from pixelpersona.data.containers import open_container
from pixelpersona.data.sources import FolderSource
from pixelpersona.pixel.photo import PhotoError

METHODS = {
    "stored": zipfile.ZIP_STORED,
    "deflate": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}
CONTENT = np.random.default_rng(0).integers(0, 16, 3000, dtype=np.uint8).tobytes()


def archive(folder: Path, method: str) -> Path:
    file = folder / f"{method}.zip"
    with zipfile.ZipFile(file, "w", METHODS[method]) as opened:
        opened.writestr("a.png", CONTENT)
    return file


def test_a_damaged_lzma_entry_is_one_line(tmp_path: Path) -> None:
    file = archive(tmp_path, "lzma")
    data = bytearray(file.read_bytes())
    data[39:43] = b"\xff" * 4  # the properties of the LZMA stream
    file.write_bytes(data)
    with pytest.raises(PhotoError, match=r"^a\.png: cannot be read from lzma\.zip \(\S.*\)$"):
        open_container(file).read("a.png")


@pytest.mark.parametrize("method", METHODS)
def test_damaged_archives_give_their_content_or_one_line(tmp_path: Path, method: str) -> None:
    whole = archive(tmp_path, method).read_bytes()
    file = tmp_path / "damaged.zip"
    rng = np.random.default_rng(1)
    outcomes = set()
    for number in range(400):
        data = bytearray(whole)
        for position in rng.integers(0, 120, 2):  # headers lie at both ends
            data[position if number % 2 else -1 - position] = rng.integers(0, 256)
        file.write_bytes(data[: len(data) - (number % 5 == 0) * int(rng.integers(1, 200))])
        try:
            opened = open_container(file)
            outcomes |= {opened.read(name) == CONTENT for name in opened.listing().files}
        except (PhotoError, ValueError) as error:
            outcomes.add(type(error))
    assert outcomes == {True, PhotoError, ValueError}


def special(folder: Path, kind: str) -> Path:
    path = folder / kind
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "zero":
        path.symlink_to("/dev/zero")
    return path


@pytest.mark.parametrize("kind", ["fifo", "zero", "loop", "missing"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = special(tmp_path, kind)
    reason = "not a folder and not a regular file" if kind in ("fifo", "zero") else "no such folder or .zip"
    with pytest.raises(ValueError, match=rf"{path}: {reason}"):
        FolderSource(path)
    with pytest.raises(ValueError, match=rf"dataset\.path={path}: no CelebA there"):
        CelebASource(path)


def test_a_metadata_file_that_is_a_fifo_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"photo")
    os.mkfifo(tmp_path / "metadata.jsonl")
    assert FolderSource(tmp_path).notes == (f"{tmp_path}: left out: 1 special file",)


def test_hidden_folders_of_an_archive_count_once(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as opened:
        for name in ("a.png", "b.txt", ".git/a", ".git/b", "__MACOSX/._a.png", "sub/.DS_Store"):
            opened.writestr(name, b"")
    assert FolderSource(tmp_path / "x.zip").notes == (f"{tmp_path}/x.zip: left out: 3 hidden items, 1 .txt",)
