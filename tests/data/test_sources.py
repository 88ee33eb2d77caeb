import hashlib
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pixelpersona.data.celeba import CelebASource
from pixelpersona.data.metadata import attribute_caption
from pixelpersona.data.sources import FolderSource, PhotoSource, open_source
from pixelpersona.pixel.photo import PhotoError

NAMES = ["a b.png", "c,d=e.webp", "내 사진 (1)[2].jpg", "sub/{x}'\".JPEG"]


def photo_bytes(seed: int = 0, suffix: str = ".png") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    kind = {".png": "PNG", ".webp": "WEBP"}.get(suffix.lower(), "JPEG")
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def write_folder(root: Path, names: list[str]) -> dict[str, bytes]:
    content = {name: photo_bytes(i, Path(name).suffix) for i, name in enumerate(names)}
    for name, data in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return content


def write_zip(file: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return file


def test_a_folder_and_its_zip_have_the_same_photos(tmp_path: Path) -> None:
    content = write_folder(tmp_path / "in", NAMES)
    (tmp_path / "in" / "notes.txt").write_text("no photo")
    (tmp_path / "in" / ".hidden.png").write_bytes(photo_bytes())
    packed = content | {"notes.txt": b"no photo", "__MACOSX/._a b.png": b"fork", ".hidden.png": photo_bytes()}
    sources: list[PhotoSource] = [
        FolderSource(tmp_path / "in"),
        FolderSource(write_zip(tmp_path / "my photos.zip", packed)),
    ]
    for source in sources:
        assert source.ids() == sorted(NAMES)
        for name in NAMES:
            assert source.digest(name) == hashlib.sha256(content[name]).hexdigest()
            assert source.open(name).size == (10, 12)
            assert source.caption(name) is None
            assert source.split(name) is None


def test_sources_can_be_pickled(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "p.zip", {"a.png": photo_bytes()})
    source = FolderSource(archive)
    source.digest("a.png")
    copy = pickle.loads(pickle.dumps(source))
    assert copy.digest("a.png") == source.digest("a.png")


@pytest.mark.parametrize("packed", [False, True])
def test_metadata_in_a_subfolder_defines_captions_and_splits(tmp_path: Path, packed: bool) -> None:
    rows: list[dict[str, Any]] = [
        {"file_name": "00000.png", "age": 26, "gender": "female", "ethnicity": "asian", "split": "test"},
        {"file_name": "한글.png", "text": "a portrait", "split": "train"},
    ]
    lines = "\n".join(json.dumps(row) for row in rows)
    content = {f"faces/{row['file_name']}": photo_bytes(i) for i, row in enumerate(rows)}
    content |= {"faces/metadata.jsonl": lines.encode(), "other.png": photo_bytes(9)}
    if packed:
        source = FolderSource(write_zip(tmp_path / "x.zip", content))
    else:
        for name, data in content.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(data)
        source = FolderSource(tmp_path)
    assert source.caption("faces/00000.png") == "a photo of a 26 year old asian woman"
    assert source.split("faces/00000.png") == "test"
    assert (source.caption("faces/한글.png"), source.split("faces/한글.png")) == ("a portrait", "train")
    assert source.caption("other.png") is None


def test_decomposed_file_names_match_composed_metadata(tmp_path: Path) -> None:
    decomposed = "\u1112\u1161\u11ab.png"  # 한 as macOS archives store it
    line = json.dumps({"file_name": "한.png", "text": "found"}).encode()
    archive = write_zip(tmp_path / "mac.zip", {decomposed: photo_bytes(), "metadata.jsonl": line})
    assert FolderSource(archive).caption(decomposed) == "found"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{broken", "metadata.jsonl, line 2: not JSON"),
        (b'["a.png"]', "line 2: a row needs a file_name"),
        (b'{"photo": "a.png"}', "line 2: a row needs a file_name"),
        (b'{"file_name": "b.png"}', "line 2: there is no file b.png"),
        (
            b'{"file_name": "a.png", "split": "tset"}',
            "line 2: split 'tset' is unknown; accepted: train, val, validation, test",
        ),
        (
            b'{"file_name": "a.png", "split": "heldout"}',
            "accepted: train, val, validation, test; write val or test instead",
        ),
        (b'{"file_name": "a.png", "split": ["val"]}', "line 2: split ['val'] is unknown"),
    ],
)
def test_bad_metadata_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    first = b'{"file_name": "a.png"}\n'
    archive = write_zip(tmp_path / "x.zip", {"a.png": photo_bytes(), "metadata.jsonl": first + line})
    with pytest.raises(ValueError, match=r"\S") as caught:
        FolderSource(archive)
    assert str(archive) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_empty_and_unreadable_paths_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 not really")
    (tmp_path / "truncated.zip").write_bytes(
        write_zip(tmp_path / "x.zip", {"a.png": photo_bytes()}).read_bytes()[:-30]
    )
    write_zip(tmp_path / "none.zip", {"a.txt": b""})
    for name in ("missing", "empty", "bad.zip", "truncated.zip", "none.zip"):
        with pytest.raises(ValueError, match=r"\S") as caught:
            FolderSource(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


def test_broken_photos_raise_photo_error(tmp_path: Path) -> None:
    good = photo_bytes()
    archive = write_zip(tmp_path / "x.zip", {"good.png": good, "bad.png": b"not a picture"})
    source = FolderSource(archive)
    with pytest.raises(PhotoError, match=r"bad\.png"):
        source.open("bad.png")
    damaged = bytearray(archive.read_bytes())
    damaged[60] ^= 0xFF  # inside the first entry's compressed bytes
    archive.write_bytes(bytes(damaged))
    with pytest.raises(PhotoError, match=r"good\.png"):
        FolderSource(archive).digest("good.png")


def test_a_zip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixelpersona.data.containers.MAX_FILE_BYTES", 2**20)
    archive = write_zip(tmp_path / "bomb.zip", {"bomb.png": bytes(2**20 + 1), "fits.png": bytes(2**20)})
    assert len(FolderSource(archive).digest("fits.png")) == 64
    with pytest.raises(PhotoError, match=r"bomb\.png: is larger than 1 MiB"):
        FolderSource(archive).digest("bomb.png")


def test_path_traversal_in_entry_names_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    archive = write_zip(
        tmp_path / "in" / "x.zip", {"a/../../evil.png": photo_bytes(), "ok.png": photo_bytes()}
    )
    source = FolderSource(archive)
    for photo_id in source.ids():
        source.open(photo_id)
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["in", "x.zip"]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train/a.png", "train"), ("VAL/a.png", "val"), ("Validation/x/a.png", "val"), ("valid/a.png", "val"),
        ("faces/Test/a.png", "test"), ("test/train/a.png", "test"), ("test.png", None), ("tests/a.png", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_folder_names_define_splits(tmp_path: Path, name: str, split: str | None, packed: bool) -> None:
    if packed:
        source = FolderSource(write_zip(tmp_path / "x.zip", {name: photo_bytes()}))
    else:
        write_folder(tmp_path / "test", [name])  # folders above the data set do not count
        source = FolderSource(tmp_path / "test")
    assert source.split(name) == split


def test_metadata_decides_before_folder_names(tmp_path: Path) -> None:
    rows = [{"file_name": "a.png", "split": "validation"}, {"file_name": "b.png", "text": "a portrait"}]
    content = {f"train/{name}.png": photo_bytes(i) for i, name in enumerate("ab")}
    content["train/metadata.jsonl"] = "\n".join(map(json.dumps, rows)).encode()
    source = FolderSource(write_zip(tmp_path / "x.zip", content))
    assert (source.split("train/a.png"), source.split("train/b.png")) == ("val", "train")


@pytest.mark.parametrize(
    ("age", "gender", "ethnicity", "caption"),
    [
        (26, "female", "asian", "a photo of a 26 year old asian woman"),
        (26, "female", None, "a photo of a 26 year old woman"),
        (8, "male", "other", "a photo of an 8 year old boy"),
        (18, "male", "white", "a photo of an 18 year old white man"),
        (80, "female", None, "a photo of an 80 year old woman"),
        (11, "female", None, "a photo of an 11 year old girl"),
        (1, "male", None, "a photo of a 1 year old boy"),
        (116, None, None, "a photo of a 116 year old person"),
        (None, "male", "indian", "a photo of an indian man"),
        (None, None, None, "a photo of a person"),
    ],
)
def test_attribute_caption(age: int | None, gender: str | None, ethnicity: str | None, caption: str) -> None:
    assert attribute_caption(age, gender, ethnicity) == caption


def write_celeba(root: Path, photos: str) -> None:
    write_folder(root / photos, [f"{i:06d}.jpg" for i in (1, 2, 3)])
    (root / "list_eval_partition.csv").write_text(
        "image_id,partition\n000001.jpg,0\n000002.jpg,1\n000003.jpg,2\n"
    )
    (root / "list_attr_celeba.csv").write_text(
        "image_id,Eyeglasses,Male,Smiling,Young\n000001.jpg,-1,-1,1,1\n000002.jpg,1,1,-1,-1\n"
    )


@pytest.mark.parametrize("around", ["", "celeba-dataset"])
@pytest.mark.parametrize("photos", ["img_align_celeba/img_align_celeba", "img_align_celeba"])
def test_celeba_layouts(tmp_path: Path, around: str, photos: str) -> None:
    write_celeba(tmp_path / around, photos)
    source = CelebASource(tmp_path)
    assert source.ids() == ["000001.jpg", "000002.jpg", "000003.jpg"]
    assert [source.split(photo_id) for photo_id in source.ids()] == ["train", "val", "test"]
    assert source.caption("000001.jpg") == "a photo of a young woman, smiling"
    assert source.caption("000002.jpg") == "a photo of a man, with glasses"
    assert source.caption("000003.jpg") is None
    assert source.open("000001.jpg").size == (10, 12)


def test_celeba_root_may_be_the_folder_of_photos_itself(tmp_path: Path) -> None:
    write_celeba(tmp_path, "img_align_celeba")
    source = CelebASource(tmp_path / "img_align_celeba")
    assert len(source.ids()) == 3
    assert {source.split(photo_id) for photo_id in source.ids()} == {None}  # the files above are not read


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_missing_celeba_says_how_to_download_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"\S") as caught:
        CelebASource(tmp_path / name)
    message = str(caught.value)
    assert "\n" not in message
    for part in (str(tmp_path / name), "jessicali9530/celeba-dataset", "dataset.path="):
        assert part in message


def test_open_source_opens_each_kind(tmp_path: Path) -> None:
    write_celeba(tmp_path, "img_align_celeba")
    assert len(open_source("portraits", None).ids()) == 256
    assert len(open_source("folder", tmp_path).ids()) == 3
    assert open_source("celeba", tmp_path).name == "celeba"
    for kind in ("folder", "celeba"):
        with pytest.raises(ValueError, match=rf"dataset\.path: dataset={kind} needs .*, dataset\.path=DIR"):
            open_source(kind, None)
