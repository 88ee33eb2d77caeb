"""Sampler settings and the diffusers schedulers that implement them."""

import math
from dataclasses import dataclass
from typing import Any

from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

_KINDS = ("ddim", "dpm")


@dataclass(frozen=True, slots=True)
class Sampler:
    """Settings of img2img.

    kind: "ddim" (Song et al. 2020, arXiv:2010.02502) or "dpm" (DPM-Solver++ 2M, Lu et al. 2022,
    arXiv:2211.01095).
    num_steps: steps of the whole schedule, from pure noise, 1 to 1000.
    strength: share of these steps that img2img takes, above 0 (the photo itself) up to 1 (pure noise).
    guidance: scale of classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598); 1 is off.
    Raises ValueError naming the key and its accepted values.
    """

    kind: str
    num_steps: int
    strength: float
    guidance: float

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ValueError(f"sampler.kind={self.kind}: accepted {', '.join(_KINDS)}")
        if not 1 <= self.num_steps <= 1000:
            raise ValueError(f"sampler.num_steps={self.num_steps}: accepted 1 to 1000")
        if not 0.0 < self.strength <= 1.0:
            raise ValueError(f"sampler.strength={self.strength}: accepted above 0, up to 1")
        if not (math.isfinite(self.guidance) and self.guidance >= 1.0):
            raise ValueError(f"sampler.guidance={self.guidance}: accepted 1 (off) or more")
        if self.num_calls < 1:
            raise ValueError(
                f"sampler.num_steps={self.num_steps} at strength {self.strength} takes no step: "
                f"accepted num_steps of {math.ceil(1 / self.strength)} or more"
            )

    @property
    def num_calls(self) -> int:
        """Steps that img2img takes, each one UNet call (on twice the batch with guidance)."""
        return min(int(self.num_steps * self.strength), self.num_steps)

    @property
    def num_passes(self) -> int:
        """UNet passes per portrait; guidance doubles them."""
        return self.num_calls if self.guidance == 1.0 else 2 * self.num_calls


def make_scheduler(sampler: Sampler, noise_schedule: Any) -> DDIMScheduler | DPMSolverMultistepScheduler:
    """The diffusers scheduler for these settings.

    noise_schedule: the base's scheduler, of any diffusers class; only its config is used.
    DPM-Solver++ uses "trailing" timesteps (Lin et al. 2023, arXiv:2305.08891): strength s then starts at
    timestep 1000 s whatever num_steps is, so that fewer steps do not mean less style. DDIM keeps the spacing
    of the published Stable Diffusion 1.5.
    """
    config = noise_schedule.config
    if sampler.kind == "ddim":
        return DDIMScheduler.from_config(config, clip_sample=False)
    return DPMSolverMultistepScheduler.from_config(
        config,
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        timestep_spacing="trailing",
        final_sigmas_type="zero",
        lower_order_final=True,
    )
