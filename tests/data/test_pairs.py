import hashlib
import io
import json
import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pixelpersona.data.pairs import prepare_pairs
from pixelpersona.data.pairset import PairSet
from pixelpersona.data.recipe import PairRecipe, vary, with_palette_colors
from pixelpersona.data.sources import FolderSource
from pixelpersona.data.survey import INSPECTIONS
from pixelpersona.pixel.framing import crop_square
from pixelpersona.pixel.palette import Palette
from pixelpersona.pixel.palette_files import write_palette
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pixelator import pixelize
from pixelpersona.pixel.pyxelate import Pyx
from tests.data.preparing import RECIPE as SMALL
from tests.data.preparing import content

RECIPE = replace(SMALL, size=24, pixelate=Pixelation(factor=4, palette=4), variants=2)
TEST = ("p1.png", "p4.png")


def picture(seed: int, size: int = 40) -> Image.Image:
    """A picture of smooth random colours."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six photos, two of them test photos, and a broken one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(6):
        (folder / f"p{i}.png").write_bytes(png(picture(i)))
    (folder / "broken 사진.png").write_bytes(b"not a picture")
    rows = [{"file_name": f"p{i}.png", "split": "test" if f"p{i}.png" in TEST else "train"} for i in range(6)]
    (folder / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return folder


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def prepare(folder: Path, root: Path, recipe: PairRecipe = RECIPE, limit: int | None = None) -> PairSet:
    return prepare_pairs(FolderSource(folder), recipe, root, limit=limit, num_workers=1)


def test_layout_variants_and_rejected_photos(folder: Path, tmp_path: Path) -> None:
    pair_set = prepare(folder, tmp_path / "data")
    assert pair_set.folder.name == f"pairs-{pair_set.key[:12]}"
    train = pair_set.pairs("train")
    expected = [f"p{i}.png{variant}" for i in (0, 2, 3, 5) for variant in ("", "#1")]
    assert [pair.id for pair in train] == expected
    assert [pair.id for pair in pair_set.pairs("test")] == list(TEST)
    assert {pair.caption for pair in train} == {RECIPE.caption}
    assert len(pair_set) == 10
    rejected = [
        json.loads(line) for line in (pair_set.folder / "rejected.jsonl").read_text("utf-8").splitlines()
    ]
    assert [row["id"] for row in rejected] == ["broken 사진.png"]
    assert pair_set.num_rejected == 1
    assert names(tmp_path / "data") == [pair_set.folder.name, INSPECTIONS]
    for line in (pair_set.folder / "metadata.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        for kind in ("photo", "pixel"):
            data = (pair_set.folder / row[f"{kind}_file_name"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == row[f"{kind}_sha256"]
        assert row["text"] == RECIPE.caption


def test_a_pair_is_the_cropped_photo_and_its_pixel_art(folder: Path, tmp_path: Path) -> None:
    pair_set = prepare(folder, tmp_path / "data")
    for pair in (pair_set.pairs("train")[0], pair_set.pairs("test")[1]):
        square = np.asarray(crop_square(Image.open(folder / pair.photo_id), 24, RECIPE.framing))
        assert np.array_equal(pair_set.photo(pair.id), square)
        cells = Pyx(factor=4, palette=4).fit(square).transform(square)
        pixel = pair_set.pixel(pair.id)
        assert np.array_equal(pixel[2::4, 2::4], cells)
        assert np.array_equal(pixel, np.kron(cells, np.ones((4, 4, 1), dtype=np.uint8)))
        assert pair.grid is not None
        assert (pair.grid.columns, pair.grid.rows, pair.grid.cell, pair.grid.origin) == (6, 6, 4, (0, 0))
        colors = {tuple(color) for color in pixel.reshape(-1, 3).tolist()}
        assert colors <= {tuple(color) for color in pair.palette.rgb.tolist()}


def test_a_variant_is_augmented_before_pixelation(folder: Path, tmp_path: Path) -> None:
    pair_set = prepare(folder, tmp_path / "data")
    plain, varied = pair_set.pairs("train")[:2]
    assert (plain.photo_id, plain.variant, varied.photo_id, varied.variant) == ("p0.png", 0, "p0.png", 1)
    square = crop_square(Image.open(folder / "p0.png"), 24, RECIPE.framing)
    expected = np.asarray(vary(square, RECIPE, "p0.png", 1))
    assert not np.array_equal(expected, np.asarray(square))
    assert np.array_equal(pair_set.photo(varied.id), expected)
    art, _, _ = pixelize(expected, RECIPE.pixelate)
    assert np.array_equal(pair_set.pixel(varied.id), art)


def test_variants_depend_on_photo_id_variant_and_seed() -> None:
    square = picture(0, 24)
    draws = [
        vary(square, RECIPE, "a", 1),
        vary(square, RECIPE, "b", 1),
        vary(square, RECIPE, "a", 2),
        vary(square, replace(RECIPE, seed=1), "a", 1),
    ]
    assert len({draw.tobytes() for draw in draws}) == 4
    assert draws[0].tobytes() == vary(square, RECIPE, "a", 1).tobytes()


def test_a_palette_file_is_replaced_by_its_colours(tmp_path: Path) -> None:
    file = tmp_path / "two.hex"
    write_palette(Palette(np.array([[0, 0, 0], [255, 136, 0]], dtype=np.uint8)), file)
    colors = Pixelation(factor=4, palette=["#000000", "#ff8800"])
    assert with_palette_colors(Pixelation(factor=4, palette_file=file)) == colors
    assert with_palette_colors(colors) is colors


def test_a_factor_that_does_not_divide_the_picture_gives_no_grid() -> None:
    photo = np.asarray(picture(3, 20))
    recipe = Pixelation(factor=6, palette=4)
    pixel, grid, palette = pixelize(photo, recipe)
    assert grid is None
    assert pixel.shape == photo.shape
    cells = Pyx(factor=6, palette=4).fit(photo).transform(photo)
    assert cells.shape == (3, 3, 3)
    # Nearest neighbour from 18 to 20 pixels: output pixel i takes the input pixel at its centre.
    index = ((np.arange(20) + 0.5) * 18 / 20).astype(int) // 6
    assert np.array_equal(pixel, cells[index][:, index])
    assert len(palette) <= 4


def test_one_and_two_processes_write_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    one = prepare(folder, tmp_path / "one")
    two = prepare_pairs(FolderSource(folder), RECIPE, tmp_path / "two", num_workers=2)
    assert content(one.folder) == content(two.folder)
    assert (one.key, one.sha256) == (two.key, two.sha256)


def test_a_finished_set_is_not_made_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare(folder, tmp_path / "data")

    def never(*arguments: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr("pixelpersona.data.making.Maker.__call__", never)
    again = prepare(folder, tmp_path / "data")
    assert again.folder == first.folder
    assert [pair.id for pair in again.pairs("train")] == [pair.id for pair in first.pairs("train")]


def test_the_key_depends_on_photos_and_recipe(folder: Path, tmp_path: Path) -> None:
    small = replace(RECIPE, variants=1)
    keys = [prepare(folder, tmp_path / "data", small).key]
    keys.append(prepare(folder, tmp_path / "data", replace(small, caption="another")).key)
    keys.append(
        prepare(folder, tmp_path / "data", replace(small, pixelate=Pixelation(factor=4, palette=3))).key
    )
    (folder / "p0.png").write_bytes(png(picture(77)))
    keys.append(prepare(folder, tmp_path / "data", small).key)
    assert len(set(keys)) == 4


@pytest.mark.parametrize(
    "damage", ["picture truncated", "picture missing", "metadata changed", "manifest missing"]
)
def test_a_damaged_set_is_made_again(folder: Path, tmp_path: Path, damage: str) -> None:
    recipe = replace(RECIPE, variants=1)
    whole = prepare(folder, tmp_path / "data", recipe)
    before = content(whole.folder)
    pixel = whole.pairs("train")[0].pixel
    match damage:
        case "picture truncated":
            pixel.write_bytes(pixel.read_bytes()[:-1])
        case "picture missing":
            pixel.unlink()
        case "metadata changed":
            lines = (whole.folder / "metadata.jsonl").read_text("utf-8")
            (whole.folder / "metadata.jsonl").write_text(lines.replace("test", "train"), "utf-8")
        case _:
            (whole.folder / "manifest.json").unlink()
    with pytest.raises(ValueError, match=re.escape(str(whole.folder))):
        PairSet.load(whole.folder)
    assert content(prepare(folder, tmp_path / "data", recipe).folder) == before
    assert names(tmp_path / "data") == [whole.folder.name, INSPECTIONS]


def test_a_flipped_bit_is_detected_when_the_picture_is_read(folder: Path, tmp_path: Path) -> None:
    pair_set = prepare(folder, tmp_path / "data", replace(RECIPE, variants=1))
    pair = pair_set.pairs("test")[0]
    data = bytearray(pair.photo.read_bytes())
    data[len(data) // 2] ^= 1
    pair.photo.write_bytes(bytes(data))
    with pytest.raises(ValueError, match="changed since it was written"):
        PairSet.load(pair_set.folder).photo(pair.id)
    assert pair_set.pixel(pair.id).shape == (24, 24, 3)


def test_two_threads_at_once_give_one_valid_set(folder: Path, tmp_path: Path) -> None:
    barrier = threading.Barrier(2)
    results: list[PairSet] = []

    class Waiting(FolderSource):
        def ids(self) -> list[str]:
            barrier.wait()  # both have started before either finishes
            return super().ids()

    def work() -> None:
        recipe = replace(RECIPE, variants=1)
        results.append(prepare_pairs(Waiting(folder), recipe, tmp_path / "data", num_workers=1))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    assert results[0].folder == results[1].folder
    assert len(PairSet.load(results[0].folder)) == 6
    assert names(tmp_path / "data") == [results[0].folder.name, INSPECTIONS]


def test_an_interrupted_run_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pixelpersona.data.making.Maker.__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(folder, tmp_path / "data")
    assert names(tmp_path / "data") == [INSPECTIONS]  # no set, and no draft


def test_a_larger_limit_keeps_the_photos_of_a_smaller_one(folder: Path, tmp_path: Path) -> None:
    (folder / "broken 사진.png").unlink()
    recipe = replace(RECIPE, variants=1)
    chosen = []
    for limit in (2, 4, 100):
        rows = content(prepare(folder, tmp_path / "data", recipe, limit).folder)[
            "metadata.jsonl"
        ].splitlines()
        chosen.append({json.loads(row)["photo_id"] for row in rows})
    assert chosen[0] < chosen[1] < chosen[2]
    assert [len(ids) for ids in chosen] == [2, 4, 6]
    with pytest.raises(ValueError, match="limit must be at least 1"):
        prepare(folder, tmp_path / "data", limit=0)


def test_a_small_limit_leaves_no_split_empty(folder: Path, tmp_path: Path) -> None:
    for i in range(20):
        (folder / f"more {i}.png").write_bytes(png(picture(50 + i)))
    recipe = replace(RECIPE, variants=1)
    for limit, sizes in ((1, [1, 0]), (2, [1, 1]), (13, [12, 1])):  # 25 of 27 photos are train photos
        pair_set = prepare(folder, tmp_path / "data", recipe, limit)
        assert pair_set.num_rejected == 0
        assert [pair_set.sizes()[split] for split in ("train", "test")] == sizes


def test_a_source_with_only_broken_photos_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for i in range(3):
        (tmp_path / "photos" / f"{i}.jpg").write_bytes(b"nothing" * i)
    with pytest.raises(
        ValueError, match=r"photos: none of 3 photos can be used; the first: \d\.jpg: "
    ) as caught:
        prepare(tmp_path / "photos", tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert names(tmp_path / "data") == [INSPECTIONS]  # no set, and no draft


@pytest.mark.parametrize("shares", [(0.01, 0.01), (0.01, 0.98), (0.98, 0.01)])
@pytest.mark.parametrize(("num", "sizes"), [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (1, 1, 1))])
def test_few_photos_are_spread_over_the_splits(
    tmp_path: Path, shares: tuple[float, float], num: int, sizes: tuple[int, int, int]
) -> None:
    (tmp_path / "photos").mkdir()
    for i in range(num):
        (tmp_path / "photos" / f"{i}.png").write_bytes(png(picture(i)))
    source, recipe = FolderSource(tmp_path / "photos"), replace(RECIPE, variants=1)
    val_share, test_share = shares
    pair_set = prepare_pairs(
        source, recipe, tmp_path / "data", val_share=val_share, test_share=test_share, num_workers=1
    )
    assert tuple(pair_set.sizes().values()) == sizes


def test_a_split_that_the_data_set_defines_is_kept(folder: Path, tmp_path: Path) -> None:
    rows = [{"file_name": f"p{i}.png", "split": "test"} for i in range(6)]
    (folder / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (folder / "broken 사진.png").unlink()
    pair_set = prepare(folder, tmp_path / "data")
    assert len(pair_set.pairs("test")) == 6
    with pytest.raises(ValueError, match=r"no train pairs in this data set \(0 train, 0 val, 6 test\)"):
        pair_set.pairs("train")
    with pytest.raises(ValueError, match="split must be one of train, val, test, got 'dev'"):
        pair_set.pairs("dev")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"framing": "loose"}, "framing must be one of tight, portrait, center, got 'loose'"),
        ({"variants": 0}, "variants must be at least 1"),
        ({"size": 7}, "size must be at least two cells of 4 pixels, got 7"),
    ],
)
def test_wrong_recipe_values_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(RECIPE, **change)
