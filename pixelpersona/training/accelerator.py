"""accelerate's device, precision and processes for one run."""

import os

from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState


def make_accelerator(precision: str, *, batch_size: int, gradient_accumulation_steps: int = 1) -> Accelerator:
    """An Accelerator whose processes and passes share a batch in equal parts.

    precision: accelerate's word for it, "no" (float32), "fp16" or "bf16". Raises ValueError when the batch
    cannot be shared equally, for fp16 on a CPU, or when torchrun started processes that accelerate does not
    see.
    """
    if gradient_accumulation_steps < 1:
        raise ValueError(
            f"loop.gradient_accumulation_steps={gradient_accumulation_steps}: accepted 1 or more"
        )
    if precision == "fp16" and PartialState().device.type == "cpu":
        raise ValueError("loop.precision=fp16: needs a GPU; accepted fp32 or bf16 on a CPU")
    AcceleratorState._reset_state()  # an earlier job of a sweep may have had another precision
    accelerator = Accelerator(
        mixed_precision=precision, gradient_accumulation_steps=gradient_accumulation_steps
    )
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if accelerator.num_processes != started:
        raise ValueError(
            f"torchrun started {started} processes, accelerate found {accelerator.num_processes}; "
            "without a GPU set ACCELERATE_USE_CPU=1"
        )
    num_parts = accelerator.num_processes * gradient_accumulation_steps
    if batch_size % num_parts:
        raise ValueError(
            f"loop.batch_size={batch_size}: accepted multiples of {num_parts} ({started} processes, "
            f"loop.gradient_accumulation_steps={gradient_accumulation_steps})"
        )
    return accelerator
