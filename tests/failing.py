"""A disk that is full and a user who may write nowhere, without filling a disk."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def disk_full(num_bytes: int) -> Iterator[None]:
    """No file may grow beyond this: the system's own way of making a write fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write everywhere: be nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
