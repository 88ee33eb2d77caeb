import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pixelpersona.data.augment import Augmentation, _affine

ZERO = dict.fromkeys(("flip", "degrees", "translate", "scale", "brightness", "contrast", "saturation"), 0.0)


def picture(height: int = 24, width: int = 24) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_zero_strengths_change_nothing() -> None:
    augment = Augmentation(**ZERO)
    image = Image.fromarray(picture())
    changed = augment.color(augment.geometry(image, rng()), rng())
    assert np.array_equal(np.asarray(changed), picture())


def test_flip_mirrors() -> None:
    flipped = Augmentation(**(ZERO | {"flip": 1.0})).geometry(Image.fromarray(picture()), rng())
    assert np.array_equal(np.asarray(flipped), picture()[:, ::-1])


def test_half_of_the_photos_are_flipped() -> None:
    augment = Augmentation(**(ZERO | {"flip": 0.5}))
    image = Image.fromarray(picture(4, 4))
    changed = [np.asarray(augment.geometry(image, rng(i))) for i in range(400)]
    flips = [np.array_equal(array, picture(4, 4)[:, ::-1]) for array in changed]
    assert 160 < sum(flips) < 240  # 200, 4 standard deviations of 10


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_quarter_turn_equals_rot90(quarters: int) -> None:
    turned = _affine(Image.fromarray(picture()), quarters * np.pi / 2, (0.0, 0.0), 1.0)
    difference = np.asarray(turned).astype(int) - np.rot90(picture(), -quarters).astype(int)
    assert np.abs(difference).max() <= 1


def test_a_positive_shift_moves_right_and_down_and_mirrors_the_edge() -> None:
    shifted = np.asarray(_affine(Image.fromarray(picture()), 0.0, (3.0, 2.0), 1.0))
    assert np.array_equal(shifted[2:, 3:], picture()[:-2, :-3])
    assert np.array_equal(shifted[1, 3:], picture()[0, :-3])
    assert np.array_equal(shifted[0, 3:], picture()[1, :-3])


def test_zooming_by_two_shows_the_middle_half() -> None:
    smooth = np.asarray(Image.fromarray(picture(6, 6)).resize((48, 48), Image.Resampling.BICUBIC))
    zoomed = np.asarray(_affine(Image.fromarray(smooth), 0.0, (0.0, 0.0), 2.0))
    expected = np.asarray(Image.fromarray(smooth[12:36, 12:36]).resize((48, 48), Image.Resampling.BICUBIC))
    assert np.abs(zoomed.astype(int) - expected)[4:-4, 4:-4].mean() < 2


def test_the_strongest_settings_leave_no_empty_borders() -> None:
    augment = Augmentation(**(ZERO | {"degrees": 180, "translate": 0.5, "scale": 0.5}))
    white = Image.new("RGB", (20, 12), (255, 255, 255))
    for seed in range(30):
        changed = augment.geometry(white, rng(seed))
        assert changed.size == (20, 12)
        assert np.asarray(changed).min() == 255


def test_brightness_is_a_factor() -> None:
    augment = Augmentation(**(ZERO | {"brightness": 0.4}))
    factor = 1 + rng(3).uniform(-1, 1, size=3)[0] * 0.4
    grey = np.full((2, 2, 3), 100, dtype=np.uint8)
    assert abs(int(np.asarray(augment.color(Image.fromarray(grey), rng(3)))[0, 0, 0]) - 100 * factor) <= 1


def test_saturation_scales_the_distance_to_grey() -> None:
    augment = Augmentation(**(ZERO | {"saturation": 0.5}))
    factor = 1 + rng(5).uniform(-1, 1, size=3)[2] * 0.5
    color = np.array([120.0, 90.0, 60.0])
    luma = color @ [0.299, 0.587, 0.114]
    image = Image.new("RGB", (3, 3), (120, 90, 60))
    assert np.allclose(
        np.asarray(augment.color(image, rng(5)))[1, 1], luma + (color - luma) * factor, atol=1.5
    )


def test_switching_one_augmentation_off_does_not_change_the_others() -> None:
    both = Augmentation(**(ZERO | {"flip": 0.5, "translate": 0.2}))
    alone = Augmentation(**(ZERO | {"translate": 0.2}))
    symmetric = np.concatenate([picture(), picture()[:, ::-1]], axis=1)
    for seed in range(5):
        a, b = (np.asarray(x.geometry(Image.fromarray(symmetric), rng(seed))) for x in (both, alone))
        assert np.array_equal(a, b)


def test_a_value_out_of_range_is_named() -> None:
    with pytest.raises(ValueError, match=r"augment\.flip must be in \[0, 1\], got 2"):
        Augmentation(**(ZERO | {"flip": 2.0}))
