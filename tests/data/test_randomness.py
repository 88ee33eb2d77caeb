import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from pixelpersona.data.generators import step_rng
from pixelpersona.data.randomness import epoch_order, mirrored_samples, numpy_rng


def test_step_rng_is_repeatable_and_independent_of_the_global_generator() -> None:
    first = torch.randn(8, generator=step_rng(1, 2, "noise"))
    torch.manual_seed(99)
    torch.randn(3)
    assert torch.equal(first, torch.randn(8, generator=step_rng(1, 2, "noise")))


def test_seed_step_and_purpose_all_change_the_draw() -> None:
    positions = [(1, 2, "noise"), (2, 1, "noise"), (1, 3, "noise"), (1, 2, "timestep"), (12, 0, "noise")]
    draws = {tuple(torch.randn(4, generator=step_rng(*position)).tolist()) for position in positions}
    assert len(draws) == len(positions)


def test_step_seed_is_the_documented_hash() -> None:
    text = "str:4:step" + "int:1:7" + "int:2:30" + "str:5:noise"
    expected = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    assert step_rng(7, 30, "noise").initial_seed() == expected


def test_noise_of_neighbouring_steps_is_uncorrelated() -> None:
    a = torch.randn(20_000, generator=step_rng(0, 0, "noise"))
    b = torch.randn(20_000, generator=step_rng(0, 1, "noise"))
    assert (
        abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 0.03
    )  # 4 standard deviations of 1 / sqrt(n)


def test_numpy_rng_distinguishes_names_from_numbers() -> None:
    values = {float(numpy_rng(0, key, "flip").random()) for key in ("1", 1, "내 사진 (1)", "a", "b")}
    assert len(values) == 5
    assert numpy_rng(0, "a", "flip").random() == numpy_rng(0, "a", "flip").random()


def test_epoch_order_is_a_permutation_that_changes_with_epoch_and_seed() -> None:
    order = epoch_order(50, seed=3, epoch=0)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(50))
    assert order.tolist() == epoch_order(50, seed=3, epoch=0).tolist()
    assert order.tolist() != epoch_order(50, seed=3, epoch=1).tolist()
    assert order.tolist() != epoch_order(50, seed=4, epoch=0).tolist()


def test_epoch_order_of_no_items_is_refused() -> None:
    with pytest.raises(ValueError, match="num_items"):
        epoch_order(0, seed=0, epoch=0)


def test_every_sample_is_mirrored_in_half_of_the_epochs() -> None:
    drawn = np.stack([mirrored_samples(500, 3, epoch) for epoch in range(10)])
    assert (drawn.sum(axis=0) == 5).all()
    assert all(0.4 < share < 0.6 for share in drawn.mean(axis=1))
    assert (drawn[0] == ~drawn[1]).all()
    assert len({row.tobytes() for row in drawn}) == 10
    assert np.array_equal(drawn[7], mirrored_samples(500, 3, 7))
    assert not np.array_equal(drawn[7], mirrored_samples(500, 4, 7))


def test_making_pairs_does_not_import_torch() -> None:
    """Every worker process of prepare would otherwise take seconds longer to start."""
    code = "import sys, pixelpersona.data.making; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
