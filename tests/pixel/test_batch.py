"""Folders of odd pictures: one file never ends a run, nothing is overwritten, sizes are checked first."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelpersona.pixel import batch
from pixelpersona.pixel.batch import (
    FileJob,
    FilePixelator,
    fit_shared,
    pixelate_folder,
    plan_folder,
)
from pixelpersona.pixel.photo import read_photo
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pixelator import Pixelator
from tests.pixel.snapping import FACE

SIX = Pixelation(factor=6, palette=8)
CELLS = Pixelation(factor=1, palette=8, fit="kmeans", downsample="nearest")  # every pixel is a cell


def save(file: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(file)
    return file


def rejected(folder: Path) -> dict[str, str]:
    rows = [json.loads(line) for line in (folder / "rejected.jsonl").read_text("utf-8").splitlines()]
    return {Path(row["id"]).name: row["reason"] for row in rows}


# --- 256 colours and transparency -----------------------------------------------------------------------

COLORS = np.stack([np.arange(256), 255 - np.arange(256), np.arange(256) // 2], axis=-1).astype(np.uint8)
ALL = Pixelation(
    factor=1, palette=["#" + bytes(color).hex() for color in COLORS], fit="kmeans", downsample="nearest"
)


def every_color(hidden: int) -> np.ndarray:
    """RGBA [16, 20, 4]: every colour twice or more, except for colour 77, and fully transparent pixels."""
    pixels = np.full((16, 36, 4), 255, np.uint8)
    pixels[..., :3] = np.tile(COLORS, (3, 1))[: 16 * 36].reshape(16, 36, 3)
    pixels[(pixels[..., :3] == COLORS[77]).all(axis=2)] = (*COLORS[78], 255)
    pixels[0, 0] = (*COLORS[77], 255)
    pixels[15, 36 - hidden :, 3] = 0
    return pixels


def test_256_colours_and_transparency_lose_the_rarest_colour_only(tmp_path: Path) -> None:
    pixels = every_color(hidden=4)
    source = save(tmp_path / "a.png", pixels)
    assert FilePixelator(ALL)(FileJob(source, tmp_path / "b.png")) is None
    with Image.open(tmp_path / "b.png") as image:
        assert image.mode == "P"
        drawn = np.asarray(image.convert("RGBA"))
    np.testing.assert_array_equal(drawn[..., 3], pixels[..., 3])
    visible = pixels[..., 3] > 0
    changed = (drawn != pixels).any(axis=2) & visible
    assert np.argwhere(changed).tolist() == [[0, 0]]
    assert drawn[0, 0, :3].tolist() in COLORS[[76, 78]].tolist()


def test_256_colours_of_an_opaque_picture_with_alpha_are_kept(tmp_path: Path) -> None:
    pixels = every_color(hidden=0)
    source = save(tmp_path / "a.png", pixels)
    assert FilePixelator(ALL)(FileJob(source, tmp_path / "b.png")) is None
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "b.png").convert("RGB")), pixels[..., :3])


def test_256_colours_in_a_transparent_clip(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.roll(every_color(hidden=4), shift, axis=1)) for shift in (0, 3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=50, disposal=2)
    colors = Pixelation(factor=1, palette=256, fit="kmeans", downsample="nearest")
    assert FilePixelator(colors)(FileJob(tmp_path / "a.gif", tmp_path / "b.gif")) is None
    with Image.open(tmp_path / "b.gif") as clip:
        alpha = np.asarray(clip.convert("RGBA"))[..., 3]
    np.testing.assert_array_equal(alpha, every_color(hidden=4)[..., 3])


# --- size of the output ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size", "scale", "reason"),
    [
        ("a.png", (400, 300), 64, "scale=64: 25600x19200 pixels; accepted 1 to 23 for 400x300 cells"),
        ("a.gif", (2000, 2), 33, "scale=33: 66000x66 pixels; accepted 1 to 32 for 2000x2 cells"),
    ],
)
def test_size_of_the_output_is_checked_before_drawing(
    tmp_path: Path, name: str, size: tuple[int, int], scale: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for method in ("fit", "fit_apply", "apply"):
        monkeypatch.setattr(Pixelator, method, lambda *_: pytest.fail("drawn"))
    Image.new("RGB", size, "red").save(tmp_path / name)
    assert FilePixelator(CELLS, scale)(FileJob(tmp_path / name, tmp_path / f"out-{name}")) == reason
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_too_many_cells_are_refused(tmp_path: Path) -> None:
    source = save(tmp_path / "a.png", np.zeros((2, 900, 3), np.uint8))
    reason = FilePixelator(Pixelation(height=4096))(FileJob(source, tmp_path / "b.png"))
    assert reason == "1843200x4096 cells: accepted up to 64 million cells; give larger cells"


def test_largest_accepted_scale_is_drawn(tmp_path: Path) -> None:
    Image.new("RGB", (2000, 2), "red").save(tmp_path / "a.gif")
    assert FilePixelator(CELLS, 32)(FileJob(tmp_path / "a.gif", tmp_path / "b.gif")) is None
    with Image.open(tmp_path / "b.gif") as clip:
        assert clip.size == (64000, 64)


# --- folders --------------------------------------------------------------------------------------------


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder with `good.png` and pictures that used to end a run."""
    folder = tmp_path / "odd"
    folder.mkdir()
    save(folder / "good.png", FACE)
    save(folder / f"{'n' * 246}.png", FACE)
    save(folder / "tiny.png", FACE[:4, :4])
    save(folder / "clear.png", np.dstack([FACE, np.zeros((128, 128), np.uint8)]))
    save(folder / "long.png", np.tile(FACE[:, :12], (40, 1, 1)))
    save(folder / "wide.gif", np.zeros((6, 12000), np.uint8))
    save(folder / "memory.png", FACE)
    save(folder / "bug.png", FACE)
    return folder


@pytest.mark.parametrize("shared", [False, True])
def test_one_file_never_ends_the_run(
    odd: Path, tmp_path: Path, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(file: Path, **options: bool) -> np.ndarray:
        if file.name == "memory.png":
            raise MemoryError
        if file.name == "bug.png":
            raise RuntimeError("nobody thought of it")
        return read_photo(file, **options)

    out = tmp_path / "out"
    jobs, _ = plan_folder(odd, out)
    fitted = fit_shared(SIX, [job for job in jobs if job.source.name != "bug.png"]) if shared else None
    monkeypatch.setattr(batch, "read_photo", failing)
    reasons = pixelate_folder(jobs, FilePixelator(SIX, 33, fitted), out, num_workers=1)
    drawn = {path.name for path in out.iterdir()} - {"rejected.jsonl"}
    assert drawn == {"good.png", "long.png", f"{'n' * 246}.png"}
    assert rejected(out) == {file.name: reason for file, reason in reasons.items()}
    assert rejected(out).keys() == {"tiny.png", "clear.png", "wide.gif", "memory.png", "bug.png"}
    assert rejected(out)["tiny.png"] == "factor=6: leaves no cell of an image of 4x4 pixels"
    assert rejected(out)["clear.png"] == "image: no pixel reaches the opacity alpha=0.6"
    assert rejected(out)["wide.gif"].startswith("scale=33: 66000x33 pixels; accepted 1 to 32")
    assert rejected(out)["memory.png"] == "not enough memory to draw it"
    assert rejected(out)["bug.png"] == "RuntimeError: nobody thought of it"


def test_a_name_with_no_room_for_the_suffix_is_listed(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    save(source / f"{'n' * 250}.png", FACE)
    save(source / f"{'n' * 250}.jpg", FACE)
    save(source / "z.png", FACE)
    reasons = pixelate_folder(plan_folder(source, out)[0], FilePixelator(SIX), out, num_workers=1)
    assert len(reasons) == 2
    assert all("cannot be written as nnn" in reason for reason in rejected(out).values())
    assert (out / "z.png").is_file()


def test_a_shared_palette_of_no_usable_picture_names_the_first(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    save(source / "a.png", FACE[:4, :4])
    (source / "b.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"none of 2 pictures can be used; the first: .*a\.png: factor=6"):
        fit_shared(SIX, plan_folder(source, tmp_path / "out")[0])


def test_reasons_are_kept_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    save(source / "a.png", FACE[:4, :4])
    save(source / "b.png", FACE)
    monkeypatch.setattr(batch, "save_png", full)
    with pytest.raises(ValueError, match=r"b\.png: cannot be written \(No space left on device\)"):
        pixelate_folder(plan_folder(source, out)[0], FilePixelator(SIX), out, num_workers=1)
    assert rejected(out).keys() == {"a.png"}


@pytest.mark.parametrize(
    ("names", "targets"),
    [
        (["a.jpg", "a.png", "a.jpg.png"], ["a.jpg.png", "a.jpg.png.png", "a.png.png"]),
        (["a.jpg", "b.png"], ["a.png", "b.png"]),
        (["a.gif", "a.png", "a.png.gif"], ["a.gif", "a.png", "a.png.gif"]),
        (["a.jpg", "a.webp", "a.webp.jpg"], ["a.jpg.png", "a.webp.png", "a.webp.jpg.png"]),
        (["sub/a.jpg", "a.jpg"], ["a.png", "sub/a.png"]),
    ],
)
def test_every_file_has_a_target_of_its_own(tmp_path: Path, names: list[str], targets: list[str]) -> None:
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    jobs, _ = plan_folder(tmp_path / "in", tmp_path / "out")
    assert {job.source.relative_to(tmp_path / "in").as_posix() for job in jobs} == set(names)
    found = [job.target.relative_to(tmp_path / "out").as_posix() for job in jobs]
    assert sorted(found) == sorted(targets)


def test_a_folder_that_is_or_contains_the_photos_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    save(source / "a.png", FACE)
    with pytest.raises(ValueError, match="is the folder of the photos; accepted another folder"):
        plan_folder(source, source)
    with pytest.raises(ValueError, match=r"contains the folder photo=.*; accepted a folder that does not"):
        plan_folder(source, tmp_path)
    assert len(plan_folder(source, source / "out")[0]) == 1
