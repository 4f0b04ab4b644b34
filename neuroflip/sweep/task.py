"""What is done in one cell, in whatever process: call the function, simulate, measure."""

import inspect
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neuroflip.circuit import Circuit
from neuroflip.recording import Recording
from neuroflip.simulation import simulate
from neuroflip.sweep.design import RESERVED, Cell

Row = dict[str, Any]
Measure = Callable[[Recording], Mapping[str, Any]]


_CALLERS = (__name__, "neuroflip.sweep.together")


class UsageError(TypeError):
    """What is wrong with the call of the sweep rather than with a cell; it ends the sweep."""


def measure(recording: Recording) -> dict[str, Any]:
    """What a sweep tells of a recording where it is told nothing else.

    "rate_NAME": the mean rate (Hz) of a neuron of each population; "bit_NAME": the bit of each
    readout at the end; "threshold_margin" (V). With several trials, rates and bits are means
    over them.

    >>> import neuroflip as nf
    >>> measure(nf.simulate(nf.circuits.sr_latch(), {"S": [0.05]}, duration=0.2))["bit_Q"]
    1
    """
    trials = len(recording.drives)
    found: dict[str, Any] = {
        f"rate_{p.name}": recording.spikes[p.name].size / (p.size * trials * recording.duration)
        for p in recording.circuit.populations
    }
    for readout in recording.circuit.readouts:
        last = [int(recording.bit(readout.name, trial)[1][-1]) for trial in range(trials)]
        found[f"bit_{readout.name}"] = last[0] if trials == 1 else sum(last) / trials
    return found | {"threshold_margin": recording.threshold_margin}


@dataclass(frozen=True)
class Task:
    """What all cells share: the function, what measures a recording, how circuits are run, the
    names of all parameters."""

    function: Callable[..., Any]
    measure: Measure
    settings: Mapping[str, Any] = field(default_factory=dict)
    names: frozenset[str] = frozenset()

    def run(self, cell: Cell) -> Row:
        """The row of a cell: its results, or its error. Raises UsageError."""
        return self.row(cell, lambda: self.finished(cell, self.called(cell)))

    def row(self, cell: Cell, results: Callable[[], Any]) -> Row:
        """The row of a cell with these results. Raises UsageError."""
        try:
            found = checked(results(), self.names)
        except UsageError:
            raise
        except Exception as error:
            return self.failed(cell, error)
        return cell.row() | {"results": found, "error": None}

    def failed(self, cell: Cell, error: Exception) -> Row:
        """The row of a cell that raised an error."""
        own = error.__traceback__
        # From the function on: how it was called, alone or beside others, is no matter
        while own and own.tb_next and own.tb_frame.f_globals["__name__"] in _CALLERS:
            own = own.tb_next
        text = "".join(traceback.format_exception(error.with_traceback(own)))
        return cell.row() | failure(type(error).__name__, str(error), text)

    def called(self, cell: Cell) -> Any:
        """What the function gives."""
        given = dict(cell.parameters)
        if takes_seed(self.function):
            given["seed"] = cell.seed
        return self.function(**given)

    def finished(self, cell: Cell, found: Any) -> Any:
        """What the function gave, simulated and measured where it is no result yet.

        Raises UsageError.
        """
        if isinstance(found, Circuit):
            if "duration" not in self.settings:
                raise UsageError(
                    "sweep() needs duration= (s), as the function returned a Circuit, which is "
                    "to be simulated."
                )
            found = simulate(found, seed=cell.seed, **self.settings)
        elif self.settings:
            raise UsageError(
                f"sweep(): {', '.join(self.settings)} = … is for functions that return a Circuit; "
                f"this one returned a {type(found).__name__}."
            )
        if isinstance(found, Recording):
            return self.measure(found)
        if isinstance(found, Mapping):
            return found
        raise UsageError(
            "the function of a sweep must return a Circuit, a Recording, or a dictionary of "
            f"results; got {found!r}."
        )


def takes_seed(function: Callable[..., Any]) -> bool:
    """Whether a function has an argument called seed."""
    return "seed" in inspect.signature(function).parameters


def failure(kind: str, message: str, text: str) -> Row:
    """What a row says of an error."""
    return {"results": {}, "error": {"type": kind, "message": message, "traceback": text}}


def checked(results: Any, names: frozenset[str]) -> dict[str, Any]:
    """Results as the store and the table take them. Raises TypeError or ValueError."""
    if not isinstance(results, Mapping):
        raise TypeError(f"measure must return a dictionary of numbers; got {results!r}.")
    found = {}
    for name, value in results.items():
        if not isinstance(name, str) or name in RESERVED or name in names:
            raise ValueError(f"a result may not be called {name!r}, which is a column already.")
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value[()]
        value = value.item() if isinstance(value, np.generic) else value
        if not (value is None or isinstance(value, (bool, int, float, str))):
            raise TypeError(f"result {name!r} must be a number or a text; got {value!r}.")
        found[name] = value
    return found
