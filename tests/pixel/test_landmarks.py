"""Facial landmarks: the numpy network against torch, and where it finds faces and where not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from torch.nn import functional

from pixelpersona.assets import locate
from pixelpersona.pixel.crop import PORTRAIT, TIGHT, Framing, crop_around
from pixelpersona.pixel.faces import find_face
from pixelpersona.pixel.landmarks import Landmarks, find_landmarks, heat_maps

ASTRONAUT = Image.fromarray(data.astronaut())
EYES = np.array([(203.6, 101.2), (249.2, 103.9)])  # the pupils, by eye


def portrait(framing: Framing = PORTRAIT, size: int = 192) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A crop of the astronaut, and the places of her eyes in it."""
    face = find_face(ASTRONAUT)
    assert face is not None
    crop = np.asarray(crop_around(ASTRONAUT, size, framing, face))
    side = round(framing.scale * face.width)
    corner = np.array([face.x - framing.center[0] * side, face.y - framing.center[1] * side])
    return crop, (EYES - corner) * size / side


def in_torch(pixels: np.ndarray) -> np.ndarray:
    """The network in torch, from the same file."""
    with np.load(locate.path("landmarks") / "landmarks.npz") as file:
        weights = {name: torch.from_numpy(file[name].astype(np.float32)) for name in file.files}

    def conv(x: torch.Tensor, name: str, **options: Any) -> torch.Tensor:
        padding = options.get("dilation", 1)
        return functional.conv2d(
            x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=padding, **options
        )

    x = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    x = (x - x.mean()) / (x.std(correction=0) + 0.05)
    x = conv(x, "stem").relu()
    fine = conv(conv(x, "down1", stride=2).relu(), "mid1").relu()
    x = conv(conv(fine, "down2", stride=2).relu(), "mid2").relu()
    x = conv(conv(x, "wide2", dilation=2).relu(), "wide4", dilation=4).relu()
    x = functional.interpolate(x, scale_factor=2, mode="nearest")
    maps: np.ndarray = conv(conv(torch.cat([fine, x], dim=1), "merge").relu(), "heads")[0].numpy()
    return maps


def test_the_network_equals_torch() -> None:
    pixels = np.random.default_rng(0).uniform(0, 1, (64, 64, 3)).astype(np.float32)
    ours = heat_maps(pixels)
    assert (ours.shape, ours.dtype) == ((5, 32, 32), np.float32)
    np.testing.assert_allclose(ours, in_torch(pixels), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("framing", [PORTRAIT, TIGHT])
@pytest.mark.parametrize("size", [96, 192, 500])
def test_the_astronauts_eyes_are_found(framing: Framing, size: int) -> None:
    crop, eyes = portrait(framing, size)
    found = find_landmarks(crop)
    assert found is not None
    distance = np.linalg.norm(eyes[1] - eyes[0])
    assert np.abs(found.eyes - eyes).max() < 0.12 * distance
    assert found.eye_distance == pytest.approx(distance, rel=0.15)
    assert abs(found.angle) < 0.12
    assert found.eyes[:, 1].max() < found.nose[1] < found.mouth[:, 1].min()


def test_landmarks_turn_and_mirror_with_the_picture() -> None:
    crop, _ = portrait()
    straight = find_landmarks(crop)
    turned = find_landmarks(
        np.asarray(Image.fromarray(crop).rotate(-12, Image.Resampling.BICUBIC, fillcolor=(90,) * 3))
    )
    mirrored = find_landmarks(crop[:, ::-1])
    assert straight is not None
    assert turned is not None
    assert mirrored is not None
    assert np.degrees(turned.angle - straight.angle) == pytest.approx(12, abs=4)
    expected = straight.points[[1, 0, 2, 4, 3]] * np.array([-1, 1]) + np.array([192, 0])
    assert np.abs(mirrored.points - expected).max() < 0.1 * straight.eye_distance


def test_of_a_wide_picture_the_central_square_counts() -> None:
    crop, _ = portrait()
    wide = np.full((192, 300, 3), 120, np.uint8)
    wide[:, 54:246] = crop
    alone, found = find_landmarks(crop), find_landmarks(wide)
    assert alone is not None
    assert found is not None
    np.testing.assert_allclose(found.points, alone.points + np.array([54, 0]))


@pytest.mark.parametrize(
    "things", [data.brick, data.coffee, data.coins, data.rocket, data.chelsea, data.colorwheel, data.gravel]
)
def test_things_and_cats_have_no_landmarks(things: Callable[[], NDArray[np.uint8]]) -> None:
    assert find_landmarks(np.asarray(Image.fromarray(things()).convert("RGB"))) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (2, 2), (64, 64)])
def test_a_plain_or_tiny_picture_has_none(shape: tuple[int, int]) -> None:
    assert find_landmarks(np.full((*shape, 3), 99, np.uint8)) is None


def test_measures_of_the_points() -> None:
    points = np.array([(10.0, 20.0), (13.0, 24.0), (0.0, 0.0), (5.0, 6.0), (7.0, 8.0)])
    found = Landmarks(points)
    assert found.eye_distance == 5.0
    assert found.angle == pytest.approx(np.arctan2(4, 3))
    np.testing.assert_array_equal(found.mouth, [(5, 6), (7, 8)])
