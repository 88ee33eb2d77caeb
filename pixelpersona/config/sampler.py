"""Schema of the group `sampler`."""

from dataclasses import dataclass


@dataclass(kw_only=True, slots=True)
class SamplerConfig:
    """Settings of img2img; see `inference.sampler.Sampler`.

    kind: ddim or dpm (DPM-Solver++ 2M).
    num_steps: steps of the whole schedule; img2img takes the share `strength` of them, 1 to 1000.
    strength: above 0 (keeps the photo) to 1 (ignores it).
    guidance: classifier-free guidance; 1 is off.
    """

    kind: str
    num_steps: int
    strength: float
    guidance: float
