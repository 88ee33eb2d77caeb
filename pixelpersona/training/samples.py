"""The samples of a training run: the same val photos at the same seeds, scored and laid out."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

import numpy as np
from PIL import Image

from pixelpersona.data.metadata import VAL
from pixelpersona.data.pairset import PairSet
from pixelpersona.evaluation.distribution import MIN_PICTURES, fid, kid
from pixelpersona.inference.portrait import PortraitMaker
from pixelpersona.models.features import PersonaFeatures
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.score import grid_contrast
from pixelpersona.pixel.sheet import contact_sheet


class Samples:
    """Portraits of the first val photos of a pair set; photo i always has seed i.

    maker: draws portraits with the model as it stands. untouched: while its context is open, `maker` draws
    with the base as it was before training; None where the method has no such base. num_samples: number of
    photos; fewer where the set holds fewer. cell: pixels per art cell.
    """

    def __init__(
        self,
        maker: PortraitMaker,
        untouched: Callable[[], AbstractContextManager[None]] | None,
        pair_set: PairSet,
        num_samples: int,
        *,
        cell: int,
    ) -> None:
        shown = pair_set.pairs(VAL)[:num_samples]
        art = [pair_set.pixel(pair.id) for pair in shown]
        self.photos = [Image.fromarray(pair_set.photo(pair.id)) for pair in shown]
        self.targets = [Image.fromarray(picture) for picture in art]
        self._maker, self._untouched = maker, untouched
        self._features = PersonaFeatures()
        self._reference = self._features.features(np.stack(art))
        self._grid = Grid.of(pair_set.size, pair_set.size, cell)
        self._base: list[Image.Image] | None = None

    def make(self) -> list[Image.Image]:
        """One RGB portrait per photo by the model as it stands, before postprocessing."""
        portraits = self._maker.portraits(self.photos, list(range(len(self.photos))))
        return [portrait.image for portrait in portraits]

    def score(self, portraits: Sequence[Image.Image]) -> dict[str, float]:
        """grid_contrast; with MIN_PICTURES or more portraits also kid_persona and fid_persona."""
        images = np.stack([np.asarray(portrait) for portrait in portraits])
        scores = {"grid_contrast": float(np.mean([grid_contrast(image, self._grid) for image in images]))}
        if len(images) < MIN_PICTURES:
            return scores
        features = self._features.features(images)
        return scores | {
            "kid_persona": kid(features, self._reference, paired=True).mean,
            "fid_persona": fid(features, self._reference),
        }

    def sheet(self, portraits: Sequence[Image.Image]) -> Image.Image:
        """A contact sheet with one row per photo: photo, target, portrait."""
        rows = list(zip(self.photos, self.targets, portraits, strict=True))
        return contact_sheet(rows, column_titles=("photo", "target", "this run"))

    def table(self, portraits: Sequence[Image.Image]) -> Mapping[str, Sequence[Image.Image]]:
        """Column title → one picture per photo; includes the untouched base where there is one."""
        base = {} if self._untouched is None else {"base": self._drawn_by_base()}
        return {"photo": self.photos, "target": self.targets, **base, "this run": portraits}

    def _drawn_by_base(self) -> list[Image.Image]:
        """Drawn once and cached, because the base does not change."""
        if self._base is None:
            assert self._untouched is not None
            with self._untouched():
                self._base = self.make()
        return self._base
