"""Simulate a full disk and a user without write permission."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def disk_full(num_bytes: int) -> Iterator[None]:
    """Limit the size of every file to `num_bytes`, so that the system refuses larger writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def unprivileged() -> Iterator[None]:
    """Run as the user `nobody` if the tests run as root, who may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
