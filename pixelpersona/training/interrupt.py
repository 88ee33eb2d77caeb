"""SIGTERM and Ctrl-C: the current step is finished, the current callback is cancelled, nothing is lost."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pixelpersona.tracking.tracker import Tracker

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal stopped the run; the same command continues it. `exit_code` is 128 + the signal's number.

    A BaseException, as KeyboardInterrupt is, so that no library's `except Exception` catches it.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signum


class StopRequest:
    """A stop requested by a signal while `listening()`; a second signal has its default effect."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self._may_raise = False

    @contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Handle SIGINT and SIGTERM while open; only possible, and done, in the main thread."""
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
        """While open, a signal raises Interrupted at once: for work that can be repeated."""
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
    """Finish the tracker with the exit code of the run: after a stop it must not wait for uploads.

    A KeyboardInterrupt is the second Ctrl-C, of a user who does not want to wait for the first one's effect.
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
