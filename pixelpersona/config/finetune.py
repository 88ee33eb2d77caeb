"""Schema of the group `finetune`: the LoRA recipe that suits a base, chosen by `model`."""

from dataclasses import dataclass, field

from pixelpersona.config.field_kinds import NOT_NEGATIVE


@dataclass(kw_only=True, slots=True)
class FinetuneConfig:
    """Defaults of `optimizer`, `loop`, `lora` and `loss` for LoRAs of a base.

    lr: learning rate.
    num_steps: optimizer steps.
    batch_size: samples per optimizer step.
    targets: suffixes of the names of the modules that get a LoRA.
    max_timestep: timesteps are drawn below it, 1 to 1000.
    timestep_power: above 1, low noise levels are drawn more often.
    residual_shift_strength: 0, or the img2img strength whose path from photo to pixel art is learned.
    residual_shift_probability: share of the samples that follow this path, above 0 to 1.
    """

    lr: float = field(metadata=NOT_NEGATIVE)
    num_steps: int
    batch_size: int
    targets: list[str]
    max_timestep: int
    timestep_power: float
    residual_shift_strength: float
    residual_shift_probability: float
