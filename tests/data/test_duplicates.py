"""Copies of a photo have near fingerprints, different photos do not, and no pair is missed."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from skimage.data import astronaut, chelsea, coffee

from pixelpersona.data.duplicates import MAX_DISTANCE, duplicate_groups, find_near, fingerprint

PHOTOS = {name: Image.fromarray(load()) for name, load in
          (("astronaut", astronaut), ("cat", chelsea), ("coffee", coffee))}  # fmt: skip


def distance(a: str, b: str) -> int:
    return (int(a, 16) ^ int(b, 16)).bit_count()


def copies(photo: Image.Image) -> dict[str, Image.Image]:
    found = {}
    for quality in (60, 75, 90):
        buffer = io.BytesIO()
        photo.save(buffer, "JPEG", quality=quality)
        found[f"JPEG {quality}"] = Image.open(buffer)
    width, height = photo.size
    found["half size"] = photo.resize((width // 2, height // 2))
    found["brighter"] = ImageEnhance.Brightness(photo).enhance(1.1)
    found["darker"] = ImageEnhance.Brightness(photo).enhance(0.9)
    x, y = width // 100, height // 100
    found["cropped"] = photo.crop((x, y, width - x, height - y))
    return found


@pytest.mark.parametrize("name", PHOTOS)
def test_copies_are_near_and_other_photos_are_not(name: str) -> None:
    photo = PHOTOS[name]
    for kind, copy in copies(photo).items():
        assert distance(fingerprint(photo), fingerprint(copy)) <= MAX_DISTANCE, kind
    for other in PHOTOS.keys() - {name}:
        assert distance(fingerprint(photo), fingerprint(PHOTOS[other])) > 2 * MAX_DISTANCE


def test_a_bit_says_whether_an_area_is_darker_than_the_next() -> None:
    columns = np.repeat(np.array([10, 20, 20, 5] + [0] * 13, np.uint8), 4)
    photo = Image.fromarray(np.tile(columns, (64, 1))).convert("RGB")
    assert fingerprint(photo) == ("8000" * 16)


def mutated(code: bytes, num_bits: int, rng: np.random.Generator) -> bytes:
    bits = np.unpackbits(np.frombuffer(code, np.uint8))
    bits[rng.choice(256, num_bits, replace=False)] ^= 1
    return np.packbits(bits).tobytes()


def test_the_groups_are_those_of_comparing_all_pairs() -> None:
    rng = np.random.default_rng(0)
    codes: list[bytes] = []
    for _ in range(60):
        code = rng.bytes(32)
        codes += [code, mutated(code, MAX_DISTANCE, rng), mutated(code, MAX_DISTANCE + 1, rng)]
        codes.append(mutated(codes[-2], int(rng.integers(1, 40)), rng))
    prints = [code.hex() for code in codes]
    expected = list(range(len(prints)))  # by merging, the slow way
    for i in range(len(prints)):
        for j in range(i):
            if distance(prints[i], prints[j]) <= MAX_DISTANCE and expected[i] != expected[j]:
                expected = [expected[j] if group == expected[i] else group for group in expected]
    found = duplicate_groups([str(i) for i in range(len(prints))], prints)
    assert len(set(found)) == len(set(expected)) == len(set(zip(found, expected, strict=True)))
    assert 60 <= len(set(found)) < 180


def test_equal_bytes_and_equal_fingerprints_form_groups() -> None:
    a, b = (fingerprint(PHOTOS[name]) for name in ("astronaut", "cat"))
    groups = duplicate_groups(["1", "2", "3", "3", "4"], [a, b, a, a, b])
    assert groups[0] == groups[2] == groups[3] != groups[1] == groups[4]
    assert duplicate_groups([], []) == []


def test_pictures_without_structure_are_compared_by_their_bytes() -> None:
    plain = [fingerprint(Image.new("RGB", (40, 40), color)) for color in ("red", "teal", "teal")]
    assert len(set(duplicate_groups(["1", "2", "3"], plain))) == 3
    groups = duplicate_groups(["1", "2", "2"], plain)
    assert groups[1] == groups[2] != groups[0]
    assert find_near(plain[:1], plain[1:]) == [None]


def test_the_nearest_copy_is_found() -> None:
    rng = np.random.default_rng(1)
    code = rng.bytes(32)
    among = [rng.bytes(32).hex(), mutated(code, 20, rng).hex(), mutated(code, 3, rng).hex()]
    assert find_near([code.hex(), rng.bytes(32).hex()], among) == [2, None]
    assert find_near([code.hex()], []) == [None]
    assert find_near([mutated(code, MAX_DISTANCE, rng).hex()], [code.hex()]) == [0]
    assert find_near([mutated(code, MAX_DISTANCE + 1, rng).hex()], [code.hex()]) == [None]
