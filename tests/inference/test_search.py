"""Seed and strength search choose the drawing that their documented rule selects."""

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from pixelpersona.inference.portrait import Portrait
from pixelpersona.inference.search import best_portrait, most_alike
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.postprocess import Postprocess
from pixelpersona.pixel.score import grid_contrast, structure

PHOTO = Image.fromarray(np.ascontiguousarray(astronaut()[:256:2, 96:352:2]))


class Noisy:
    """Draws the photo with noise that grows with the distance of the seed from 7."""

    def portraits(self, photos: Sequence[Image.Image], seeds: Sequence[int]) -> list[Portrait]:
        made = []
        for photo, seed in zip(photos, seeds, strict=True):
            noise = np.random.default_rng(seed).normal(0, 12 * abs(seed - 7) + 5, (128, 128, 3))
            drawn = np.clip(np.asarray(photo) + noise, 0, 255).astype(np.uint8)
            made.append(Portrait(Image.fromarray(drawn), Postprocess().apply(drawn, 4), photo, seed, 0.5))
        return made


@pytest.mark.parametrize("seeds", [[5, 6, 7, 8], [9, 7, 3], [7]])
def test_the_drawing_most_similar_to_the_photo_is_chosen(seeds: list[int]) -> None:
    assert most_alike(Noisy(), PHOTO, seeds).seed == 7


def test_an_empty_list_of_seeds_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        most_alike(Noisy(), PHOTO, [])


class Flattening:
    """Blends the photo with its flat cells by `share`, its strength; noise grows with the seed."""

    def __init__(self, share: float) -> None:
        self.share = share

    def portraits(self, photos: Sequence[Image.Image], seeds: Sequence[int]) -> list[Portrait]:
        made = []
        for photo, seed in zip(photos, seeds, strict=True):
            pixels = np.asarray(photo).astype(float)
            cells = pixels.reshape(32, 4, 32, 4, 3).mean(axis=(1, 3)).repeat(4, 0).repeat(4, 1)
            # More strength also moves cells towards grey, which lowers the similarity to the photo.
            flat = cells + self.share * 0.6 * (128 - cells)
            drawn = (1 - self.share) * pixels + self.share * flat
            drawn += np.random.default_rng(seed).normal(0, 4 * seed + 0.1, (128, 128, 3))
            array = np.clip(drawn, 0, 255).astype(np.uint8)
            snapped = Postprocess().apply(array, 4)
            made.append(Portrait(Image.fromarray(array), snapped, photo, seed, self.share))
        return made


SHARES = (0.2, 0.5, 0.8, 0.95)


def scores(portrait: Portrait) -> tuple[float, float]:
    grid, image = Grid.of(128, 128, 4), np.asarray(portrait.image)
    return grid_contrast(image, grid), structure(np.asarray(portrait.photo), image, grid)


@pytest.mark.parametrize("least", [-1.0, 0.3, 0.6, 0.9])
def test_the_most_similar_drawing_above_the_threshold_is_chosen(least: float) -> None:
    """Compared with scoring all drawings here."""
    makers = [Flattening(share) for share in SHARES]
    best = best_portrait(makers, PHOTO, [2, 0, 1], min_grid_contrast=least)
    every = [p for maker in makers for p in maker.portraits([PHOTO] * 3, [2, 0, 1])]
    enough = [scores(p)[1] for p in every if scores(p)[0] >= least]
    assert enough
    assert scores(best)[0] >= least
    assert scores(best)[1] == max(enough)
    assert best.seed == 0


def test_a_higher_threshold_chooses_more_strength() -> None:
    makers = [Flattening(share) for share in SHARES]
    taken = [
        best_portrait(makers, PHOTO, [0], min_grid_contrast=least).strength for least in (-1.0, 0.5, 0.9)
    ]
    assert taken == sorted(taken)
    assert taken[0] == SHARES[0] < taken[-1]


def test_the_highest_grid_contrast_is_chosen_when_none_reaches_the_threshold() -> None:
    makers = [Flattening(share) for share in (0.2, 0.4, 0.3)]
    assert best_portrait(makers, PHOTO, [0, 3], min_grid_contrast=1.0).strength == 0.4


def test_empty_lists_of_makers_and_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="makers: need at least one"):
        best_portrait([], PHOTO, [0], min_grid_contrast=0.4)
    with pytest.raises(ValueError, match="seeds: need at least one"):
        best_portrait([Noisy()], PHOTO, [], min_grid_contrast=0.4)
