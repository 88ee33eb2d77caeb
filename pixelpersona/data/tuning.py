"""Training photos held out to choose settings by, so that the held-out ones judge the choice once."""

from PIL import Image

from pixelpersona.data.metadata import HELDOUT, TRAIN
from pixelpersona.data.sources import PhotoSource

__all__ = ["TuningSource"]


class TuningSource:
    """A source without its held-out photos; `num_heldout` of its training photos take their place.

    Which ones their bytes decide, so that the same are held out in every run. num_heldout: 1 or more, and
    at least one photo must be left to train on, else ValueError.
    """

    split_is_given = True

    def __init__(self, source: PhotoSource, num_heldout: int) -> None:
        self._source = source
        self.name = f"{source.name}-tuning"
        self._ids = [photo_id for photo_id in source.ids() if source.split(photo_id) == TRAIN]
        if not 1 <= num_heldout < len(self._ids):
            raise ValueError(
                f"dataset.num_tuning={num_heldout}: accepted 1 to {len(self._ids) - 1}; "
                f"{source.name} has {len(self._ids)} training photos"
            )
        self._heldout = set(sorted(self._ids, key=source.digest)[:num_heldout])

    def ids(self) -> list[str]:
        return list(self._ids)

    def open(self, photo_id: str, /) -> Image.Image:
        return self._source.open(photo_id)

    def caption(self, photo_id: str, /) -> str | None:
        return self._source.caption(photo_id)

    def split(self, photo_id: str, /) -> str:
        return HELDOUT if photo_id in self._heldout else TRAIN

    def digest(self, photo_id: str, /) -> str:
        return self._source.digest(photo_id)
