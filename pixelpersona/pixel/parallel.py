"""Map a function over items in several processes, with one thread per process."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.connection import wait
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")

_ITEMS_PER_WORKER = 32  # a process takes seconds to start: with fewer items it does not pay off


def choose_num_workers(num_items: int, num_workers: int | None = None) -> int:
    """Number of processes: `num_workers`, or by the number of items and available cores; at most num_items.

    Raises ValueError when num_workers is below 1.
    """
    if num_workers is not None and num_workers < 1:
        raise ValueError(f"num_workers must be at least 1, got {num_workers}")
    # macOS does not tell which cores a process may use.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = min(cores, num_items // _ITEMS_PER_WORKER) if num_workers is None else num_workers
    return max(1, min(wanted, num_items))


def unordered(
    function: Callable[[Item], Result], items: Sequence[Item], num_workers: int
) -> Iterator[tuple[int, Result]]:
    """Yield (index of the item, result) in order of completion.

    function: must be picklable when num_workers is above 1. Numerical libraries are limited to one thread per
    process, this one included, so sums have the same order for any number of workers, and processes do not
    compete for cores.
    """
    if num_workers == 1:
        with threadpool_limits(1):
            for number, item in enumerate(items):
                yield number, function(item)
        return
    # spawn, not fork: a forked process that has used OpenMP (torch, KMeans) may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        num_workers, mp_context=context, initializer=_start_worker, initargs=(function,)
    ) as pool:
        numbers = {pool.submit(_work, item): number for number, item in enumerate(items)}
        try:
            for future in as_completed(numbers):
                yield numbers[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_function: Callable[[Any], Any] | None = None


def _start_worker(function: Callable[[Any], Any]) -> None:
    global _function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    threadpool_limits(1)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    _function = function


def _exit_with_parent() -> None:
    """Exit when the parent dies: a worker of a killed parent would wait for items forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _work(item: Any) -> Any:
    assert _function is not None
    return _function(item)
