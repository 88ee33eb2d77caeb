"""Of several seeds the drawing that keeps most of the photo is chosen."""

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from pixelpersona.inference.portrait import Portrait
from pixelpersona.inference.search import most_alike
from pixelpersona.pixel.finish import Finish

PHOTO = Image.fromarray(np.ascontiguousarray(astronaut()[:256:2, 96:352:2]))


class Noisy:
    """Adds to the photo as much noise as the distance of the seed to 7."""

    def portraits(self, photos: Sequence[Image.Image], seeds: Sequence[int]) -> list[Portrait]:
        made = []
        for photo, seed in zip(photos, seeds, strict=True):
            noise = np.random.default_rng(seed).normal(0, 12 * abs(seed - 7) + 5, (128, 128, 3))
            drawn = np.clip(np.asarray(photo) + noise, 0, 255).astype(np.uint8)
            made.append(
                Portrait(Image.fromarray(drawn), Finish().apply(drawn, 4), photo, "", seed, 0.5, 1.0, None)
            )
        return made


@pytest.mark.parametrize("seeds", [[5, 6, 7, 8], [9, 7, 3], [7]])
def test_the_drawing_nearest_to_the_photo_wins(seeds: list[int]) -> None:
    assert most_alike(Noisy(), PHOTO, seeds).seed == 7


def test_no_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        most_alike(Noisy(), PHOTO, [])
