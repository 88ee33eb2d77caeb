"""Which photos can be used, and their splits, decided after decoding."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelpersona.data.pairs import prepare_pairs
from pixelpersona.data.sources import FolderSource
from pixelpersona.data.splits import SplitShares
from pixelpersona.data.survey import INSPECTIONS, Survey, left_out, survey
from pixelpersona.data.verify import verify_cache
from pixelpersona.pixel.photo import PhotoError
from pixelpersona.pixel.photo_formats import HINTS
from tests.data.preparing import RECIPE

SHARES = SplitShares(val=0.1, test=0.1)


def picture(seed: int, size: tuple[int, int] = (96, 96)) -> Image.Image:
    """A picture of smooth random colours with as much structure as a photo."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


class CountingSource(FolderSource):
    """Counts how often each photo is decoded."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.opened: list[str] = []

    def open(self, photo_id: str, /) -> Image.Image:
        self.opened.append(photo_id)
        return super().open(photo_id)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"


def inspect(source: FolderSource, root: Path, **options: float) -> Survey:
    return survey(source, root, size=96, seed=0, shares=SHARES, num_workers=1, **options)


def splits(found: Survey) -> dict[str, str]:
    return {photo.id: photo.split for photo in found.photos}


def test_a_broken_photo_takes_no_place_in_a_split(folder: Path, tmp_path: Path) -> None:
    """Of four photos one is broken: each split still gets one, whichever it is."""
    for broken in range(4):
        for number in range(4):
            picture(number).save(folder / f"{number}.png")
        (folder / f"{broken}.png").write_bytes(b"not a picture")
        found = inspect(FolderSource(folder), tmp_path / "cache")
        assert sorted(splits(found).values()) == ["test", "train", "val"]
        assert found.rejected == {f"{broken}.png": "not a JPEG, PNG, WebP, BMP, TIFF, AVIF or HEIC picture"}


def test_copies_share_a_split_and_different_photos_are_spread(folder: Path, tmp_path: Path) -> None:
    for number in range(40):
        photo = picture(number)
        photo.save(folder / f"{number:02d}.png")
        photo.save(folder / f"{number:02d} again.jpg", quality=80)
        photo.resize((64, 64)).save(folder / f"{number:02d} small.webp")
    found = survey(
        FolderSource(folder), tmp_path, size=96, seed=0, shares=SplitShares(0.25, 0.25), num_workers=1
    )
    by_id = splits(found)
    for number in range(40):
        names = [f"{number:02d}.png", f"{number:02d} again.jpg", f"{number:02d} small.webp"]
        assert len({by_id[name] for name in names}) == 1
        # The smallest hash of the copies decides.
        smallest = min(hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names)
        fraction = int(smallest, 16) / 2**256
        assert by_id[names[0]] == ("test" if fraction < 0.25 else "val" if fraction < 0.5 else "train")


def test_identical_photos_are_one_photo(folder: Path, tmp_path: Path) -> None:
    for number in range(12):
        picture(0).save(folder / f"{number}.png")
    assert set(splits(inspect(FolderSource(folder), tmp_path)).values()) == {"train"}


def test_nothing_is_decoded_twice(folder: Path, tmp_path: Path) -> None:
    """A second inspection of the same contents decodes nothing, broken photos and other names included."""
    picture(0).save(folder / "a.png")
    (folder / "broken.jpg").write_bytes(b"nothing")
    first = inspect(CountingSource(folder), tmp_path)
    (folder / "a.png").rename(folder / "b.png")
    picture(1).save(folder / "c.png")
    source = CountingSource(folder)
    second = inspect(source, tmp_path)
    assert source.opened == ["c.png"]
    assert second.rejected == first.rejected
    assert second.photos[0].fingerprint == first.photos[0].fingerprint
    # Two processes that inspect different photos keep each other's results.
    assert len(json.loads((tmp_path / INSPECTIONS).read_bytes())["photos"]) == 3


def test_a_lack_of_memory_is_not_remembered(folder: Path, tmp_path: Path) -> None:
    class Short(FolderSource):
        def open(self, photo_id: str, /) -> Image.Image:
            raise PhotoError("not enough memory to decode it", photo_id) from MemoryError()

    picture(0).save(folder / "a.png")
    assert inspect(Short(folder), tmp_path).rejected == {"a.png": "not enough memory to decode it"}
    assert not (tmp_path / INSPECTIONS).exists()
    assert inspect(FolderSource(folder), tmp_path).rejected == {}


def test_a_format_without_its_package_is_not_remembered(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(HINTS, ".heic", "install the extra")
    (folder / "a.jpg").write_bytes(b"\0\0\0\x1cftypheic" + bytes(16))  # phones name them .jpg, too
    assert inspect(FolderSource(folder), tmp_path).rejected == {"a.jpg": "install the extra"}
    assert not (tmp_path / INSPECTIONS).exists()


@pytest.mark.parametrize("damage", ["flip", "cut", "list", "nothing"])
def test_a_damaged_list_is_named_by_verify_and_made_again(folder: Path, tmp_path: Path, damage: str) -> None:
    picture(0).save(folder / "a.png")
    cache = tmp_path / "cache"
    expected = inspect(FolderSource(folder), cache)
    file = cache / INSPECTIONS
    data = file.read_bytes()
    assert verify_cache(cache).damaged == ()
    place = data.index(b"fingerprint") + 20
    changed = {
        "flip": data[:place] + (b"0" if data[place : place + 1] != b"0" else b"1") + data[place + 1 :],
        "cut": data[:-9],
        "list": b"[]",
        "nothing": b"",
    }
    file.write_bytes(changed[damage])
    assert verify_cache(cache).damaged == (f"{file}: changed since it was written",)
    source = CountingSource(folder)
    assert inspect(source, cache) == expected
    assert source.opened == ["a.png"]
    assert file.read_bytes() == data


@pytest.mark.parametrize(("size", "times"), [((1, 1), "96.0"), ((20, 20), "4.8"), ((3000, 3), "32.0")])
def test_tiny_photos_are_rejected_with_their_size(
    folder: Path, tmp_path: Path, size: tuple[int, int], times: str
) -> None:
    picture(0).save(folder / "a.png")
    picture(1, (32, 400)).save(folder / "just fits.png")
    picture(2, size).save(folder / "tiny.png")
    found = inspect(FolderSource(folder), tmp_path, max_enlargement=3.0)
    assert sorted(splits(found)) == ["a.png", "just fits.png"]
    assert found.rejected == {
        "tiny.png": f"too small, {size[0]}x{size[1]} pixels would be enlarged {times} times "
        "(dataset.max_enlargement=3)"
    }
    assert inspect(FolderSource(folder), tmp_path).rejected == {}
    with pytest.raises(ValueError, match=r"dataset\.max_enlargement=0\.5: accepted 1 or more"):
        inspect(FolderSource(folder), tmp_path, max_enlargement=0.5)


def test_a_photo_that_changes_meanwhile_is_not_cached(folder: Path, tmp_path: Path) -> None:
    class Changing(FolderSource):
        def open(self, photo_id: str, /) -> Image.Image:
            picture(1).save(folder / photo_id)
            return super().open(photo_id)

    picture(0).save(folder / "a.png")
    with pytest.raises(ValueError, match=r"a\.png: changed while the data was prepared"):
        inspect(Changing(folder), tmp_path)
    assert not (tmp_path / INSPECTIONS).exists()


def test_photos_are_left_out_in_one_line_by_kind(tmp_path: Path) -> None:
    rejected = {
        "a.png": "too small, 20x20 pixels would be enlarged 4.8 times",
        "b.jpg": "damaged or truncated",
        "c.png": "too small, 1x1 pixels would be enlarged 96.0 times",
    }
    assert left_out(rejected, 10, tmp_path / "rejected.jsonl") == (
        "3 of 10 photos left out: 2 too small, 20x20 pixels would be enlarged 4.8 times (such as a.png); "
        f"1 damaged or truncated (such as b.jpg); see {tmp_path / 'rejected.jsonl'}"
    )


def test_pairs_know_their_photo(folder: Path, tmp_path: Path) -> None:
    picture(0).save(folder / "a.png")
    source = FolderSource(folder)
    (pair,) = prepare_pairs(source, RECIPE, tmp_path / "cache", num_workers=1).pairs("train")
    (photo,) = inspect(source, tmp_path / "cache").photos
    assert pair.source_sha256 == photo.digest == hashlib.sha256((folder / "a.png").read_bytes()).hexdigest()
    assert pair.source_fingerprint == photo.fingerprint
