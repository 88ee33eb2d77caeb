"""GIF files on one canvas: sizes are counted before decoding, what is not drawn is transparent."""

import struct

import numpy as np
import pytest
from PIL import GifImagePlugin, Image

from pixelpersona.pixel import photo
from pixelpersona.pixel.clip import open_clip
from pixelpersona.pixel.gif_blocks import read_gif
from pixelpersona.pixel.photo import PhotoError

RED, GREEN, BLUE, WHITE = range(4)
TABLE = bytes([255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255])
CLEAR = (0, 0, 0, 0)


def color(index: int) -> tuple[int, ...]:
    return (*TABLE[3 * index : 3 * index + 3], 255)


def part(left: int, top: int, pixels: np.ndarray, disposal: int = 0, hidden: int | None = None) -> bytes:
    """One frame with its graphic control extension; pixels: indices of the colour table, [H, W]."""
    flags = disposal << 2 | (hidden is not None)
    control = b"!\xf9\x04" + struct.pack("<BHBB", flags, 5, hidden or 0, 0)
    image = Image.fromarray(pixels.astype(np.uint8))
    return control + b"".join(GifImagePlugin.getdata(image, offset=(left, top)))


def gif(width: int, height: int, *parts: bytes, end: bytes = b";") -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x81, 0, 0) + TABLE + b"".join(parts) + end


def shown(data: bytes) -> np.ndarray:
    """All displayed frames, uint8 [frames, H, W, 4]."""
    return np.stack([np.asarray(Image.fromarray(frame).convert("RGBA")) for frame in open_clip(data).frames])


def full(index: int, width: int = 4, height: int = 4) -> np.ndarray:
    return np.full((height, width), index)


def huge(width: int, height: int) -> bytes:
    """A frame that says it is this large and has no pixels."""
    return b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\0"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (gif(1, 1, huge(9000, 9000)), "9000x9000 pixels, 1 frames or more"),
        (gif(1, 1, part(0, 0, full(RED)), huge(9000, 9000)), "9000x9000 pixels, 2 frames or more"),
        (gif(1, 1, *[part(9000, 700, full(RED))] * 12), "9004x704 pixels, 11 frames or more"),
        (gif(65535, 65535, part(0, 0, full(RED))), "65535x65535 pixels"),
        (gif(1, 1, *[huge(1, 1)] * 1001), "more than 1000 frames"),
    ],
)
def test_canvas_of_every_frame_is_counted_before_a_pixel_is_decoded(
    data: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo.Image, "open", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(PhotoError, match=reason):
        open_clip(data)


def test_frames_of_unequal_size_are_on_one_canvas() -> None:
    frames = shown(gif(2, 2, part(0, 0, full(RED, 2, 2)), part(1, 2, full(GREEN, 4, 3))))
    assert frames.shape == (2, 5, 5, 4)
    assert (frames[:, :2, :2] == color(RED)).all()
    assert (frames[1, 2:, 1:] == color(GREEN)).all()
    assert (frames[0, 2:] == CLEAR).all()
    assert (frames[:, :2, 2:] == CLEAR).all()


def test_a_partial_first_frame_is_transparent_around_it() -> None:
    (frame,) = shown(gif(4, 4, part(1, 2, full(BLUE, 2, 1))))
    inside = np.zeros((4, 4), np.bool_)
    inside[2, 1:3] = True
    assert (frame[inside] == color(BLUE)).all()
    assert (frame[~inside] == CLEAR).all()


def test_disposal_to_background_clears_the_frame_alone() -> None:
    first, second = part(0, 0, full(RED)), part(1, 1, full(GREEN, 2, 2), disposal=2)
    frames = shown(gif(4, 4, first, second, part(0, 0, full(BLUE, 1, 1))))
    assert (frames[1, 1:3, 1:3] == color(GREEN)).all()
    assert (frames[2, 1:3, 1:3] == CLEAR).all()
    assert (frames[2, 0, 0] == color(BLUE)).all()
    assert (frames[2, 3] == color(RED)).all()


def test_disposal_to_previous_restores_what_was_there() -> None:
    first, second = part(0, 0, full(RED)), part(1, 1, full(GREEN, 2, 2), disposal=3)
    frames = shown(gif(4, 4, first, second, part(0, 0, full(BLUE, 1, 1))))
    assert (frames[1, 1:3, 1:3] == color(GREEN)).all()
    assert (frames[2, 1:3, 1:3] == color(RED)).all()


def test_a_hidden_index_shows_what_lies_below() -> None:
    mixed = np.array([[GREEN, BLUE], [BLUE, GREEN]])
    frames = shown(gif(2, 2, part(0, 0, full(RED, 2, 2)), part(0, 0, mixed, hidden=GREEN)))
    assert (frames[1, [0, 1], [0, 1]] == color(RED)).all()
    assert (frames[1, [0, 1], [1, 0]] == color(BLUE)).all()
    assert next(iter(open_clip(gif(2, 2, part(0, 0, full(RED, 2, 2)))).frames)).shape[2] == 3


@pytest.mark.parametrize("end", [b"", b";", b"\0\0\0", b";,!junk", b"!\xfe\x05ab"])
def test_a_sloppy_end_is_accepted(end: bytes) -> None:
    clip = open_clip(gif(2, 2, part(0, 0, full(RED, 2, 2)), end=end))
    assert (len(clip.frames), clip.durations, clip.loop) == (1, (50,), None)


def test_the_number_of_loops_is_read() -> None:
    loop = b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", 7) + b"\0"
    assert open_clip(gif(2, 2, loop, part(0, 0, full(RED, 2, 2)))).loop == 7
    other = b"!\xff\x0bXMP DataXMP\x03\x01\x09\0\0"
    assert open_clip(gif(2, 2, other, part(0, 0, full(RED, 2, 2)))).loop is None


def size_or_reason(data: bytes) -> set[tuple[int, int]] | str:
    """The sizes of the displayed frames, or why the clip is rejected."""
    try:
        return {(frame.shape[1], frame.shape[0]) for frame in open_clip(data).frames}
    except PhotoError as error:
        return error.reason


@pytest.mark.parametrize("seed", range(20))
def test_damaged_bytes_are_one_error_or_a_clip(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lefts = [int(x) for x in rng.integers(0, 3, 4)]
    data = gif(8, 8, *[part(x, 1, rng.integers(0, 4, (5, 6)), disposal=x) for x in lefts])
    for _ in range(30):
        broken = bytearray(data[: rng.integers(1, len(data) + 1)])
        for at in rng.integers(0, len(broken), 3):
            broken[at] = rng.integers(256)
        found = size_or_reason(bytes(broken))
        assert found
        assert isinstance(found, str) or len(found) == 1


def test_a_file_that_ends_in_a_descriptor_is_refused() -> None:
    for data in (gif(2, 2, b",\0\0"), gif(2, 2), b"GIF89a", gif(0, 0, huge(0, 0))):
        with pytest.raises(ValueError, match="damaged or truncated"):
            read_gif(data, max_frames=9, max_pixels=99)
