"""Torch generators for training steps, seeded as `randomness` describes."""

import torch

from pixelpersona.data.randomness import derived_seed


def step_rng(seed: int, step: int, purpose: str) -> torch.Generator:
    """A fresh generator for one purpose ("noise", "timestep", ...) of one training step.

    It is a CPU generator on all devices, so that the numbers are the same everywhere: draw with it, then move
    the tensor.
    """
    generator = torch.Generator(device="cpu")
    generator.manual_seed(derived_seed("step", int(seed), int(step), purpose))
    return generator
