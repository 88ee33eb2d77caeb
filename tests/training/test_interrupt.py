"""How a run ended is what its tracker is told."""

import signal

import pytest

from pixelpersona.tracking.tracker import NoTracker
from pixelpersona.training.interrupt import Interrupted, ending


class Told(NoTracker):
    def __init__(self) -> None:
        self.exit_codes: list[int] = []

    def finish(self, exit_code: int = 0) -> None:
        self.exit_codes.append(exit_code)


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (ValueError("not finite"), 1),
        (Interrupted(signal.SIGTERM), 143),
        (Interrupted(signal.SIGINT), 130),
        (KeyboardInterrupt(), 130),  # a second Ctrl-C, which no handler answers
    ],
)
def test_a_tracker_is_finished_once_with_the_exit_code(error: BaseException, exit_code: int) -> None:
    tracker = Told()
    with pytest.raises(type(error)), ending(tracker):
        raise error
    assert tracker.exit_codes == [exit_code]


def test_a_run_that_came_to_its_end_is_finished_with_0() -> None:
    tracker = Told()
    with ending(tracker):
        assert tracker.exit_codes == []
    assert tracker.exit_codes == [0]
