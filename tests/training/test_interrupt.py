"""The tracker is finished with the exit code of the run."""

import signal

import pytest

from pixelpersona.tracking.tracker import NoTracker
from pixelpersona.training.interrupt import Interrupted, ending


class ExitCodes(NoTracker):
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
        (KeyboardInterrupt(), 130),  # a second Ctrl-C, for which no handler is installed any more
    ],
)
def test_a_failed_run_finishes_its_tracker_with_its_exit_code(error: BaseException, exit_code: int) -> None:
    tracker = ExitCodes()
    with pytest.raises(type(error)), ending(tracker):
        raise error
    assert tracker.exit_codes == [exit_code]


def test_a_successful_run_finishes_its_tracker_with_exit_code_0() -> None:
    tracker = ExitCodes()
    with ending(tracker):
        assert tracker.exit_codes == []
    assert tracker.exit_codes == [0]
