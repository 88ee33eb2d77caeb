"""Schema of the group `search`: strengths to try for one photo."""

from dataclasses import dataclass


@dataclass(kw_only=True, slots=True)
class SearchConfig:
    """Choice among drawings at several strengths; see `inference.search.best_portrait`.

    strengths: strengths to try in place of sampler.strength; [] for none.
    min_grid_contrast: smallest grid contrast that counts as pixel art, -1 to 1.
    """

    strengths: list[float]
    min_grid_contrast: float
