"""The packaged network on the packaged generated portraits; MODEL_CARD.md has numbers on real photos."""

import numpy as np
import pytest
from PIL import Image

from pixelpersona.assets.locate import path as asset
from pixelpersona.evaluation.recognition import Recognition, recognition
from pixelpersona.models.features import PersonaFeatures

NUM = 24


def draw(photo: np.ndarray) -> np.ndarray:
    small = np.asarray(Image.fromarray(photo).resize((32, 32), Image.Resampling.BOX))
    return (small // 43 * 51).repeat(4, axis=0).repeat(4, axis=1)


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    return [Image.open(file).convert("RGB") for file in sorted(asset("portraits").glob("*.webp"))[:NUM]]


@pytest.fixture(scope="module")
def found(photos: list[Image.Image]) -> Recognition:
    return recognition(photos, [str(i) for i in range(NUM)], PersonaFeatures(), draw)


def test_people_are_recognised_in_pixel_art_and_better_than_by_colours(found: Recognition) -> None:
    assert found.num == NUM
    assert found.top1.mean >= 0.95
    assert found.top1.mean > found.layout_top1.mean


def test_stronger_changes_lower_the_likeness_more(found: Recognition) -> None:
    values = found.likeness
    assert 1 > values["blur"] > values["noise"] > values["wrong person"] + 0.1
    assert values["pixel art of the altered photo"] > values["wrong person"] + 0.4


def test_kid_orders_styles_and_ignores_who_is_shown(found: Recognition) -> None:
    style = found.style
    assert style["photos"].low > style["half-way"].mean > style["pixel art"].high
    assert style["pixel art"].low < 0.05


def test_repeating_it_gives_the_same_numbers(photos: list[Image.Image], found: Recognition) -> None:
    assert recognition(photos, [str(i) for i in range(NUM)], PersonaFeatures(), draw) == found


def test_too_few_photos_are_refused(photos: list[Image.Image]) -> None:
    with pytest.raises(ValueError, match="7 photos; accepted 8 or more"):
        recognition(photos[:7], list("abcdefg"), PersonaFeatures(), draw)
