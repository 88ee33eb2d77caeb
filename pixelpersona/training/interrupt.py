"""SIGTERM and Ctrl-C: the step that runs is finished, the hook that runs is given up, nothing is lost."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pixelpersona.tracking.tracker import Tracker

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """The run was asked to stop and has saved where it stands; `exit_code` is 128 + the signal's number.

    Not an Exception, like KeyboardInterrupt: no library's `except Exception` may swallow it.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signum


class StopRequest:
    """What the signals ask for while `listening()`; a second signal is answered as without us, at once."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self._may_raise = False

    @contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Handlers are the process's and only the main thread may set them: elsewhere nothing is caught."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number in _SIGNALS:
            signal.signal(number, self._remember)
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def giving_up(self) -> Iterator[None]:
        """Inside, a signal raises Interrupted at once: for work that can be done again."""
        if self.signum is not None:
            raise Interrupted(self.signum)
        self._may_raise = True
        try:
            yield
        finally:
            self._may_raise = False

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        self.signum = signum
        for number in _SIGNALS:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        if self._may_raise:
            raise Interrupted(signum)


@contextmanager
def ending(tracker: Tracker) -> Iterator[None]:
    """Finishes the tracker, told by an exit code how the run ended: after a stop it may not wait for uploads.

    A Ctrl-C that is raised is the second one, of somebody whom the answer to the first took too long.
    """
    exit_code = 1
    try:
        yield
        exit_code = 0
    except Interrupted as stop:
        exit_code = stop.exit_code
        raise
    except KeyboardInterrupt:
        exit_code = 128 + signal.SIGINT
        raise
    finally:
        tracker.finish(exit_code)
