"""What a run draws every few steps: the same held-out photos at the same seeds, scored and laid out."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pixelpersona.build.jobs import Job
from pixelpersona.build.training import FEWEST_FOR_DISTANCE

if TYPE_CHECKING:
    from pixelpersona.data.pairset import PairSet


class Samples:
    """The first held-out photos of a pair set, photo i always at seed i.

    num_samples: how many; fewer where the set holds fewer. Every list of portraits is in the photos' order.
    """

    def __init__(self, job: Job, pair_set: "PairSet", num_samples: int) -> None:
        from pixelpersona.models.features import PersonaFeatures
        from pixelpersona.pixel.grid import Grid

        shown = pair_set.pairs("heldout")[:num_samples]
        art = [pair_set.pixel(pair.id) for pair in shown]
        self.photos = [Image.fromarray(pair_set.photo(pair.id)) for pair in shown]
        self.teachers = [Image.fromarray(picture) for picture in art]
        self._job = job
        self._features = PersonaFeatures()
        self._reference = self._features.features(np.stack(art))
        self._grid = Grid.of(job.base.image_size, job.base.image_size, job.base.cell)
        self._base: list[Image.Image] | None = None

    def make(self) -> list[Image.Image]:
        """The portraits by the model as it stands, RGB as drawn."""
        seeds = list(range(len(self.photos)))
        return [portrait.image for portrait in self._job.maker.portraits(self.photos, seeds)]

    def score(self, portraits: Sequence[Image.Image]) -> dict[str, float]:
        """grid_contrast; kid_persona and fid_persona too where there are enough portraits."""
        from pixelpersona.evaluation.distribution import fid, kid
        from pixelpersona.pixel.score import grid_contrast

        images = np.stack([np.asarray(portrait) for portrait in portraits])
        found = self._features.features(images)
        contrast = {"grid_contrast": float(np.mean([grid_contrast(image, self._grid) for image in images]))}
        if len(images) < FEWEST_FOR_DISTANCE:
            return contrast
        return contrast | {
            "kid_persona": kid(found, self._reference, paired=True).mean,
            "fid_persona": fid(found, self._reference),
        }

    def sheet(self, portraits: Sequence[Image.Image]) -> Image.Image:
        """One picture: a row per photo."""
        from pixelpersona.pixel.sheet import contact_sheet

        rows = list(zip(self.photos, self.teachers, portraits, strict=True))
        return contact_sheet(rows, column_titles=("photo", "teacher", "this run"))

    def table(self, portraits: Sequence[Image.Image]) -> Mapping[str, Sequence[Image.Image]]:
        """Title → pictures, one per photo; with the untouched base where the run trains an adapter on it."""
        base = {} if self._job.untouched is None else {"base": self._drawn_by_base()}
        return {"photo": self.photos, "teacher": self.teachers, **base, "this run": portraits}

    def _drawn_by_base(self) -> list[Image.Image]:
        """Drawn once: the base does not change, and half of a sampling's time would go into it."""
        if self._base is None:
            assert self._job.untouched is not None
            with self._job.untouched():
                self._base = self.make()
        return self._base
