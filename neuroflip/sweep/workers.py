"""Where cells are computed: in this process, in processes of this machine, on a Dask cluster.

Each is a generator of rows in the order in which they finish. A row is the same wherever it is
computed, as all that a cell draws comes from its own seed.
"""

import warnings
from collections.abc import Generator, Sequence
from typing import Any

from neuroflip.optional import require
from neuroflip.sweep.design import Cell
from neuroflip.sweep.task import Row, Task, failure

Rows = Generator[Row, None, None]


def here(task: Task, cells: Sequence[Cell]) -> Rows:
    """One after the other in this process."""
    yield from map(task.run, cells)


def processes(task: Task, cells: Sequence[Cell], count: int) -> Rows:
    """In `count` processes, at least two, of one thread each.

    Where one dies, the cells that were under way are computed again, each alone; one that brings
    its process down again is recorded as failed.
    """
    died = require("joblib.externals.loky", "sweep").process_executor.TerminatedWorkerError
    left = {cell.index: cell for cell in cells}
    while left:
        try:
            for row in _pool(task, list(left.values()), count):
                del left[row["cell"]]
                yield row
        except died:
            for cell in list(left.values())[: 2 * count]:  # as many as joblib hands out ahead
                try:
                    (row,) = _pool(task, [cell], 2)
                except died as error:
                    row = _dead(cell, error)
                del left[cell.index]
                yield row


def _pool(task: Task, cells: Sequence[Cell], count: int) -> Rows:
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
    rows = pool(joblib.delayed(task.run)(cell) for cell in cells)
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
    waiting = iter(cells)
    # A few cells ahead of the workers: enough to keep them busy, and easy on the scheduler
    ahead = max(16, 2 * sum(client.nthreads().values()))
    pending: dict[str, Cell] = {}
    suspects: list[Cell] = []
    alone: set[int] = set()
    completed = distributed.as_completed()

    def submit() -> None:
        cell = next(waiting, None)
        if cell is None and not pending and suspects:
            cell = suspects.pop()
            alone.add(cell.index)
        if cell is not None:
            future = client.submit(task.run, cell, pure=False)
            pending[future.key] = cell
            completed.add(future)

    try:
        for _ in range(ahead):
            submit()
        for future in completed:
            cell = pending.pop(future.key)
            error = future.exception()
            if not isinstance(error, distributed.KilledWorker):
                row = future.result()
            elif cell.index in alone:
                row = _dead(cell, error)
            else:
                row = None
                suspects.append(cell)
            submit()
            if row is not None:
                yield row
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
