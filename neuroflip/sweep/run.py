"""`sweep`: a function over many parameters, as one table."""

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroflip.errors import nearest
from neuroflip.optional import require
from neuroflip.simulation import _check_options, _engine, simulate, versions
from neuroflip.sweep import workers
from neuroflip.sweep.design import Cell, Design, cells_of
from neuroflip.sweep.plain import name_of, plain
from neuroflip.sweep.store import Store
from neuroflip.sweep.table import tidy
from neuroflip.sweep.task import Measure, Row, Task, measure, takes_seed
from neuroflip.sweep.workers import Rows

if TYPE_CHECKING:
    from pandas import DataFrame


def sweep(
    build: Callable[..., Any],
    design: Design,
    *,
    measure: Measure = measure,
    repeats: int = 1,
    seed: int = 0,
    path: str | Path | None = None,
    retry: bool = False,
    n_jobs: int = -1,
    client: Any = None,
    progress: bool = False,
    **settings: Any,
) -> "DataFrame":
    """Call a function with every setting of a design, and return what it did as one table.

    build: a function of the parameters by keyword. It returns a `nf.Circuit`, which is simulated
        and measured; or a `nf.Recording` of its own, which is measured; or a dictionary of
        results. Where it has an argument `seed`, it is given the seed of the cell.
    design: a grid {name: values}, of which every combination is taken, the last name fastest; or a
        list of dictionaries {name: value}; or `nf.random_design(...)`. Values are numbers, texts,
        lists, arrays, functions, neurons, rules.
    measure: a function of a recording that returns a dictionary of numbers or texts; by default
        rates, final bits and the threshold margin (`neuroflip.sweep.task.measure`).
    repeats: how often each setting is run, each time with a seed of its own.
    seed: of all seeds. The seed of a cell depends on this, its parameters and its repetition
        alone; so results depend neither on the number of workers nor on the order.
    path: a folder in which every finished cell is kept at once. A sweep that was stopped, however
        rudely, goes on where it was when it is called again with the same arguments. At the end
        the table is there too, table.parquet. `nf.read_sweep(path)` reads what is finished.
    retry: compute cells anew that failed before.
    n_jobs: how many processes of one thread each; -1: one a core; 1: this process.
    client: a `dask.distributed.Client`, whose workers are used instead.
    progress: show a progress bar, with rate and remaining time.
    settings: what `nf.simulate` is to be called with where `build` returns a Circuit: `duration`
        (s), `inputs`, `dt`, `engine` and so on.

    The table has one row a cell: `cell`, the parameters, `repeat`, `seed`, the results, `error`
    and `traceback`. A cell that raises an exception, or brings down its process, is recorded so,
    and the sweep goes on.

    Raises, before anything is computed, ValueError or TypeError for what is wrong, and ValueError
    where `path` holds another sweep or a damaged cell; ImportError for a missing library; while it
    runs, OSError where a cell cannot be written and RuntimeError where the cluster is lost.

    >>> import neuroflip as nf
    >>> from neuroflip.units import ms, pA
    >>> def cell(drive: float) -> nf.Circuit:
    ...     return nf.Circuit("cell", [nf.Population("A", nf.LIF(drive=drive))])
    >>> table = sweep(cell, {"drive": [100*pA, 200*pA]}, duration=100*ms, n_jobs=1)
    >>> table[["cell", "rate_A"]].values.tolist()
    [[0.0, 0.0], [1.0, 30.0]]
    """
    require("pandas", "sweep")
    for name, value, least in (("repeats", repeats, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number, at least {least}; got {value!r}.")
    if not callable(measure):
        raise TypeError(f"measure must be a function of a recording; got {measure!r}.")
    _check_settings(settings)
    cells = cells_of(design, repeats, seed)
    _check_function(build, cells)
    compute = _workers(n_jobs, client)
    names = frozenset(name for cell in cells for name in cell.parameters)
    task = Task(build, measure, settings, names)
    if path is None:
        with closing(_shown(compute(task, cells), cells, {}, progress)) as found:
            return tidy({row["cell"]: row for row in found})
    require("pyarrow", "sweep")
    store = Store(Path(path), _config(task, cells, seed), len(cells))
    with store.locked():
        rows = store.read()
        done = {i for i, row in rows.items() if not (retry and row["error"])}
        left = [cell for cell in cells if cell.index not in done]
        kept = {i: rows[i] for i in done}
        try:
            with closing(_shown(compute(task, left), cells, kept, progress)) as found:
                for row in found:
                    store.add(row)
                    rows[row["cell"]] = row
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"sweep stopped; {store.finished} of {len(cells)} cells are stored in {path}"
            ) from None
        table = tidy(rows)
        if left or not (store.path / "table.parquet").exists():
            store.close(table)
    return table


def _workers(n_jobs: int, client: Any) -> Callable[[Task, Sequence[Cell]], Rows]:
    """What computes cells. Raises ValueError or TypeError."""
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or (n_jobs < 1 and n_jobs != -1):
        raise ValueError(f"n_jobs must be a whole number, at least 1, or -1; got {n_jobs!r}.")
    if client is not None:
        if not isinstance(client, require("distributed", "cluster").Client):
            raise TypeError(
                f"client must be a dask.distributed.Client, like Client('tcp://…'); got {client!r}."
            )
        if n_jobs != -1:
            raise ValueError("n_jobs is for this machine; the workers of a client are its own.")
        return lambda task, cells: workers.cluster(task, cells, client)
    if n_jobs == 1:
        return workers.here
    joblib = require("joblib", "sweep")
    count = joblib.cpu_count() if n_jobs == -1 else n_jobs
    if count == 1:
        return workers.here
    return lambda task, cells: workers.processes(task, cells, count)


def _shown(found: Rows, cells: Sequence[Cell], kept: Mapping[int, Row], progress: bool) -> Rows:
    """The rows as they come, with a progress bar that begins with those that were there."""
    from tqdm import tqdm

    failed = sum(row["error"] is not None for row in kept.values())
    bar = tqdm(total=len(cells), initial=len(kept), desc="sweep", unit="cell", disable=not progress)
    with bar, closing(found):
        for row in found:
            yield row
            failed += row["error"] is not None
            if failed:
                bar.set_postfix(failed=failed, refresh=False)
            bar.update()


def _check_settings(settings: Mapping[str, Any]) -> None:
    """Raise TypeError or ValueError for what `nf.simulate` would refuse by name."""
    own = {"circuit", "seed", "progress", "options"}  # a sweep fills these in itself
    known = [name for name in inspect.signature(simulate).parameters if name not in own]
    engine = settings.get("engine", "numba")
    others = {name: value for name, value in settings.items() if name not in known}
    if "engine" in settings or others:
        _check_options(_engine(engine), engine, others)


def _check_function(build: Callable[..., Any], cells: Sequence[Cell]) -> None:
    """Raise TypeError where the function cannot be called with the parameters."""
    if not callable(build):
        raise TypeError(f"build must be a function of the parameters; got {build!r}.")
    signature = inspect.signature(build)
    known = [n for n, p in signature.parameters.items() if p.kind != p.VAR_KEYWORD]
    extra = {"seed": 0} if takes_seed(build) else {}
    for cell in cells:
        try:
            signature.bind(**cell.parameters, **extra)
        except TypeError as error:
            unknown = [name for name in cell.parameters if name not in known]
            hint = f"; {nearest(unknown[0], known)}" if unknown else "."
            raise TypeError(
                f"{name_of(build)} cannot be called with {', '.join(cell.parameters) or 'nothing'}:"
                f" {error}{hint}"
            ) from None


def _config(task: Task, cells: Sequence[Cell], seed: int) -> dict[str, Any]:
    """What tells this sweep from others."""

    def digest(value: Any, where: str) -> str:
        text = json.dumps(plain(value, where), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    settings = {name: digest(value, name) for name, value in sorted(task.settings.items())}
    return {
        "function": name_of(task.function),
        "measure": name_of(task.measure),
        "seed": seed,
        "design": digest([[c.parameters, c.repeat] for c in cells], "design"),
        "cells": len(cells),
        "settings": settings,
        "versions": versions(task.settings.get("engine", "numba")),
    }
