"""Atomic writes, and errors that name the file or folder that cannot be written."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pixelpersona.files import refusal, whole, write_whole, writing_into
from tests.failing import disk_full


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "결과.json"
    with whole(file) as draft:
        draft.write_text("half")
        assert not file.exists()
        draft.write_text("all of it")
    assert file.read_text() == "all of it"
    write_whole(file, "더\n")
    assert file.read_bytes() == "더\n".encode()
    assert names(file.parent) == ["결과.json"]


def write_safetensors(draft: Path) -> None:
    save_file({"values": torch.zeros(1000)}, draft)


def write_array(draft: Path) -> None:
    with draft.open("wb") as opened:
        np.save(opened, np.zeros(1000))


@pytest.mark.parametrize("num_bytes", [10, 1000])
@pytest.mark.parametrize(
    "write", [lambda draft: draft.write_bytes(bytes(5000)), write_safetensors, write_array]
)
def test_a_full_disk_does_not_change_the_old_file(tmp_path: Path, write: object, num_bytes: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"before")
    assert callable(write)
    refused = pytest.raises(ValueError, match=r"file: cannot be written \((File|No) ")
    with disk_full(num_bytes), refused, whole(file) as draft:
        write(draft)
    assert file.read_bytes() == b"before"
    assert names(tmp_path) == ["file"]


def test_other_errors_propagate_and_do_not_change_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"before")
    bug = pytest.raises(RuntimeError, match="a bug")
    with bug, whole(tmp_path / "file") as draft:
        draft.write_bytes(b"half")
        raise RuntimeError("a bug")
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"before"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "any text"), os.strerror(errno.ENOSPC)),
        (OSError(errno.EDQUOT, ""), os.strerror(errno.EDQUOT)),
        (OSError(errno.EROFS, "", "file"), os.strerror(errno.EROFS)),
        (PermissionError(errno.EACCES, ""), os.strerror(errno.EACCES)),
        # As tokenizers raises it.
        (Exception(f"No space (os error {errno.ENOSPC})"), os.strerror(errno.ENOSPC)),
        (OSError(errno.EIO, ""), None),
        (FileNotFoundError(errno.ENOENT, ""), None),
        (OSError("cannot identify image file"), None),
        (ValueError(f"for the user (os error {errno.ENOSPC})"), None),
    ],
)
def test_refusal_recognises_only_errors_of_writing(error: Exception, reason: str | None) -> None:
    assert refusal(error) == reason


def test_writing_into_names_the_folder_and_its_remaining_content() -> None:
    with (
        pytest.raises(
            ValueError, match=r"^runs/a: cannot be written \(Read-only file system: x\.json\); all$"
        ),
        writing_into(Path("runs/a"), "all"),
    ):
        raise OSError(errno.EROFS, "Read-only file system", "runs/a/b/x.json")
    with pytest.raises(OSError, match="Input/output"), writing_into(Path("runs"), "all"):
        raise OSError(errno.EIO, "Input/output error")
