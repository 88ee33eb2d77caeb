"""How portraits are sampled: which solver, how many steps, how much of the photo is given up."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

Kind = Literal["ddim", "dpm"]


@dataclass(frozen=True, slots=True)
class Sampler:
    """Settings of img2img, checked.

    kind: "ddim" (Song et al. 2020, arXiv:2010.02502) or "dpm" (DPM-Solver++ 2M, Lu et al. 2022,
    arXiv:2211.01095).
    num_steps: steps of the whole schedule, from pure noise; strength: the share of them that is walked,
    above 0 (the photo itself) up to 1 (nothing left of it); guidance: classifier-free guidance, 1 = off.
    Raises ValueError naming the key and its accepted values.
    """

    kind: Kind
    num_steps: int
    strength: float
    guidance: float

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"sampler.kind={self.kind}: accepted {', '.join(get_args(Kind))}")
        if not 1 <= self.num_steps <= 1000:
            raise ValueError(f"sampler.num_steps={self.num_steps}: accepted 1 to 1000")
        if not 0.0 < self.strength <= 1.0:
            raise ValueError(f"sampler.strength={self.strength}: accepted above 0, up to 1")
        if not (math.isfinite(self.guidance) and self.guidance >= 1.0):
            raise ValueError(f"sampler.guidance={self.guidance}: accepted 1 (off) or more")
        if self.num_calls < 1:
            raise ValueError(
                f"sampler.num_steps={self.num_steps} at strength {self.strength} is no step at all: "
                f"accepted num_steps of {math.ceil(1 / self.strength)} or more"
            )

    @property
    def num_calls(self) -> int:
        """Steps that are walked; each is one UNet call (of twice the batch when guidance is on)."""
        return min(int(self.num_steps * self.strength), self.num_steps)

    @property
    def num_passes(self) -> int:
        """Passes of the UNet that one portrait takes."""
        return self.num_calls if self.guidance == 1.0 else 2 * self.num_calls


def make_scheduler(sampler: Sampler, noise_schedule: Any) -> DDIMScheduler | DPMSolverMultistepScheduler:
    """diffusers' scheduler for these settings on a base's noise schedule (any diffusers scheduler).

    DPM-Solver++ takes "trailing" steps (Lin et al. 2023, arXiv:2305.08891): then a strength of s starts at
    timestep 1000 s whatever the number of steps, so fewer steps do not mean less style. DDIM keeps the
    schedule's own spacing, as Stable Diffusion 1.5 was published.
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
