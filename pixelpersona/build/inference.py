"""`sampler`, `search`: how portraits are drawn, and how the best of several is chosen."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixelpersona.inference.sampler import Sampler


@dataclass(kw_only=True, slots=True)
class SamplerConfig:
    """kind: ddim or dpm (DPM-Solver++ 2M). num_steps: of the whole schedule; img2img walks `strength`.

    strength: 0 (the photo) to 1 (nothing of it). guidance: 1 switches it off.
    """

    kind: str = "dpm"
    num_steps: int = 20
    strength: float = 0.5
    guidance: float = 3.0


@dataclass(kw_only=True, slots=True)
class SearchConfig:
    """strengths: tried for one photo in place of sampler.strength; none to take that one.

    min_grid_contrast: of the raw drawings at least so much pixel art (1 is all of it, near 0 a photo) the one
    that keeps most of the photo is taken; see `inference.search.best_portrait`.
    """

    strengths: list[float] = field(default_factory=list)
    min_grid_contrast: float = 0.4

    def check(self) -> None:
        """Raises ValueError naming the key of a value that is not accepted."""
        if wrong := [strength for strength in self.strengths if not 0.0 < strength <= 1.0]:
            raise ValueError(f"search.strengths={wrong[0]}: accepted above 0, up to 1")
        if not -1.0 <= self.min_grid_contrast <= 1.0:
            raise ValueError(f"search.min_grid_contrast={self.min_grid_contrast}: accepted -1 to 1")


def make_sampler(sampler: SamplerConfig) -> "Sampler":
    from pixelpersona.inference.sampler import Sampler

    return Sampler(
        kind=sampler.kind,  # type: ignore[arg-type]
        num_steps=sampler.num_steps,
        strength=sampler.strength,
        guidance=sampler.guidance,
    )
