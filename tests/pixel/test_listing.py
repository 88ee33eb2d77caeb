"""Which files of a folder are read, and how skipped entries are counted."""

import os
import socket
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from pixelpersona import pixelate
from pixelpersona.data.sources import FolderSource
from pixelpersona.pixel import photo_formats
from pixelpersona.pixel.batch import plan_folder
from pixelpersona.pixel.listing import Listing, list_files


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def test_linked_folders_are_read_once_and_loops_are_not_followed(tmp_path: Path) -> None:
    root, other = tmp_path / "in", tmp_path / "other"
    touch(root / "real/a.png", other / "deep/b.png", other / "c.png")
    (root / "0 link to real").symlink_to(root / "real")  # sorted before the folder that it links to
    (root / "loop").symlink_to(root)
    (root / "real/up").symlink_to("..")
    (root / "above").symlink_to(tmp_path)
    (root / "deep").symlink_to(other / "deep")
    (root / "other").symlink_to(other)
    (root / "other again").symlink_to(other)
    (other / "back").symlink_to(root / "real")
    found = list_files(root)
    assert found.files == ["deep/b.png", "other/c.png", "real/a.png"]
    # Both links to real, loop, up and above, and of the folder `other`: its deep and its second link.
    assert found.skipped == {"repeated folder link": 7}


def test_files_behind_links_are_read_and_all_else_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "in"
    touch(root / "a.png", tmp_path / "elsewhere.png", root / ".hidden.png", root / ".git/a/b.png")
    touch(root / "__MACOSX/a.png", root / "sub/.DS_Store")
    (root / "linked.png").symlink_to(tmp_path / "elsewhere.png")
    (root / "gone.png").symlink_to(tmp_path / "gone.png")
    (root / "round.png").symlink_to(root / "round.png")
    (root / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(root / "fifo.png")
    monkeypatch.chdir(root)  # the path of a socket is limited to about 100 bytes
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.png")
    found = list_files(root)
    assert found.files == ["a.png", "linked.png"]
    assert found.skipped == {"hidden item": 4, "dangling link": 2, "special file": 3}


def test_a_folder_that_cannot_be_read_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a.png", tmp_path / "locked/b.png")
    scandir = os.scandir

    def refusing(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert list_files(tmp_path) == Listing(["a.png"], Counter({"unreadable folder": 1}))
    with pytest.raises(ValueError, match=r"locked: cannot be read \(Permission denied\)"):
        list_files(tmp_path / "locked")


@pytest.mark.parametrize(
    ("files", "skipped", "line"),
    [
        ([], {}, ""),
        (["a.png"], {}, ""),
        (["a.png", "b.TXT", "c.txt", "d"], {"dangling link": 3}, "3 dangling links, 2 .txt, 1 (no suffix)"),
        (["a.heic"], {"hidden item": 2}, "2 hidden items, 1 .heic (how to read it)"),
        (["Mr. J Smith", "b.\x1b[2J"], {}, "2 (no suffix)"),
        (
            [*(f"x.{i}" for i in range(10)), "y.9"],
            {},
            "2 .9, 1 .0, 1 .1, 1 .2, 1 .3, 1 .4, 1 .5, 1 .6, 2 others",
        ),
    ],
)
def test_one_line_counts_what_is_left_out_by_kind(
    files: list[str], skipped: dict[str, int], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(photo_formats.HINTS, ".heic", "how to read it")
    assert Listing(files, Counter(skipped)).left_out(["a.png"]) == (f"left out: {line}" if line else "")


def test_pixelate_and_the_data_sets_leave_out_the_same_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "in"
    touch(root / "b.txt", root / ".c.png", root / "sub/d.jsonl")
    Image.new("RGB", (12, 12), "red").save(root / "a.jfif", "JPEG")
    (root / "again").symlink_to(root)
    (root / "gone.png").symlink_to("nowhere.png")
    line = "left out: 1 .jsonl, 1 .txt, 1 dangling link, 1 hidden item, 1 repeated folder link"
    assert FolderSource(root).notes == (f"{root}: {line}",)
    assert FolderSource(root).ids() == ["a.jfif"]
    jobs, left_out = plan_folder(root, tmp_path / "out")
    assert ([job.source for job in jobs], left_out) == ([root / "a.jfif"], line)
    pixelate.main([f"photo={root}", f"out={root / 'out'}", "num_workers=1"])
    assert f"{root}: {line}\n" in capsys.readouterr().err
    again, left_out = plan_folder(root, root / "out")
    assert ([job.source for job in again], left_out) == ([root / "a.jfif"], line)


def test_a_folder_of_other_files_says_what_it_holds(tmp_path: Path) -> None:
    touch(tmp_path / "in/a.txt", tmp_path / "in/.b.png")
    for read in (FolderSource, lambda folder: plan_folder(folder, tmp_path / "out")):
        with pytest.raises(ValueError, match=r"; left out: 1 \.txt, 1 hidden item"):
            read(tmp_path / "in")


def test_results_inside_the_folder_of_photos_are_neither_read_nor_counted(tmp_path: Path) -> None:
    touch(tmp_path / "a.png", tmp_path / "out/a.png", tmp_path / "out/rejected.jsonl")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    (tmp_path / "old.png").symlink_to(tmp_path / "out/a.png")
    jobs, left_out = plan_folder(tmp_path, tmp_path / "out")
    assert [job.source.name for job in jobs] == ["a.png"]
    assert left_out == ""
    assert len(list_files(tmp_path).files) == 4
