"""CelebA's tables as Kaggle (.csv) and the original release (.txt) have them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelpersona.data.celeba import CelebASource

NAMES = ["000001.jpg", "000002.jpg", "000003.jpg", "000004.jpg"]
COLUMNS = ["5_o_Clock_Shadow", "Eyeglasses", "Male", "Smiling", "Young"]
VALUES = {
    "000001.jpg": [-1, -1, -1, 1, 1],
    "000002.jpg": [1, 1, 1, -1, -1],
    "000003.jpg": [-1, -1, 1, 1, 1],
    "000004.jpg": [-1, 1, -1, -1, -1],
}
PARTITION = {"000001.jpg": 0, "000002.jpg": 1, "000003.jpg": 2, "000004.jpg": 0}
CAPTIONS = [
    "a photo of a young woman, smiling",
    "a photo of a man, with glasses",
    "a photo of a young man, smiling",
    "a photo of a woman, with glasses",
]


def write_photos(folder: Path, suffix: str = ".jpg") -> None:
    folder.mkdir(parents=True)
    for number, name in enumerate(NAMES):
        pixels = np.random.default_rng(number).integers(0, 256, (22, 18, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / Path(name).with_suffix(suffix))


def csv_tables() -> dict[str, str]:
    """As in Kaggle's archive: lines end with a carriage return."""
    partition = [f"{name},{value}" for name, value in PARTITION.items()]
    attributes = [",".join([name, *map(str, values)]) for name, values in VALUES.items()]
    return {
        "list_eval_partition.csv": "\r\n".join(["image_id,partition", *partition, ""]),
        "list_attr_celeba.csv": "\r\n".join([f"image_id,{','.join(COLUMNS)}", *attributes, ""]),
    }


def txt_tables(*, count: bool = True) -> dict[str, str]:
    """As in the original release: values in columns, the first line is the number of photos."""
    partition = [f"{name} {value}" for name, value in PARTITION.items()]
    attributes = [" ".join([name, *(f"{value:2d}" for value in values)]) for name, values in VALUES.items()]
    top = ["4"] if count else []
    return {
        "list_eval_partition.txt": "\n".join([*partition, ""]),
        "list_attr_celeba.txt": "\n".join([*top, " ".join(COLUMNS) + " ", *attributes, ""]),
    }


def write_tables(folder: Path, tables: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in tables.items():
        (folder / name).write_bytes(text.encode())


def check(source: CelebASource) -> None:
    ids = source.ids()
    assert [Path(name).stem for name in ids] == [Path(name).stem for name in NAMES]
    assert [source.split(name) for name in ids] == ["train", "val", "test", "train"]
    assert [source.caption(name) for name in ids] == CAPTIONS
    assert source.open(ids[0]).size == (18, 22)


@pytest.mark.parametrize("tables", [csv_tables(), txt_tables(), txt_tables(count=False)])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_csv_and_txt_tables_are_read_alike(tmp_path: Path, tables: dict[str, str], suffix: str) -> None:
    photos = "img_align_celeba_png" if suffix == ".png" else "img_align_celeba/img_align_celeba"
    write_photos(tmp_path / photos, suffix)
    write_tables(tmp_path, tables)
    source = CelebASource(tmp_path)
    check(source)
    assert source.notes == ()


def test_the_folders_of_the_original_release(tmp_path: Path) -> None:
    tables = txt_tables()
    write_photos(tmp_path / "CelebA/Img/img_align_celeba")
    write_tables(tmp_path / "CelebA/Eval", {name: tables[name] for name in ["list_eval_partition.txt"]})
    write_tables(tmp_path / "CelebA/Anno", {name: tables[name] for name in ["list_attr_celeba.txt"]})
    check(CelebASource(tmp_path))


def test_a_count_line_in_the_partition_and_a_header_with_image_id_are_accepted(tmp_path: Path) -> None:
    write_photos(tmp_path / "img_align_celeba")
    tables = txt_tables()
    tables["list_eval_partition.txt"] = "4\nimage_id partition\n" + tables["list_eval_partition.txt"]
    write_tables(tmp_path, tables)
    check(CelebASource(tmp_path))


def test_of_two_tables_the_csv_is_read_and_said_to_be(tmp_path: Path) -> None:
    write_photos(tmp_path / "img_align_celeba")
    wrong = {name: text.replace(" 0", " 2") for name, text in txt_tables().items()}
    write_tables(tmp_path / "img_align_celeba", wrong)  # nearer than the .csv
    write_tables(tmp_path, csv_tables())
    source = CelebASource(tmp_path)
    check(source)
    folder = tmp_path / "img_align_celeba"
    assert source.notes == tuple(
        f"{tmp_path / stem}.csv is read, {folder / stem}.txt is not"
        for stem in ("list_eval_partition", "list_attr_celeba")
    )


def test_photos_that_the_partition_misses_are_counted_and_named(tmp_path: Path) -> None:
    write_photos(tmp_path / "img_align_celeba")
    write_tables(tmp_path, {"list_eval_partition.txt": "000003.jpg 2\n"})
    (note,) = CelebASource(tmp_path).notes
    assert note == (
        f"{tmp_path / 'list_eval_partition.txt'}: 3 of 4 photos are not in it "
        "(000001.jpg, 000002.jpg, 000004.jpg); they are train photos"
    )


def test_a_missing_partition_is_said(tmp_path: Path) -> None:
    write_photos(tmp_path / "img_align_celeba")
    (tmp_path / "img_align_celeba/notes.txt").touch()
    assert CelebASource(tmp_path).notes == (
        f"{tmp_path / 'img_align_celeba'}: left out: 1 .txt",
        f"{tmp_path}: no list_eval_partition.csv or .txt; the photos are split by content hash",
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "list_eval_partition.txt",
            "000001.jpg 0\n000002.jpg 3\n",
            ", line 2: partition '3'; accepted 0, 1 and 2",
        ),
        (
            "list_eval_partition.csv",
            "image_id,partition\na.jpg,train\n",
            ", line 2: partition 'train'; accepted",
        ),
        (
            "list_eval_partition.csv",
            "image_id,partition\n000001.jpg,3\n",
            ", line 2: partition '3'; accepted 0, 1 and 2",
        ),
        (
            "list_eval_partition.csv",
            "wrong,columns\n1,2\n",
            ": not a CSV file whose first column is image_id",
        ),
        ("list_eval_partition.txt", "a.jpg 0\n\na.jpg 1\n", ", line 3: a second row for a.jpg with another"),
        ("list_eval_partition.txt", "a.jpg 0 1\n", ", line 1: 2 values after the photo; accepted 1"),
        ("list_eval_partition.txt", "a.jpg\n", ", line 1: 0 values after the photo; accepted 1"),
        ("list_eval_partition.csv", "image_id,partition\na.jpg\n", ", line 2: 0 values after the photo"),
        ("list_attr_celeba.txt", "1\na.jpg 1 -1\n", ": no line with the names of its columns"),
        (
            "list_attr_celeba.txt",
            "1\nMale Young\na.jpg 1\n",
            ", line 3: 1 values after the photo; accepted 2",
        ),
        ("list_attr_celeba.csv", "file,Male\na.jpg,1\n", ": not a CSV file whose first column is image_id"),
        ("list_attr_celeba.txt", "\udcff", ": not readable as UTF-8 text"),
    ],
)
def test_a_wrong_table_is_named_with_its_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    write_photos(tmp_path / "img_align_celeba")
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"\S") as caught:
        CelebASource(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / name}{message}")
    assert "\n" not in str(caught.value)


def test_a_table_that_is_a_folder_is_not_taken_for_a_missing_one(tmp_path: Path) -> None:
    write_photos(tmp_path / "img_align_celeba")
    (tmp_path / "list_eval_partition.csv").mkdir()
    with pytest.raises(ValueError, match=r"list_eval_partition\.csv: not a regular file"):
        CelebASource(tmp_path)


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "celeba.zip").touch()
    with pytest.raises(ValueError, match=r"celeba\.zip: dataset=celeba needs a folder; unpack the archive"):
        CelebASource(tmp_path / "celeba.zip")


def test_attributes_without_male_name_a_person(tmp_path: Path) -> None:
    write_photos(tmp_path / "img_align_celeba")
    (tmp_path / "list_attr_celeba.txt").write_text("Young Smiling\n000001.jpg 1 -1\n")
    assert CelebASource(tmp_path).caption("000001.jpg") == "a photo of a young person"
