"""`sampler`: how portraits are drawn."""

from dataclasses import dataclass
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


def make_sampler(sampler: SamplerConfig) -> "Sampler":
    from pixelpersona.inference.sampler import Sampler

    return Sampler(
        kind=sampler.kind,  # type: ignore[arg-type]
        num_steps=sampler.num_steps,
        strength=sampler.strength,
        guidance=sampler.guidance,
    )
