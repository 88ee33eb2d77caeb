"""`pretrain stage=landmarks` on generated photos in the layout of CelebA."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelpersona import pretrain
from tests.aligned import dotted_photo, save_celeba
from tests.pretraining import SMALL, into
from tests.refusing import refused

STAGE = ["stage=landmarks", "dataset=celeba"]


def test_the_stage_writes_the_network_and_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A resumed run ends with the same file, although checkpoints do not contain batch norm's statistics."""
    photos = save_celeba(tmp_path / "celeba", num_train=10, num_val=3)
    words = [f"dataset.path={photos}", *into(tmp_path), *SMALL, *STAGE, "landmarks.checkpoint_every_steps=1"]
    pretrain.main(words)
    folder = tmp_path / "pretrain"
    file = folder / "landmarks.npz"
    lines = capsys.readouterr().out.splitlines()
    number = r"\d+\.\d{3}"
    assert re.fullmatch(
        rf"landmarks: mean error in eye distances on 3 val photos: left eye {number}, right eye {number}, "
        rf"nose tip {number}, left mouth corner {number}, right mouth corner {number}",
        lines[0],
    )
    assert lines[1:] == [f"wrote {file}"]
    with np.load(file) as arrays:
        assert arrays["merge.weight"].shape == (32, 96, 3, 3)
        assert all(np.isfinite(arrays[name]).all() for name in arrays.files)

    expected, read = file.read_bytes(), (folder / "aligned.npy").stat().st_mtime_ns
    shutil.rmtree(folder / "landmarks" / "checkpoints" / "step-000003")
    file.unlink()
    pretrain.main(words)
    assert file.read_bytes() == expected
    assert (folder / "aligned.npy").stat().st_mtime_ns == read
    pretrain.main([*words, "name=other", "seed=1"])
    assert (tmp_path / "other" / "landmarks.npz").read_bytes() != expected


def test_wrong_photos_and_settings_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = save_celeba(tmp_path / "celeba", num_train=4, num_val=1)
    Image.fromarray(dotted_photo()[:178]).save(photos / "img_align_celeba" / "000002.png")
    words = [f"dataset.path={photos}", *into(tmp_path), *SMALL, *STAGE]
    message = "000002.png: 178x178 pixels; accepted aligned photos of CelebA, 178x218"
    assert refused(pretrain.main, capsys, words) == message
    assert [path.name for path in (tmp_path / "pretrain").iterdir()] == []
    message = refused(pretrain.main, capsys, [*words, "landmarks.num_statistics_batches=0"])
    assert message == "landmarks.num_statistics_batches=0: accepted 1 or more"


def test_the_photos_of_a_run_must_stay_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = save_celeba(tmp_path / "celeba", num_train=6, num_val=1)
    words = [f"dataset.path={photos}", *into(tmp_path), *SMALL, *STAGE]
    pretrain.main(words)
    message = refused(pretrain.main, capsys, [*words, "dataset.limit=4"])
    assert message.startswith(f"{tmp_path / 'pretrain' / 'aligned.npy'}: made from other photos")
