"""The samples of a training run: the same val photos at the same seeds, scored and laid out."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

import numpy as np
from PIL import Image

from pixelpersona.data.metadata import VAL
from pixelpersona.data.pairset import PairSet
from pixelpersona.evaluation.distribution import MIN_PICTURES, fid, kid
from pixelpersona.evaluation.fidelity import GALLERY_SIZE, altered_photo
from pixelpersona.evaluation.framed_features import FramedFeatures
from pixelpersona.inference.portrait import PortraitMaker
from pixelpersona.models.features import similarities
from pixelpersona.pixel.grid import Grid
from pixelpersona.pixel.score import grid_contrast
from pixelpersona.pixel.sheet import contact_sheet


class Samples:
    """Portraits of the first val photos of a pair set; photo i always has seed i.

    maker: draws portraits with the model as it stands. untouched: while its context is open, `maker` draws
    with the base as it was before training; None where the method has no such base. num_samples: number of
    photos; fewer where the set holds fewer. cell: pixels per art cell. framing: of the photos.
    """

    def __init__(
        self,
        maker: PortraitMaker,
        untouched: Callable[[], AbstractContextManager[None]] | None,
        pair_set: PairSet,
        num_samples: int,
        *,
        cell: int,
        framing: str,
    ) -> None:
        shown = pair_set.pairs(VAL)[:num_samples]
        self.ids = [pair.id for pair in shown]
        self.seeds = list(range(len(shown)))
        art = [pair_set.pixel(pair.id) for pair in shown]
        self.photos = [Image.fromarray(pair_set.photo(pair.id)) for pair in shown]
        self.targets = [Image.fromarray(picture) for picture in art]
        self._maker, self._untouched = maker, untouched
        self._features = FramedFeatures(framing)
        self._reference = self._features.features(np.stack(art))
        gallery = pair_set.pairs(VAL)[: max(num_samples, GALLERY_SIZE)]
        altered = [
            altered_photo(Image.fromarray(pair_set.photo(pair.id)), pair.id, framing) for pair in gallery
        ]
        self._people = self._features.likeness_features(np.stack([np.asarray(photo) for photo in altered]))
        self._grid = Grid.of(pair_set.size, pair_set.size, cell)
        self._base: list[Image.Image] | None = None

    def make(self) -> list[Image.Image]:
        """One RGB portrait per photo by the model as it stands, before postprocessing."""
        portraits = self._maker.portraits(self.photos, self.seeds)
        return [portrait.image for portrait in portraits]

    def score(self, portraits: Sequence[Image.Image]) -> dict[str, float]:
        """grid_contrast; with MIN_PICTURES or more portraits also kid_persona and fid_persona."""
        scores = {"grid_contrast": float(np.mean(self._grid_contrasts(portraits)))}
        if len(portraits) < MIN_PICTURES:
            return scores
        images = np.stack([np.asarray(portrait) for portrait in portraits])
        features = self._features.features(images)
        return scores | {
            "kid_persona": kid(features, self._reference, paired=True).mean,
            "fid_persona": fid(features, self._reference),
        }

    def sheet(self, portraits: Sequence[Image.Image]) -> Image.Image:
        """A contact sheet with one row per photo: photo, target, portrait."""
        rows = list(zip(self.photos, self.targets, portraits, strict=True))
        return contact_sheet(rows, column_titles=("photo", "target", "this run"))

    def table(self, portraits: Sequence[Image.Image]) -> Mapping[str, Sequence[object]]:
        """Column title → one cell per photo: id and seed, pictures, scores of the portrait.

        Includes the untouched base where there is one, and the likeness where there are two val photos or
        more.
        """
        base = {} if self._untouched is None else {"base": self.drawn_by_base()}
        scores = {"grid_contrast": self._grid_contrasts(portraits)}
        if len(self._people) > 1:
            people = self._features.likeness_features(np.stack([np.asarray(image) for image in portraits]))
            scores["likeness"] = similarities(self._people, people).diagonal().tolist()
        return {
            "id": self.ids,
            "seed": self.seeds,
            "photo": self.photos,
            "target": self.targets,
            **base,
            "this run": portraits,
            **scores,
        }

    def drawn_by_base(self) -> list[Image.Image]:
        """The portraits by the untouched base; drawn once and cached, because the base does not change."""
        if self._base is None:
            assert self._untouched is not None
            with self._untouched():
                self._base = self.make()
        return self._base

    def _grid_contrasts(self, portraits: Sequence[Image.Image]) -> list[float]:
        return [grid_contrast(np.asarray(portrait), self._grid) for portrait in portraits]
