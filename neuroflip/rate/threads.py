"""Compiled loops, run without the interpreter's lock and shared between torch's threads.

Torch's OpenMP threads go on spinning for milliseconds after each of its operations, so any other
threads would wait for a free core beside them.
"""

import ctypes
import functools
import os
from collections.abc import Callable, Sequence
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


def bare(function: Callable[..., Any]) -> Callable[..., Any]:
    """`compiled` for what makes no arrays: without it, slices are not counted, which costs a loop
    over many short rows a tenth of its time."""
    more: dict[str, Any] = {"_nrt": False}
    kernel = numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy", **more)
    return cast(Callable[..., Any], kernel(function))


_PROCESS = os.getpid()
_Task = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@functools.cache
def _parallel() -> Callable[..., None] | None:
    """OpenMP's entry to a parallel region in the library that torch has loaded.

    void GOMP_parallel(void (*task)(void *), void *data, unsigned threads, unsigned flags), which
    GCC's and LLVM's OpenMP have; None with another.
    """
    import torch

    try:
        return cast(Callable[..., None], ctypes.CDLL(torch._C.__file__).GOMP_parallel)
    except (AttributeError, OSError):
        return None


def share(work: Callable[..., None], parts: Sequence[tuple[int, ...]], threads: int) -> None:
    """Call work(*part) for all parts; compiled loops release the interpreter's lock.

    Threads take parts as they get to run, this one too. A forked process has no threads but its
    first, and OpenMP would wait for them for ever: there this one takes all.
    """
    left = list(parts)
    errors: list[BaseException] = []

    def take(_: object = None) -> None:
        try:
            while left and not errors:
                try:
                    part = left.pop()
                except IndexError:  # another thread was faster
                    return
                work(*part)
        except BaseException as error:  # it cannot pass through OpenMP
            errors.append(error)

    threads = min(threads, len(parts))
    parallel = _parallel() if threads > 1 and os.getpid() == _PROCESS else None
    if parallel is None:
        take()
    else:
        parallel(_Task(take), None, threads, 0)
    if errors:
        raise errors[0]
