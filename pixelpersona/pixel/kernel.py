"""`kernel`: numba's njit, cached on disk where that is possible.

numba's own cache raises an error at import when no folder can be written, and at the first call when one of
its files is damaged or the disk is full. None of these prevents a kernel from being compiled.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar, overload

from numba import njit
from numba.core.caching import FunctionCache

_log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])


@overload
def kernel(function: F) -> F: ...
@overload
def kernel(**options: Any) -> Callable[[F], F]: ...
def kernel(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Decorate a function as `numba.njit(cache=True)` does; options: of njit.

    When the compiled code cannot be cached, logs one warning per process and reason.
    """
    if function is None:
        return functools.partial(kernel, **options)
    dispatcher = njit(**options)(function)
    try:
        dispatcher._cache = _Cache(function)  # what `enable_caching` does
    except RuntimeError:
        _warn("no writable folder")
    return dispatcher


class _Cache(FunctionCache):  # type: ignore[misc]
    """A cache that treats a damaged file as missing and goes on when a file cannot be written."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # unpickling a damaged file may raise anything
            try:
                self.flush()  # an empty index, else the damaged one would be read again
            except OSError as error:
                self.disable()
                _warn(error.strerror)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _warn(error.strerror)


@functools.cache
def _warn(reason: str) -> None:
    _log.warning(
        "numba cannot cache its compiled code (%s), so every start recompiles it, which takes about 20 s; "
        "set NUMBA_CACHE_DIR=FOLDER to use another folder",
        reason,
    )
