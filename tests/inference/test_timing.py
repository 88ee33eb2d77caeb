"""With a fake clock: no test depends on the time that something takes."""

import numpy as np
import pytest
from PIL import Image

from pixelpersona.inference.direct import DirectStylizer, unchanged
from pixelpersona.inference.timing import Timed


def test_it_draws_like_its_maker_and_adds_up_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    photos = [Image.new("RGB", (32, 32), color) for color in ("red", "blue")]
    maker = DirectStylizer(unchanged, cell=4)
    timed = Timed(maker)
    with pytest.raises(ValueError, match="nothing was drawn yet"):
        _ = timed.seconds_per_portrait
    clock = iter([10.0, 13.0, 20.0, 22.0])
    monkeypatch.setattr("pixelpersona.inference.timing.time.perf_counter", lambda: next(clock))
    made = timed.portraits(photos, [0, 1])
    for mine, its in zip(made, maker.portraits(photos, [0, 1]), strict=True):
        assert np.array_equal(np.asarray(mine.image), np.asarray(its.image))
        assert (mine.seed, mine.strength) == (its.seed, its.strength)
    timed.portraits(photos[:1], [2])
    assert timed.seconds_per_portrait == (3.0 + 2.0) / 3
