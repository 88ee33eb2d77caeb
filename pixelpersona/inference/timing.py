"""Seconds per portrait."""

import time
from collections.abc import Sequence

from PIL import Image

from pixelpersona.inference.portrait import Portrait, PortraitMaker


class Timed:
    """Wraps a maker and measures its wall-clock time.

    Times differ from run to run, so they are printed and never part of a result.
    """

    def __init__(self, maker: PortraitMaker) -> None:
        self.maker, self.seconds, self.num_portraits = maker, 0.0, 0

    def portraits(self, photos: Sequence[Image.Image], seeds: Sequence[int]) -> list[Portrait]:
        """The maker's portraits."""
        started = time.perf_counter()
        made = self.maker.portraits(photos, seeds)
        self.seconds += time.perf_counter() - started
        self.num_portraits += len(made)
        return made

    @property
    def seconds_per_portrait(self) -> float:
        """Mean over all portraits, postprocessing included. Raises ValueError before the first one."""
        if not self.num_portraits:
            raise ValueError("seconds_per_portrait: nothing was drawn yet")
        return self.seconds / self.num_portraits
