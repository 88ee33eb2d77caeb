"""Schema of the group `loss`."""

from dataclasses import dataclass


@dataclass(kw_only=True, slots=True)
class LossConfig:
    """The training loss; see `training.objectives.diffusion.DiffusionObjective`.

    kind: mse or huber; the supervised baseline also accepts l1.
    huber_delta: error from which huber is linear.
    snr_gamma: null, or gamma of the min-SNR weights (5 in the paper).
    max_timestep: timesteps are drawn below it, 1 to 1000.
    timestep_power: above 1, low noise levels are drawn more often; 2 draws 71 % below the middle.
    residual_shift_strength: 0, or the img2img strength whose path from photo to pixel art is learned.
    residual_shift_probability: share of the samples that follow this path; the others learn plain noise.
    noise_offset: standard deviation of a random shift of the noise, per picture and channel; 0 for none.
    caption_dropout: share of the samples with an empty caption, 0 to 1.
    """

    kind: str
    huber_delta: float
    snr_gamma: float | None
    max_timestep: int
    timestep_power: float
    residual_shift_strength: float
    residual_shift_probability: float
    noise_offset: float
    caption_dropout: float
