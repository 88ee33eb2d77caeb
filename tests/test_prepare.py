"""What `prepare` and `train` say about photos that are left out, copies across splits, and too few photos."""

import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from skimage.data import astronaut, chelsea, coffee, rocket

from pixelpersona import prepare, train
from tests.refusing import refused

PHOTOS = [Image.fromarray(load()) for load in (astronaut, chelsea, coffee, rocket)]


def words(root: Path) -> list[str]:
    return [
        "dataset=folder", f"dataset.path={root / 'photos'}", "dataset.framing=center", "model.image_size=32",
        "model.cell=4", f"paths.cache={root / 'cache'}", "dataset.num_workers=1",
    ]  # fmt: skip


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"


def test_prepare_names_what_it_leaves_out(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, photo in enumerate(PHOTOS):
        photo.resize((48, 48)).save(photos / f"{number}.png")
    (photos / "a.png").write_bytes(b"")
    PHOTOS[0].resize((9, 9)).save(photos / "tiny.png")
    for _ in range(2):  # the second time everything exists
        prepare.main([*words(tmp_path), "encode=false"])
        (folder,) = (tmp_path / "cache").glob("pairs-*")
        printed = capsys.readouterr()
        assert printed.out.splitlines()[0] == f"pairs: 2 train, 1 val, 1 test; in {folder}"
        assert printed.err.splitlines()[-1] == (
            "2 of 6 photos left out: 1 is empty (such as a.png); 1 too small, 9x9 pixels would be enlarged "
            "3.6 times (dataset.max_enlargement=3) (such as tiny.png); see "
            f"{folder / 'rejected.jsonl'}"
        )
    rows = (folder / "rejected.jsonl").read_text().splitlines()
    assert [json.loads(row)["id"] for row in rows] == ["a.png", "tiny.png"]


def test_copies_in_splits_that_the_data_set_defines_are_counted(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split, numbers in (("train", (0, 1)), ("val", (2,)), ("test", (1, 3))):
        (photos / split).mkdir()
        for number in numbers:
            PHOTOS[number].resize((48, 48)).save(photos / split / f"{number} of {split}.jpg")
    prepare.main([*words(tmp_path), "encode=false"])
    printed = capsys.readouterr()
    assert printed.out.startswith("pairs: 2 train, 1 val, 2 test; ")
    assert printed.err.splitlines()[-1].startswith(
        "near-duplicates in several splits: 1, such as test/1 of test.jpg (test) and "
        "train/1 of train.jpg (train); "
    )


@pytest.mark.parametrize(("copies", "found"), [(1, "1 train, 0 val"), (12, "12 train, 0 val")])
def test_training_says_how_many_photos_it_needs(
    photos: Path,
    tmp_path: Path,
    micro_base_folder: Path,
    capsys: pytest.CaptureFixture[str],
    copies: int,
    found: str,
) -> None:
    for copy in range(copies):
        PHOTOS[0].resize((48, 48)).save(photos / f"{copy}.png")
    more = [f"model.path={micro_base_folder}", f"paths.runs={tmp_path / 'runs'}"]
    message = refused(train.main, capsys, [*words(tmp_path), *more])
    assert message == (
        f"{photos}: {found}, 0 test photos; training needs both train and val, at least 2 photos that are "
        "not copies of each other, and dataset.val_share above 0 (now 0.1)"
    )


def test_the_photos_of_a_zip_with_train_and_test_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Val photos are taken from train/, and test/ stays as it is."""
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for number, photo in enumerate(PHOTOS):
            with archive.open(f"set/{'test' if number == 3 else 'train'}/{number}.png", "w") as file:
                photo.resize((48, 48)).save(file, "PNG")
    prepare.main([*words(tmp_path), f"dataset.path={tmp_path / 'photos.zip'}", "encode=false"])
    assert capsys.readouterr().out.startswith("pairs: 2 train, 1 val, 1 test; ")
