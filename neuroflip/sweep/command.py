"""What `neuroflip sweep NAME` does: the circuits and simulations of the library over a grid."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroflip.optional import require
from neuroflip.recording import Recording
from neuroflip.simulation import simulate
from neuroflip.sweep.run import sweep

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Driven:
    """Run a circuit or simulation of the library, driven as `neuroflip run NAME` drives it."""

    name: str
    dt: float
    engine: str
    duration: float | None

    def __call__(self, *, seed: int, **parameters: Any) -> Recording:
        """The recording with these parameters."""
        from neuroflip.sims.scenario import scenarios

        if self.duration is not None:
            parameters["duration"] = self.duration
        scenario = scenarios()[self.name][1](**parameters)
        return simulate(
            scenario.circuit,
            scenario.inputs,
            duration=scenario.duration,
            dt=self.dt,
            engine=self.engine,
            seed=seed,
        )


def values(text: str, read: Callable[[str], Any]) -> list[Any]:
    """The values of a text: "1, 2, 5", or evenly spaced "start:stop:count", or "…:log" in ratio.

    read: gives the value of one. Raises ValueError for a range of another form.

    >>> values("1,2,5", int), values("0:1:3", float), values("1:100:3:log", float)
    ([1, 2, 5], [0.0, 0.5, 1.0], [1.0, 10.0, 100.0])
    """
    parts = [part.strip() for part in text.split(":")]
    if len(parts) == 1:
        return [read(part.strip()) for part in text.split(",")]
    if len(parts) not in (3, 4) or parts[3:] not in ([], ["log"]) or not parts[2].isdigit():
        raise ValueError(f"a range is start:stop:count or start:stop:count:log; got {text!r}.")
    start, stop, count = float(read(parts[0])), float(read(parts[1])), int(parts[2])
    if len(parts) == 3:
        return [float(value) for value in np.linspace(start, stop, count)]
    if start <= 0 or stop <= 0:
        raise ValueError(f"a range in ratio lies above 0; got {text!r}.")
    return [float(value) for value in np.geomspace(start, stop, count)]


def sweep_library(
    name: str,
    grid: Mapping[str, Sequence[Any]],
    *,
    dt: float,
    engine: str,
    duration: float | None,
    scheduler: str | None,
    **options: Any,
) -> "DataFrame":
    """Sweep a circuit or simulation of the library.

    scheduler: the address of a Dask scheduler, like tcp://host:8786; None for this machine.
    options: those of `sweep`: repeats, seed, path, retry, n_jobs, progress.
    """
    build = Driven(name, dt, engine, duration)
    if scheduler is None:
        return sweep(build, grid, **options)
    with require("distributed", "cluster").Client(scheduler) as client:
        return sweep(build, grid, client=client, **options)


def report(table: "DataFrame", path: Path | None) -> str:
    """The table for people, without the tracebacks."""
    from neuroflip.tables import table as draw

    shown = table.drop(columns=["traceback", "seed"])
    if shown["error"].isna().all():
        shown = shown.drop(columns="error")
    cut = shown.head(40)
    rows = [
        [f"{v:.5g}" if isinstance(v, float) else "" if v is None else v for v in row]
        for row in cut.astype(object).itertuples(index=False)
    ]
    parts = [draw("", list(shown.columns), rows)]
    if len(cut) < len(shown):
        parts.append(f"… {len(shown) - len(cut)} more cells")
    failed = int(table["error"].notna().sum())
    parts.append(f"{len(table)} cells, {failed} failed" + (f"; kept in {path}" if path else ""))
    return "\n".join(parts)
