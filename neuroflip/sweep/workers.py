"""Where cells are computed: in this process, in processes of this machine, on a Dask cluster.

Each is a generator of rows in the order in which they finish. A row is the same wherever it is
computed, as all that a cell draws comes from its own seed.
"""

import functools
import itertools
import time
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from typing import Any

from neuroflip.optional import require
from neuroflip.sweep import together
from neuroflip.sweep.design import Cell
from neuroflip.sweep.task import Row, Task, failure

Rows = Generator[Row, None, None]

PATIENCE = 30.0
"""How long a sweep waits for workers of a cluster that has none before it says so (s)."""


def here(task: Task, cells: Sequence[Cell]) -> Rows:
    """In this process, one after the other, or those that can side by side."""
    for rows in together.groups(task, cells):
        yield from rows


def processes(task: Task, cells: Sequence[Cell], count: int) -> Rows:
    """In `count` processes, at least two, of one thread each.

    Where one dies, the cells that were under way are computed again, each alone; one that brings
    its process down again is recorded as failed.
    """
    died = require("joblib.externals.loky", "sweep").process_executor.TerminatedWorkerError
    left = {cell.index: cell for cell in cells}
    while left:
        shares = _Shares(task, left.values(), 2 * count)
        try:
            for rows in _pool(task, iter(shares.next, []), count):
                shares.back(rows)
                for row in rows:
                    del left[row["cell"]]
                    yield row
        except died:
            # No more than were handed out ahead: what came later may be run among others again
            for cell in itertools.chain(*itertools.islice(shares.out.values(), 2 * count)):
                try:
                    ((row,),) = _pool(task, iter([[cell]]), 2)
                except died as error:
                    row = _dead(cell, error)
                del left[cell.index]
                yield row
        # What came back undone is handed out again


class _Shares:
    """Cells in the shares in which workers take them.

    parts: how many shares, at least, what is left is cut into, so that none waits for another.
    """

    def __init__(self, task: Task, cells: Iterable[Cell], parts: int) -> None:
        self.waiting = deque(cells)
        self.parts = parts
        self.most = together.CELLS if together.possible(task) else 1
        self.grows = self.most > 1
        self.out: dict[int, list[Cell]] = {}
        """What is with workers, by the first cell."""

    def next(self) -> list[Cell]:
        """The next share; empty where none is left."""
        size = max(1, min(self.most, len(self.waiting) // self.parts))
        share = [self.waiting.popleft() for _ in range(min(size, len(self.waiting)))]
        if share:
            self.out[share[0].index] = share
        return share

    def back(self, rows: Sequence[Row]) -> list[Cell]:
        """What is undone of the share that these rows are of. The next are smaller where it was
        too much."""
        share = self.out.pop(rows[0]["cell"])
        if self.grows:
            less = len(rows) < len(share)
            self.most = len(rows) if less else min(together.CELLS, 2 * self.most)
        return share[len(rows) :]


def _pool(task: Task, shares: Iterable[list[Cell]], count: int) -> Generator[list[Row], None, None]:
    joblib = require("joblib", "sweep")
    loky = require("joblib.externals.loky", "sweep")

    # Workers of a sweep that was killed end by themselves after a while without work
    settings = {"inner_max_num_threads": 1, "idle_worker_timeout": 10}
    with joblib.parallel_config(backend="loky", **settings):
        pool = joblib.Parallel(
            n_jobs=count,
            return_as="generator_unordered",
            batch_size=1,
            max_nbytes=None,  # arrays as they are, not as read-only files
        )
    rows = pool(joblib.delayed(together.some)(task, share) for share in shares)
    through = False
    try:
        yield from rows
        through = True
    finally:
        if not through:  # else they would go on with cells that nobody waits for
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that cells were under way
                rows.close()
            loky.get_reusable_executor().shutdown(wait=False, kill_workers=True)


def _dead(cell: Cell, error: Exception) -> Row:
    """The row of a cell that brings down whatever process computes it."""
    what = "the process that computed this cell died: killed, out of memory, or crashed"
    return cell.row() | failure(type(error).__name__, what, str(error))


def cluster(task: Task, cells: Sequence[Cell], client: Any) -> Rows:
    """On the workers of a `dask.distributed.Client`.

    What a lost worker had in hand goes to another. Cells that were there when one worker after the
    other went down, as often as Dask's allowed-failures says, are computed again at the end, each
    alone; one that does it again is recorded as failed.
    """
    distributed = require("distributed", "cluster")
    # A few shares ahead of the workers: enough to keep them busy, and easy on the scheduler
    ahead = max(16, 2 * sum(client.nthreads().values()))
    shares = _Shares(task, cells, ahead)
    pending: dict[str, list[Cell]] = {}
    suspects: list[Cell] = []
    alone: set[int] = set()
    completed = distributed.as_completed()
    some = functools.partial(together.some, task)

    def submit() -> None:
        while len(pending) < ahead and (share := shares.next()):
            send(share)
        if not pending and suspects:
            alone.add(suspects[-1].index)
            send([suspects.pop()])

    def send(share: list[Cell]) -> None:
        future = client.submit(some, share, pure=False)
        pending[future.key] = share
        completed.add(future)

    try:
        submit()
        for future in _finished(completed, client):
            share = pending.pop(future.key)
            error = future.exception()
            rows: list[Row] = []
            if not isinstance(error, distributed.KilledWorker):
                rows = future.result()
                if share[0].index not in alone:
                    shares.waiting.extend(shares.back(rows))
            elif share[0].index in alone:
                rows = [_dead(share[0], error)]
            else:
                suspects += share
            submit()
            yield from rows
    except (Exception, distributed.CancelledError) as error:
        if client.status == "running" and not isinstance(error, distributed.CancelledError):
            raise
        raise RuntimeError(
            "the Dask cluster has dropped the cells of the sweep; is the scheduler still there? "
            "Finished cells are kept where path= is given; run the same call again."
        ) from error
    finally:
        if client.status == "running":
            client.cancel(list(completed.futures))


def _finished(completed: Any, client: Any) -> Generator[Any, None, None]:
    """Futures as they finish, also those that are added meanwhile. Warns where they cannot: a
    cluster without workers waits for new ones, for ever if none come."""
    since, told = time.monotonic(), False
    while not completed.is_empty():
        if completed.has_ready():
            yield next(completed)
            since = time.monotonic()
            continue
        time.sleep(0.01)
        if not told and time.monotonic() > since + PATIENCE and not client.nthreads():
            told = True
            warnings.warn(
                f"the Dask cluster has had no workers for {PATIENCE:g} s; the sweep goes on when "
                "it has some. If none will come, interrupt it: finished cells are kept where "
                "path= is given.",
                stacklevel=2,
            )
