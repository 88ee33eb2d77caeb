"""Counted randomness: every draw is a function of a seed and a position, never of what was drawn before.

So a resumed run is the same run, bit for bit, and a sample's augmentation does not depend on the
process that made it. A generator is derived anew for each use, by SHA-256 of what it is for.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

__all__ = ["epoch_order", "mirrored_samples", "numpy_rng", "step_rng"]


def _derived_seed(*parts: int | str) -> int:
    """63 bits of SHA-256. The type tag keeps 1 and "1" apart, the length ("a", "bc") and ("ab", "c")."""
    digest = hashlib.sha256()
    for part in parts:
        kind = "str" if isinstance(part, str) else "int"
        text = (part if isinstance(part, str) else str(int(part))).encode("utf-8", "surrogatepass")
        digest.update(f"{kind}:{len(text)}:".encode())
        digest.update(text)
    return int.from_bytes(digest.digest()[:8], "big") >> 1


def step_rng(seed: int, step: int, purpose: str) -> "torch.Generator":
    """A fresh generator for one purpose ("noise", "timestep", ...) of one training step.

    It lives on the CPU whatever the device, so that the numbers are the same on all of them:
    draw with it, then move the tensor.
    """
    import torch  # here, so that prepare's worker processes, which draw with NumPy alone, start without it

    generator = torch.Generator(device="cpu")
    generator.manual_seed(_derived_seed("step", int(seed), int(step), purpose))
    return generator


def numpy_rng(seed: int, key: str | int, purpose: str) -> np.random.Generator:
    """A fresh NumPy generator for one purpose of one thing: a photo's id, an epoch, a step."""
    return np.random.Generator(np.random.PCG64(_derived_seed("numpy", int(seed), key, purpose)))


def epoch_order(num_items: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which one epoch visits its items: a permutation of range(num_items), int64 [num_items]."""
    if num_items < 1:
        raise ValueError(f"num_items must be at least 1, got {num_items}")
    return numpy_rng(seed, int(epoch), "epoch order").permutation(num_items).astype(np.int64)


def mirrored_samples(num_items: int, seed: int, epoch: int) -> NDArray[np.bool_]:
    """Which samples an epoch shows mirrored: bool [num_items], a pure function of (seed, epoch, sample).

    Every sample is mirrored in exactly one of the epochs 2k and 2k + 1, so in half of them, not about half.
    """
    first = numpy_rng(seed, int(epoch) // 2, "mirror").random(num_items) < 0.5
    return ~first if epoch % 2 else first
