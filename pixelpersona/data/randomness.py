"""Counter-based randomness: every draw is a function of a seed and a position, never of earlier draws.

A resumed run is therefore the same run, bit for bit, and a photo's augmentation does not depend on the
process that made it. Every generator is seeded with the SHA-256 of what it is used for.

This module needs NumPy only, so that prepare's worker processes start without torch, whose generators are in
`generators`.
"""

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def derived_seed(*parts: int | str) -> int:
    """63 bits of SHA-256 over the parts; 1 and "1" differ, and so do ("a", "bc") and ("ab", "c")."""
    digest = hashlib.sha256()
    for part in parts:
        kind = "str" if isinstance(part, str) else "int"
        text = (part if isinstance(part, str) else str(int(part))).encode("utf-8", "surrogatepass")
        digest.update(f"{kind}:{len(text)}:".encode())
        digest.update(text)
    return int.from_bytes(digest.digest()[:8], "big") >> 1


def numpy_rng(seed: int, key: str | int, purpose: str) -> np.random.Generator:
    """A fresh NumPy generator for one purpose of one key: a photo's id, an epoch, a step."""
    return np.random.Generator(np.random.PCG64(derived_seed("numpy", int(seed), key, purpose)))


@lru_cache(maxsize=4)  # the last two epochs of the train and the val batches
def epoch_order(num_items: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which an epoch visits its items: a permutation of range(num_items), int64 [num_items]."""
    if num_items < 1:
        raise ValueError(f"num_items must be at least 1, got {num_items}")
    return numpy_rng(seed, int(epoch), "epoch order").permutation(num_items).astype(np.int64)


def mirrored_samples(num_items: int, seed: int, epoch: int) -> NDArray[np.bool_]:
    """Which samples an epoch shows mirrored: bool [num_items], a function of (seed, epoch, sample).

    Every sample is mirrored in exactly one of the epochs 2k and 2k + 1, so in exactly half of all epochs.
    """
    first = numpy_rng(seed, int(epoch) // 2, "mirror").random(num_items) < 0.5
    return ~first if epoch % 2 else first


class BatchOrder:
    """Which items each step's batch holds, a function of (seed, step).

    Samples are numbered through all epochs without a gap: sample n is item n % N of epoch n // N, in that
    epoch's own order. All items are therefore seen equally often, even when the batch size does not divide N
    or exceeds it. Raises ValueError when the batch size is below 1 or a step is negative.
    """

    def __init__(self, num_items: int, batch_size: int, seed: int) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.num_items, self.batch_size, self.seed = num_items, batch_size, seed

    def at(self, step: int) -> list[int]:
        """The indices of the batch's items, of length B."""
        return [self._item(epoch, index) for epoch, index in self._places(step)]

    def mirrored(self, step: int) -> NDArray[np.bool_]:
        """Which samples of the batch are shown mirrored: bool [B]; see `mirrored_samples`."""
        places = self._places(step)
        drawn = {epoch: mirrored_samples(self.num_items, self.seed, epoch) for epoch, _ in places}
        return np.array([drawn[epoch][self._item(epoch, index)] for epoch, index in places])

    def _places(self, step: int) -> list[tuple[int, int]]:
        """(epoch, position within it) of every sample of a batch."""
        if step < 0:
            raise ValueError(f"step must not be negative, got {step}")
        first = step * self.batch_size
        return [divmod(number, self.num_items) for number in range(first, first + self.batch_size)]

    def _item(self, epoch: int, index: int) -> int:
        return int(epoch_order(self.num_items, self.seed, epoch)[index])
