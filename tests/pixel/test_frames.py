"""Clips: reading GIFs, one palette, no flicker, and exact GIF files."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from pixelpersona.pixel import clip as clips
from pixelpersona.pixel import frames as module
from pixelpersona.pixel.clarify import Clarity, clarify
from pixelpersona.pixel.clip import open_clip
from pixelpersona.pixel.downsample import cell_colors
from pixelpersona.pixel.frames import save_gif, snap_clip
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.palette import Palette, perceptual
from pixelpersona.pixel.palette_fit import choose_palette
from pixelpersona.pixel.photo import PhotoError, open_photo
from pixelpersona.pixel.snap import Snapped
from tests.pixel.snapping import FACE, snap

GRID = Grid(32, 32, 4)
NUM_FRAMES = 6


def moving_square(noise: int) -> list[np.ndarray]:
    """A bright square crosses the lower quarter of the photo; everything else is still, except for noise."""
    frames = []
    for t in range(NUM_FRAMES):
        frame = FACE.astype(int)
        frame[100:116, 16 * t : 16 * t + 16] = (250, 240, 40)
        frame += np.random.default_rng(t).integers(-noise, noise + 1, frame.shape)
        frames.append(np.clip(frame, 0, 255).astype(np.uint8))
    return frames


def palette_of(frames: list[np.ndarray], num_colors: int = 16) -> Palette:
    return choose_palette([cell_colors(frame[..., :3], GRID, "inner") for frame in frames], num_colors)


def snapped_indices(frames: list[np.ndarray], **options: object) -> np.ndarray:
    """Indices of an opaque clip with a palette fitted to all frames, [frames, rows, columns]."""
    snapped, opaque = snap_clip(frames, GRID, palette_of(frames), "inner", 0.5, **options)  # type: ignore[arg-type]
    assert opaque is None
    return np.stack([frame.indices for frame in snapped])


def test_noise_does_not_change_still_areas(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = moving_square(noise=5)
    indices = snapped_indices(frames)
    assert (indices[:, :25] == indices[:1, :25]).all()
    assert (indices[:, 29:] == indices[:1, 29:]).all()
    monkeypatch.setattr(module, "_THRESHOLD", 0.0)  # without the threshold they flicker
    loose = snapped_indices(frames)
    assert (loose[:, :25] != loose[:1, :25]).any()


def test_changes_are_detected_on_the_frames_before_clarify() -> None:
    def clear(image: np.ndarray) -> np.ndarray:
        return clarify(image, 4, Clarity(levels=0.6, local_contrast=1.5))

    frames = moving_square(noise=5)
    palette = palette_of([clear(frame) for frame in frames])
    held, _ = snap_clip(frames, GRID, palette, "inner", 0.5, clear)
    np.testing.assert_array_equal(held[0].indices, snap(clear(frames[0]), GRID, palette=palette).indices)
    indices = np.stack([frame.indices for frame in held])
    assert (indices[:, :24] == indices[:1, :24]).all()
    # clarify amplifies the noise: detected on its result, cells would change.
    loose = snapped_indices([clear(frame) for frame in frames])
    assert (loose[:, :24] != loose[:1, :24]).any()


def test_a_moving_object_is_drawn_in_every_frame() -> None:
    frames = moving_square(noise=5)
    snapped, _ = snap_clip(frames, GRID, palette_of(frames), "inner", 0.5)
    for t, frame in enumerate(snapped):
        square = frame.cells[25:29, 4 * t : 4 * t + 4].astype(int)
        assert (np.abs(square - (250, 240, 40)).max(axis=-1) < 60).all()
        if t + 1 < NUM_FRAMES:  # and leaves no trace in the next one
            after = snapped[t + 1].cells[25:29, 4 * t : 4 * t + 4]
            expected = snap(FACE, GRID, palette=frame.palette).cells[25:29, 4 * t : 4 * t + 4]
            gap = np.linalg.norm(perceptual(after / 255) - perceptual(expected / 255), axis=-1)
            assert gap.mean() < 0.05


def test_a_slow_fade_proceeds_in_steps() -> None:
    frames = [np.full((8, 8, 3), level, np.uint8) for level in range(0, 256, 3)]
    palette = Palette(np.repeat(np.arange(0, 256, 17, dtype=np.uint8)[:, None], 3, axis=1))
    snapped, _ = snap_clip(frames, Grid(2, 2, 4), palette, "inner", 0.5)
    shown = np.array([frame.cells[0, 0, 0] for frame in snapped])
    assert (np.diff(shown.astype(int)) >= 0).all()
    assert shown[-1] == 255
    assert len(np.unique(shown)) > 8
    away = np.array([np.linalg.norm(perceptual(f[0, 0] / 255) - perceptual(np.full(3, s) / 255))
                     for f, s in zip(frames, shown, strict=True)])  # fmt: skip
    assert away.max() < 0.04 + 0.06  # the threshold, and half a step of the palette in the dark


def test_a_threshold_of_0_snaps_every_frame_separately(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = moving_square(noise=0)
    monkeypatch.setattr(module, "_THRESHOLD", 0.0)
    for indices, frame in zip(snapped_indices(frames), frames, strict=True):
        np.testing.assert_array_equal(indices, snap(frame, GRID, palette=palette_of(frames)).indices)


@pytest.mark.parametrize("loop", [None, 0, 3])
@pytest.mark.parametrize("num_colors", [1, 2, 11, 256])
def test_a_gif_round_trips_palette_frames_durations_and_loop(
    loop: int | None, num_colors: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng(num_colors)
    palette = Palette(rng.integers(0, 256, (num_colors, 3), dtype=np.uint8))
    grid = Grid(9, 7, 4)
    frames = [Snapped(rng.integers(0, num_colors, (7, 9)).astype(np.uint8), palette, grid) for _ in range(5)]
    frames[2] = frames[1]  # repeated frames are kept
    durations = [100, 40, 250, 10, 0]
    file = tmp_path / "움직임 (1).gif"
    save_gif(frames, durations, file, scale=3, loop=loop)
    clip = open_clip(file)
    assert (clip.durations, clip.loop) == (tuple(durations), loop)
    for frame, image in zip(frames, clip.frames, strict=True):
        expected = frame.cells.repeat(3, axis=0).repeat(3, axis=1)
        np.testing.assert_array_equal(image, expected)
    with Image.open(file) as stored:  # the colour table
        table = np.array(stored.getpalette()).reshape(-1, 3)
    np.testing.assert_array_equal(table[:num_colors], palette.rgb)
    assert (table[num_colors:] == palette.rgb[-1]).all()


def gif(frames: list[Image.Image], **options: object) -> bytes:
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], **options)
    return buffer.getvalue()


def test_reading_gifs_against_pillow() -> None:
    """Pillow writes differences and local palettes; the displayed frames are read."""
    frames = [Image.fromarray(frame) for frame in moving_square(noise=3)]
    data = gif(frames, duration=[30, 40, 50, 60, 70, 80], loop=2)
    clip = open_clip(data)
    assert (clip.durations, clip.loop) == ((30, 40, 50, 60, 70, 80), 2)
    with Image.open(io.BytesIO(data)) as opened:
        for ours, theirs in zip(clip.frames, ImageSequence.Iterator(opened), strict=True):
            np.testing.assert_array_equal(ours, np.asarray(theirs.convert("RGB")))


def test_a_still_gif_and_its_transparency() -> None:
    hidden = Image.new("P", (4, 3), 1)
    hidden.putpalette([255, 0, 0, 0, 0, 255])
    hidden.putpixel((0, 0), 0)
    clip = open_clip(gif([hidden], transparency=1))
    (frame,) = clip.frames
    assert frame[0, 0].tolist() == [255, 0, 0, 255]
    assert frame[0, 1, 3] == 0
    assert (len(clip.frames), clip.durations, clip.loop) == (1, (0,), None)


def cut_out(noise: int) -> list[np.ndarray]:
    """A moving disc of the photo beside a still one; everything else is fully transparent magenta."""
    y, x = np.mgrid[0:128, 0:128]
    still = (x - 90) ** 2 + (y - 60) ** 2 < 30**2
    frames = []
    for t in range(NUM_FRAMES):
        rng = np.random.default_rng(t)
        shown = still | ((x - 20 - 4 * t) ** 2 + (y - 20) ** 2 < 16**2)
        rgb = np.clip(FACE + rng.integers(-noise, noise + 1, FACE.shape), 0, 255)
        rgb = np.where(shown[..., None], rgb, (255, 0, 255))
        frames.append(np.dstack([rgb, 255 * shown]).astype(np.uint8))
    return frames


def snap_cut_out(frames: list[np.ndarray]) -> tuple[tuple[Snapped, ...], tuple[np.ndarray, ...]]:
    snapped, drawn = snap_clip(frames, GRID, snap(FACE, GRID, 8).palette, "inner", 0.5)
    assert drawn is not None
    return snapped, drawn


def test_a_transparent_clip_keeps_its_outline_and_has_no_hidden_colours() -> None:
    frames = cut_out(noise=5)
    snapped, drawn = snap_cut_out(frames)
    for frame, mask in zip(frames, drawn, strict=True):
        covered = frame[..., 3].reshape(32, 4, 32, 4).mean(axis=(1, 3)) / 255
        assert mask[covered > 0.6].all()
        assert not mask[covered < 0.4].any()
    # The still disc does not flicker; the moving one is drawn as in a separate image.
    assert (np.stack(drawn)[:, 8:, 16:] == drawn[0][8:, 16:]).all()
    indices = np.stack([np.where(mask, f.indices, 255) for f, mask in zip(snapped, drawn, strict=True)])
    assert (indices[:, 8:, 16:] == indices[0, 8:, 16:]).all()
    alone = snap(FACE, GRID, palette=snapped[0].palette)
    for made, mask in zip(snapped, drawn, strict=True):
        gap = np.linalg.norm(perceptual(made.cells / 255) - perceptual(alone.cells / 255), axis=-1)
        assert gap[:8][mask[:8]].mean() < 0.05


def test_a_noisy_outline_does_not_flicker() -> None:
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(8):
        frame = np.full((16, 8, 4), 200, np.uint8)
        frame[:8, :, 3] = 255
        frame[8:, :, 3] = 255 * (rng.permutation(64).reshape(8, 8) < 32 + rng.integers(-6, 7))
        frames.append(frame)
    _, drawn = snap_clip(frames, Grid(1, 2, 8), Palette(np.full((1, 3), 200, np.uint8)), "inner", 0.5)
    assert drawn is not None
    assert len({mask.tobytes() for mask in drawn}) == 1


def test_an_empty_frame_is_kept_and_an_empty_clip_raises() -> None:
    frames = cut_out(noise=0)
    frames[2] = np.zeros_like(frames[2])
    snapped, drawn = snap_cut_out(frames)
    assert not drawn[2].any()
    alone, _ = snap_cut_out(frames[3:])
    np.testing.assert_array_equal(snapped[3].indices[drawn[3]], alone[0].indices[drawn[3]])
    with pytest.raises(ValueError, match="no cell of any frame"):
        snap_cut_out([np.zeros((128, 128, 4), np.uint8)] * 2)


def test_a_clip_that_fades_out_below_the_visible_opacity() -> None:
    """Hysteresis still draws its cells when no pixel is visible any more."""
    frames = [np.full((8, 8, 4), (10, 20, 30, alpha), np.uint8) for alpha in (255, 115, 0)]
    palette = Palette(np.array([[10, 20, 30]], np.uint8))
    _, drawn = snap_clip(frames, Grid(1, 1, 8), palette, "mean", 0.5)
    assert drawn is not None
    assert [bool(mask.all()) for mask in drawn] == [True, True, False]


@pytest.mark.parametrize("num_colors", [1, 2, 11, 256])
def test_a_gif_round_trips_transparency(num_colors: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(num_colors)
    colors = rng.permutation(256 * 256)[:num_colors, None] // (1, 16, 256) % 256
    palette = Palette(colors.astype(np.uint8))
    frames = [
        Snapped(rng.integers(0, max(1, num_colors - 1), (7, 9)).astype(np.uint8), palette, Grid(9, 7, 4))
        for _ in range(5)
    ]
    opaque = [rng.random((7, 9)) < 0.6 for _ in frames]
    opaque[3][:] = False
    opaque[4][:] = True
    file = tmp_path / "a.gif"
    save_gif(frames, [100] * 5, file, scale=3, opaque=opaque)
    clip = open_clip(file)
    for frame, mask, image in zip(frames, opaque, clip.frames, strict=True):
        shown = image[::3, ::3]
        assert image.shape[2] == 4
        np.testing.assert_array_equal(image, shown.repeat(3, axis=0).repeat(3, axis=1))
        np.testing.assert_array_equal(shown[..., 3], 255 * mask)
        np.testing.assert_array_equal(shown[mask][:, :3], frame.cells[mask])
    with Image.open(file) as stored:
        table = np.array(stored.getpalette()).reshape(-1, 3)
        hidden = stored.info["transparency"]
    assert hidden == min(num_colors, 255)
    np.testing.assert_array_equal(table[:hidden], palette.rgb[:hidden])
    assert (table[hidden] == palette.rgb).all(axis=1).any()  # a colour of the palette gives no fringe


def test_invalid_masks_raise(tmp_path: Path) -> None:
    frame = snap(FACE, GRID, 4)
    with pytest.raises(ValueError, match="needs a mask"):
        save_gif([frame], [10], tmp_path / "a.gif", opaque=[np.ones((3, 3), np.bool_)])
    grey = Palette(np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1))
    full = Snapped(np.arange(256, dtype=np.uint8).reshape(16, 16), grey, Grid(16, 16, 1))
    with pytest.raises(ValueError, match="none is free for transparency"):
        save_gif([full], [10], tmp_path / "a.gif", opaque=[np.ones((16, 16), np.bool_)])
    assert not list(tmp_path.iterdir())


def test_a_gif_that_stores_only_changes_is_opaque() -> None:
    data = gif([Image.fromarray(frame) for frame in moving_square(noise=0)])
    assert [frame.shape[2] for frame in open_clip(data).frames] == [3] * len(moving_square(noise=0))


def test_invalid_clips_are_rejected(tmp_path: Path) -> None:
    frames = [Image.fromarray(frame) for frame in moving_square(noise=3)]
    data = gif(frames)
    png = io.BytesIO()
    frames[0].save(png, "PNG")
    for source, reason in (
        (b"", "is empty"),
        (tmp_path / "none.gif", "no such file"),
        (tmp_path, "a folder"),
        (png.getvalue(), "not a GIF"),
        (b"GIF89a" + b"\0" * 40, "pixels|GIF|damaged"),
        (data[: len(data) // 2], "damaged or truncated"),
    ):
        with pytest.raises(PhotoError, match=reason):
            open_clip(source)
    with pytest.raises(PhotoError, match="not a JPEG"):
        open_photo(data)


def test_a_clip_that_cannot_be_read_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: Path) -> bytes:
        raise OSError(5, "Input/output error")

    file = tmp_path / "a.gif"
    file.write_bytes(b"GIF89a")
    monkeypatch.setattr(Path, "read_bytes", failing)
    with pytest.raises(PhotoError, match=r"a\.gif: cannot be read \(Input/output error\)"):
        open_clip(file)


@pytest.mark.parametrize(
    ("limit", "value", "reason"),
    [
        ("_MAX_FRAMES", 5, "more than 5 frames"),
        ("MAX_PIXELS", 3 * 128 * 128, "128x128 pixels, 4 frames or more"),
        ("MAX_PIXELS", 100, "128x128 pixels"),
        ("_MAX_BYTES", 1000, "accepted 1000 or less"),
    ],
)
def test_limits_of_clips(limit: str, value: int, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = gif([Image.fromarray(frame) for frame in moving_square(noise=3)])
    monkeypatch.setattr(clips, limit, value)
    with pytest.raises(PhotoError, match=reason):
        open_clip(data)


def test_invalid_arguments_raise(tmp_path: Path) -> None:
    frame = snap(FACE, GRID, 4)
    other = snap(FACE, GRID, 5)
    file = tmp_path / "a.gif"
    for frames, durations, options, reason in (
        ([], [], {}, "need one per frame"),
        ([frame], [10, 20], {}, "need one per frame"),
        ([frame, other], [10, 10], {}, "same size and palette"),
        ([frame], [10], {"scale": 0}, "scale=0"),
        ([frame], [10], {"scale": 9999}, "scale=9999"),
        ([frame], [10], {"loop": -1}, "loop=-1"),
        ([frame], [-10], {}, "durations"),
    ):
        with pytest.raises(ValueError, match=reason):
            save_gif(frames, durations, file, **options)  # type: ignore[arg-type]
    assert not file.exists()
    with pytest.raises(ValueError, match="at least one"):
        snap_clip([], GRID, frame.palette, "inner", 0.5)
