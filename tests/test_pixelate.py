"""`pixelate`, which needs no model: files, clips and folders, as a user calls it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence
from skimage.data import astronaut

from pixelpersona import pixelate
from pixelpersona.pixel.batch import (
    FileJob,
    FilePixelator,
    fit_file,
    fit_shared,
    pixelate_folder,
    plan_folder,
)
from pixelpersona.pixel.clip import open_clip
from pixelpersona.pixel.palette_files import read_palette
from pixelpersona.pixel.pixelation import Pixelation
from pixelpersona.pixel.pyxelate import Pyx

FACE = np.ascontiguousarray(astronaut()[:96, 160:256])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures of several formats, two with the same stem, a clip, a broken file and an empty folder."""
    source = tmp_path / "사진 (1), a=b [x]"
    (source / "more").mkdir(parents=True)
    (source / "empty").mkdir()
    Image.fromarray(FACE).save(source / "face.png")
    Image.fromarray(FACE[:, ::-1]).save(source / "face.jpg")
    Image.fromarray(FACE[::-1]).save(source / "more" / "내 그림.webp", lossless=True)
    cut_out = np.dstack([FACE, np.full(FACE.shape[:2], 255, np.uint8)])
    cut_out[:, :48, 3] = 0
    Image.fromarray(cut_out).save(source / "cut out.png")
    (source / "broken.jpg").write_bytes(b"no picture")
    frames = [Image.fromarray(np.roll(FACE, shift, axis=1)) for shift in (0, 24)]
    frames[0].save(source / "clip.gif", save_all=True, append_images=frames[1:], duration=[70, 130], loop=0)
    return source


def _files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def _colors(cells: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(color) for color in cells.reshape(-1, 3).tolist()}


def test_a_picture_becomes_an_indexed_png_of_one_pixel_per_cell(tmp_path: Path, folder: Path) -> None:
    out = tmp_path / "out" / "me = 1.png"
    words = [f"photo={folder / 'face.png'}", f"out={out}", "pixelate.factor=6", "pixelate.palette=8"]
    pixelate.main([*words, f"palette_out={tmp_path / 'p.gpl'}"])
    picture = Image.open(out)
    assert (picture.mode, picture.size) == ("P", (16, 16))
    expected = Pyx(factor=6, palette=8).fit_transform(FACE)
    assert np.array_equal(np.asarray(picture.convert("RGB")), expected)
    assert _colors(expected) <= _colors(read_palette(tmp_path / "p.gpl").rgb)
    pixelate.main([*words, "scale=5", "pixelate.dither=bayer"])
    enlarged = np.asarray(Image.open(out))
    assert enlarged.shape == (80, 80)
    assert np.array_equal(enlarged, enlarged[::5, ::5].repeat(5, axis=0).repeat(5, axis=1))


def test_a_broken_file_in_a_folder_is_listed_and_the_others_are_drawn(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = [f"photo={folder}", f"out={out}", "pixelate.factor=6", "pixelate.palette=8"]
    pixelate.main([*words, "num_workers=1"])
    first = _files(out)
    names = {"face.png.png", "face.jpg.png", "cut out.png", "clip.gif", "more/내 그림.png", "rejected.jsonl"}
    assert set(first) == names
    (row,) = [json.loads(line) for line in first["rejected.jsonl"].decode().splitlines()]
    assert row["id"].endswith("broken.jpg")
    assert row["reason"] == "not a JPEG, PNG, WebP, BMP, TIFF, AVIF or HEIC picture"
    assert "wrote 5 pictures" in capsys.readouterr().out
    alpha = np.asarray(Image.open(out / "cut out.png").convert("RGBA"))[..., 3]
    assert set(alpha[:, :7].ravel().tolist()) == {0}
    assert set(alpha[:, 9:].ravel().tolist()) == {255}
    with Image.open(out / "clip.gif") as clip:
        frames = [(frame.size, frame.info["duration"]) for frame in ImageSequence.Iterator(clip)]
    assert frames == [((16, 16), 70), ((16, 16), 130)]
    # A second run, in two processes, gives the same bytes.
    pixelate.main([*words, "num_workers=2"])
    assert _files(out) == first


def test_a_clarified_clip_equals_a_picture_and_does_not_flicker(tmp_path: Path) -> None:
    colors = Image.fromarray(FACE).quantize(128)
    clip = []
    for shift in (0, 24, 48):
        frame = FACE.copy()
        frame[80:, shift : shift + 24] = (250, 240, 40)
        clip.append(Image.fromarray(frame).quantize(palette=colors, dither=Image.Dither.NONE))
    clip[0].save(tmp_path / "a.gif", save_all=True, append_images=clip[1:], duration=80, loop=0)
    recipe = Pixelation(
        factor=6, palette=12, fit="kmeans", downsample="detail", levels=0.6, local_contrast=0.7
    )
    assert FilePixelator(recipe)(FileJob(tmp_path / "a.gif", tmp_path / "b.gif")) is None
    with Image.open(tmp_path / "b.gif") as drawn:
        made = np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(drawn)])
    assert (made[:, :13] == made[:1, :13]).all()
    first = next(iter(open_clip(tmp_path / "a.gif").frames))
    fitted = fit_file(recipe, tmp_path / "a.gif")
    np.testing.assert_array_equal(made[0], fitted.apply(first).snapped.cells)


@pytest.mark.parametrize("shared", [False, True])
def test_the_order_of_the_files_does_not_matter(tmp_path: Path, folder: Path, shared: bool) -> None:
    recipe = Pixelation(factor=6, palette=8)
    for name, step in (("a", 1), ("b", -1)):
        jobs = plan_folder(folder, tmp_path / name)[0][::step]
        draw = FilePixelator(recipe, fitted=fit_shared(recipe, jobs) if shared else None)
        pixelate_folder(jobs, draw, tmp_path / name, num_workers=1)
    assert _files(tmp_path / "a") == _files(tmp_path / "b")


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    mode=st.sampled_from(("L", "LA", "RGB", "RGBA", "1")),
    size=st.tuples(st.integers(2, 30), st.integers(2, 30)),
    factor=st.integers(1, 12),
    num_colors=st.integers(2, 24),
    fit=st.sampled_from(("pyxelate", "exact", "kmeans", "median_cut")),
    random_seed=st.integers(0, 99),
)
def test_any_file_gives_its_cells_or_a_reason_for_rejection(
    mode: str,
    size: tuple[int, int],
    factor: int,
    num_colors: int,
    fit: str,
    random_seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.getbasetemp()
    pixels = np.random.default_rng(random_seed).integers(0, 256, (*size[::-1], 4), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(folder / "any.png")
    reason = FilePixelator(Pixelation(factor=factor, palette=num_colors, fit=fit))(
        FileJob(folder / "any.png", folder / "drawn.png")
    )
    if reason is not None:
        assert "leaves no cell" in reason or "opacity" in reason, reason
        assert min(size) < factor or mode in ("LA", "RGBA")
        return
    with Image.open(folder / "drawn.png") as drawn:
        assert drawn.size == (size[0] // factor, size[1] // factor)
        cells = np.asarray(drawn.convert("RGBA")).reshape(-1, 4)
    assert len(_colors(cells[cells[:, 3] > 0, :3])) <= num_colors


def test_a_transparent_gif_stays_transparent_when_enlarged(tmp_path: Path) -> None:
    """It keeps its outline, one palette without hidden colours, and does not flicker where nothing moves."""
    shown = np.zeros(FACE.shape[:2], np.bool_)
    shown[24:72, 24:72] = True
    frames = []
    for shift in (0, 12, 24):
        rgb = np.where(shown[..., None], FACE, (255, 0, 255))
        rgb[:24, shift : shift + 24] = (20, 200, 40)
        alpha = shown.copy()
        alpha[:24, shift : shift + 24] = True
        frames.append(Image.fromarray(np.dstack([rgb, 255 * alpha]).astype(np.uint8)))
    source, out, file = tmp_path / "a.gif", tmp_path / "b.gif", tmp_path / "p.hex"
    frames[0].save(source, save_all=True, append_images=frames[1:], duration=80, loop=0, disposal=2)
    words = [f"photo={source}", f"out={out}", "pixelate.factor=6", "pixelate.palette=8", "scale=5"]
    pixelate.main([*words, f"palette_out={file}"])
    with Image.open(out) as clip:
        made = np.stack([np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(clip)])
    assert made.shape == (3, 80, 80, 4)
    alpha = np.stack([np.asarray(frame)[..., 3] for frame in frames])
    np.testing.assert_array_equal(made[:, ::5, ::5, 3], alpha[:, 3::6, 3::6])
    cells = made[:, ::5, ::5]
    assert _colors(cells[cells[..., 3] > 0][:, :3]) <= _colors(read_palette(file).rgb)
    hidden = np.array([255, 0, 255])
    assert np.abs(cells[..., :3].astype(int) - hidden).sum(axis=-1).min() > 150
    assert (made[:, 20:] == made[:1, 20:]).all()
    pixelate.main([*words[:-1], "pixelate.fit=kmeans", "scale=2"])
    with Image.open(out) as clip:
        again = np.asarray(clip.convert("RGBA"))
    np.testing.assert_array_equal(again[::2, ::2, 3], alpha[0, 3::6, 3::6])


def test_a_shared_palette_is_used_by_all_pictures_of_a_folder(tmp_path: Path, folder: Path) -> None:
    out, file = tmp_path / "out", tmp_path / "shared.hex"
    words = [f"photo={folder}", f"out={out}", "pixelate.palette=6", "shared=true", f"palette_out={file}"]
    pixelate.main([*words, "num_workers=1"])
    palette = _colors(read_palette(file).rgb)
    assert 2 <= len(palette) <= 6
    for name in ("face.png.png", "face.jpg.png", "more/내 그림.png"):
        assert _colors(np.asarray(Image.open(out / name).convert("RGB"))) <= palette


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["photo=missing.png", "out=a.png"], "photo=missing.png: no such file or folder"),
        (["photo=missing", "out=art"], "photo=missing: no such file or folder"),
        (["photo=FOLDER/face.png", "out=FOLDER"], "is a folder; accepted the name of a file"),
        (["photo=FOLDER/face.png", "out="], "out=.: is a folder; accepted the name of a file"),
        (["photo=FOLDER/broken.jpg", "out=a.png"], "not a JPEG, PNG, WebP, BMP, TIFF, AVIF or HEIC picture"),
        (["photo=FOLDER/face.png", "out=a.jpg"], "accepted a name that ends in .png"),
        (["photo=FOLDER/face.png", "out=a.png", "pixelate.palete=8"], "Did you mean pixelate.palette?"),
        (["photo=FOLDER/face.png", "out=a.png", "pixelate.dither=bayr"], "accepted none, naive, bayer"),
        (["photo=FOLDER/face.png", "out=a.png", "pixelate.palette=pico9"], "pico8"),
        (["photo=FOLDER/face.png", "out=a.png", "pixelate.factor=400"], "leaves no cell"),
        (["photo=FOLDER/face.png", "out=a.png", "scale=0"], "scale=0: accepted 1 to 64"),
        (
            ["photo=FOLDER/face.png", "out=a.png", "pixelate.factor=8", "pixelate.height=12"],
            "pixelate.factor=8: accepted without pixelate.height",
        ),
        (["photo=FOLDER/face.png", "out=FOLDER/face.png"], "is the photo itself; accepted another name"),
        (
            ["photo=FOLDER/face.png", "out=a.png", "palette_out=a.png"],
            "palette_out=a.png: is the file of out; accepted another name",
        ),
        (
            ["photo=FOLDER", "out=o", "shared=true", "palette_out=FOLDER/face.png"],
            "face.png: is a picture of the folder",
        ),
        (["photo=FOLDER", "out=FOLDER"], "is the folder of the photos; accepted another folder"),
        (["photo=FOLDER/empty", "out=FOLDER"], "contains the folder photo="),
        (["photo=FOLDER/clip.gif", "out=a.gif", "pixelate.dither=floyd"], "accepted none for a clip"),
        (["photo=FOLDER", "out=FOLDER/face.png"], "is a file; a folder of photos needs a folder"),
        (["photo=FOLDER", "out=o", "palette_out=p.hex"], "accepted with shared=true"),
        (["photo=FOLDER/empty", "out=o"], "no picture in this folder"),
    ],
)
def test_a_mistake_is_one_error_line_and_writes_nothing(
    tmp_path: Path,
    folder: Path,
    words: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as stopped:
        pixelate.main([word.replace("FOLDER", str(folder)) for word in words])
    assert stopped.value.code == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
    assert {path for path in tmp_path.rglob("*") if path.is_file()} <= before


@pytest.mark.parametrize("kind", ["fifo", "zero", "loop"])
def test_what_never_ends_is_refused_at_once(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / kind
    if kind == "fifo":
        os.mkfifo(photo)
    else:
        photo.symlink_to("/dev/zero" if kind == "zero" else photo)
    with pytest.raises(SystemExit) as stopped:
        pixelate.main([f"photo={photo}", f"out={tmp_path / 'a.png'}"])
    assert stopped.value.code == 2
    reason = f"photo={photo}: no such file or folder" if kind == "loop" else f"{photo}: not a regular file"
    assert capsys.readouterr().err == f"{reason}\n"


def test_an_out_behind_a_loop_of_links_is_refused(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(SystemExit) as stopped:
        pixelate.main([f"photo={folder / 'face.png'}", f"out={tmp_path / 'loop/a.png'}"])
    assert stopped.value.code == 2


def test_overwrite_replaces_the_photo(tmp_path: Path, folder: Path) -> None:
    file = folder / "face.png"
    pixelate.main([f"photo={file}", f"out={file}", "overwrite=true", "pixelate.height=12"])
    with Image.open(file) as drawn:
        assert (drawn.mode, drawn.size) == ("P", (12, 12))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs the peak memory of /proc")
def test_a_photo_of_12_megapixels_takes_less_than_600_mb(tmp_path: Path) -> None:
    grain = np.random.default_rng(0).normal(0, 6, (3000, 4000, 1))
    photo = np.asarray(Image.fromarray(astronaut()).resize((4000, 4000)))[:3000] + grain
    Image.fromarray(photo.clip(0, 255).astype(np.uint8)).save(tmp_path / "photo.jpg")
    code = (
        "from pathlib import Path\n"
        "from pixelpersona import pixelate\n"
        f"pixelate.main(['photo={tmp_path / 'photo.jpg'}', 'out={tmp_path / 'out.png'}', 'pixelate=drawn'])\n"
        "print(Path('/proc/self/status').read_text())\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", out)
    assert int(peak) < 600_000
    assert Image.open(tmp_path / "out.png").size == (500, 375)
