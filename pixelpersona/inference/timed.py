"""How long a maker draws."""

import time
from collections.abc import Sequence

from PIL import Image

from pixelpersona.inference.portrait import Portrait, PortraitMaker


class Timed:
    """A maker that draws as another does, and counts its seconds.

    They differ from run to run: never part of a result, only told beside it.
    """

    def __init__(self, maker: PortraitMaker) -> None:
        self.maker, self.seconds, self.num_portraits = maker, 0.0, 0

    def portraits(self, photos: Sequence[Image.Image], seeds: Sequence[int]) -> list[Portrait]:
        """As the maker's."""
        started = time.perf_counter()
        made = self.maker.portraits(photos, seeds)
        self.seconds += time.perf_counter() - started
        self.num_portraits += len(made)
        return made

    @property
    def seconds_per_portrait(self) -> float:
        """Grid and palette included. Raises ValueError before the first portrait."""
        if not self.num_portraits:
            raise ValueError("seconds_per_portrait: nothing was drawn yet")
        return self.seconds / self.num_portraits
