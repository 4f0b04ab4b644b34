"""Compiled loops, run without the interpreter's lock and shared between threads.

The threads are Python's: numba's own pools do not survive a fork or a second caller, and its
OpenMP would stand beside torch's.
"""

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, cast

import numba

FAST = {"contract", "nsz", "arcp"}
"""Liberties of the compiled arithmetic: sums keep their order, and NaN and inf are kept."""


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled at the first call and kept on disk.

    An inner loop should write one array and read few: the compiler uses vector registers only
    where it need not compare more than eight pairs of arrays for overlap.
    """
    kernel = numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")(function)
    return cast(Callable[..., Any], kernel)


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1), "neuroflip")


if hasattr(os, "register_at_fork"):  # threads do not survive a fork
    os.register_at_fork(after_in_child=_pool.cache_clear)


def share(work: Callable[..., None], parts: Sequence[tuple[int, ...]], threads: int) -> None:
    """Call work(*part) for all parts; compiled loops release the interpreter's lock.

    Threads take parts as they get to run, this one too, so a busy machine waits for none.
    """
    left = list(parts)

    def take() -> None:
        while left:
            try:
                part = left.pop()
            except IndexError:  # another thread was faster
                return
            work(*part)

    helpers = [_pool().submit(take) for _ in range(min(threads, len(parts)) - 1)]
    try:
        take()
    finally:  # none may still write when the arrays are given back
        running = [helper for helper in helpers if not helper.cancel()]
        wait(running)
    for helper in running:
        helper.result()
