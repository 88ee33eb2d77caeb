"""Clips: GIFs through the gate, one palette, no flicker, and files that hold exactly what was drawn."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence
from skimage.data import astronaut

from pixelpersona.pixel.downsample import cell_colors
from pixelpersona.pixel.frames import save_gif, snap_clip
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.palette import Palette, nearest, perceptual
from pixelpersona.pixel.palette_fit import choose_palette
from pixelpersona.pixel.photo import PhotoError, open_clip, open_photo
from pixelpersona.pixel.snap import Snapped, snap

PHOTO = np.ascontiguousarray(astronaut()[:256:2, 96:352:2])
GRID = Grid(32, 32, 4)
NUM_FRAMES = 6


def moving_square(noise: int) -> list[np.ndarray]:
    """A bright square crosses the lower quarter of the photo; everything else is still but for the noise."""
    frames = []
    for t in range(NUM_FRAMES):
        frame = PHOTO.astype(int)
        frame[100:116, 16 * t : 16 * t + 16] = (250, 240, 40)
        frame += np.random.default_rng(t).integers(-noise, noise + 1, frame.shape)
        frames.append(np.clip(frame, 0, 255).astype(np.uint8))
    return frames


def test_still_areas_are_the_same_over_all_frames_in_spite_of_noise() -> None:
    frames = moving_square(noise=5)
    snapped = snap_clip(frames, GRID)
    indices = np.stack([frame.indices for frame in snapped])
    assert (indices[:, :25] == indices[:1, :25]).all()
    assert (indices[:, 29:] == indices[:1, 29:]).all()
    # Without the threshold the same frames do flicker, so the test sees what it claims to see.
    loose = np.stack([frame.indices for frame in snap_clip(frames, GRID, threshold=0.0)])
    assert (loose[:, :25] != loose[:1, :25]).any()


def test_what_moves_is_drawn_in_every_frame() -> None:
    snapped = snap_clip(moving_square(noise=5), GRID)
    for t, frame in enumerate(snapped):
        square = frame.cells[25:29, 4 * t : 4 * t + 4].astype(int)
        assert (np.abs(square - (250, 240, 40)).max(axis=-1) < 60).all()
        if t + 1 < NUM_FRAMES:  # and has left no trace where it was
            after = snapped[t + 1].cells[25:29, 4 * t : 4 * t + 4]
            expected = snap(PHOTO, GRID, palette=frame.palette).cells[25:29, 4 * t : 4 * t + 4]
            gap = np.linalg.norm(perceptual(after / 255) - perceptual(expected / 255), axis=-1)
            assert gap.mean() < 0.05


def test_a_slow_fade_arrives() -> None:
    frames = [np.full((8, 8, 3), level, np.uint8) for level in range(0, 256, 3)]
    palette = Palette(np.repeat(np.arange(0, 256, 17, dtype=np.uint8)[:, None], 3, axis=1))
    snapped = snap_clip(frames, Grid(2, 2, 4), palette=palette)
    shown = np.array([frame.cells[0, 0, 0] for frame in snapped])
    assert (np.diff(shown.astype(int)) >= 0).all()
    assert shown[-1] == 255
    assert len(np.unique(shown)) > 8
    away = np.array([np.linalg.norm(perceptual(f[0, 0] / 255) - perceptual(np.full(3, s) / 255))
                     for f, s in zip(frames, shown, strict=True)])  # fmt: skip
    assert away.max() < 0.04 + 0.06  # the threshold, and half a step of the palette in the dark


def test_one_palette_fitted_on_all_frames() -> None:
    frames = moving_square(noise=0)
    snapped = snap_clip(frames, GRID, 8)
    assert all(frame.palette is snapped[0].palette for frame in snapped)
    cells = [cell_colors(frame, GRID, "inner") for frame in frames]
    np.testing.assert_array_equal(snapped[0].palette.rgb, choose_palette(cells, 8).rgb)
    every = snap_clip(frames, GRID, 8, threshold=0.0)
    for frame, source in zip(every, cells, strict=True):
        np.testing.assert_array_equal(frame.indices, nearest(source, frame.palette))


@pytest.mark.parametrize("loop", [None, 0, 3])
@pytest.mark.parametrize("num_colors", [1, 2, 11, 256])
def test_a_gif_returns_palette_frames_durations_and_loop(
    loop: int | None, num_colors: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng(num_colors)
    palette = Palette(rng.integers(0, 256, (num_colors, 3), dtype=np.uint8))
    grid = Grid(9, 7, 4)
    frames = [Snapped(rng.integers(0, num_colors, (7, 9)).astype(np.uint8), palette, grid) for _ in range(5)]
    frames[2] = frames[1]  # a frame that repeats is a frame all the same
    durations = [100, 40, 250, 10, 0]
    file = tmp_path / "움직임 (1).gif"
    save_gif(frames, durations, file, scale=3, loop=loop)
    clip = open_clip(file)
    assert (clip.durations, clip.loop) == (tuple(durations), loop)
    for frame, image in zip(frames, clip.frames, strict=True):
        expected = frame.cells.repeat(3, axis=0).repeat(3, axis=1)
        np.testing.assert_array_equal(np.asarray(image), expected)
    with Image.open(file) as stored:  # the table itself, by Pillow
        table = np.array(stored.getpalette()).reshape(-1, 3)
    np.testing.assert_array_equal(table[:num_colors], palette.rgb)
    assert (table[num_colors:] == palette.rgb[-1]).all()


def gif(frames: list[Image.Image], **options: object) -> bytes:
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], **options)
    return buffer.getvalue()


def test_foreign_gifs_against_pillow() -> None:
    """Pillow writes differences and local palettes; what is shown is what comes through."""
    frames = [Image.fromarray(frame) for frame in moving_square(noise=3)]
    data = gif(frames, duration=[30, 40, 50, 60, 70, 80], loop=2)
    clip = open_clip(data)
    assert (clip.durations, clip.loop) == ((30, 40, 50, 60, 70, 80), 2)
    with Image.open(io.BytesIO(data)) as opened:
        for ours, theirs in zip(clip.frames, ImageSequence.Iterator(opened), strict=True):
            assert ours.mode == "RGB"
            assert not ours.info
            np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs.convert("RGB")))


def test_transparency_is_laid_over_white() -> None:
    hidden = Image.new("P", (4, 3), 1)
    hidden.putpalette([255, 0, 0, 0, 0, 255])
    hidden.putpixel((0, 0), 0)
    clip = open_clip(gif([hidden], transparency=1))
    assert np.asarray(clip.frames[0])[0, :2].tolist() == [[255, 0, 0], [255, 255, 255]]
    assert (len(clip.frames), clip.durations, clip.loop) == (1, (0,), None)


def test_what_is_no_clip_is_refused(tmp_path: Path) -> None:
    frames = [Image.fromarray(frame) for frame in moving_square(noise=3)]
    data = gif(frames)
    png = io.BytesIO()
    frames[0].save(png, "PNG")
    for source, limits, reason in (
        (b"", {}, "is empty"),
        (tmp_path / "none.gif", {}, "no such file"),
        (tmp_path, {}, "a folder"),
        (png.getvalue(), {}, "not a GIF"),
        (b"GIF89a" + b"\0" * 40, {}, "pixels|GIF|damaged"),
        (data[: len(data) // 2], {}, "damaged or cut short"),
        (data, {"max_frames": 5}, "more than 5 frames"),
        (data, {"max_pixels": 3 * 128 * 128}, "128x128 pixels, 4 frames or more"),
        (data, {"max_pixels": 100}, "128x128 pixels"),
        (data, {"max_bytes": 1000}, "more than 1000"),
    ):
        with pytest.raises(PhotoError, match=reason):
            open_clip(source, **limits)  # type: ignore[arg-type]
    with pytest.raises(PhotoError, match=r"^mine\.gif: is empty"):
        open_clip(b"", name="mine.gif")
    with pytest.raises(PhotoError, match="not a JPEG"):  # a photo is still no GIF
        open_photo(data)


def test_wrong_values_are_refused(tmp_path: Path) -> None:
    frame = snap(PHOTO, GRID, 4)
    other = snap(PHOTO, GRID, 5)
    file = tmp_path / "a.gif"
    for frames, durations, options, reason in (
        ([], [], {}, "need one each"),
        ([frame], [10, 20], {}, "need one each"),
        ([frame, other], [10, 10], {}, "one palette"),
        ([frame], [10], {"scale": 0}, "scale"),
        ([frame], [10], {"scale": 9999}, "scale"),
        ([frame], [10], {"loop": -1}, "loop"),
        ([frame], [-10], {}, "durations"),
    ):
        with pytest.raises(ValueError, match=reason):
            save_gif(frames, durations, file, **options)  # type: ignore[arg-type]
    assert not file.exists()
    with pytest.raises(ValueError, match="at least one"):
        snap_clip([], GRID)
    with pytest.raises(ValueError, match="threshold"):
        snap_clip([PHOTO], GRID, threshold=-1.0)
