"""What an engine is asked for and what it gives back.

An engine is a module with a function

    run(job: Job, **options) -> list[Trial]

whose keyword options, with their defaults, are the engine's own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from neuroflip.circuit import Array, Circuit, Index
from neuroflip.inputs import Drive


@dataclass(frozen=True)
class Job:
    """One simulation: `steps` steps of `dt` (s) for each drive (trial).

    states: (population, variable) pairs and weights: projection names to record at the start of
    every `every`-th step. tick: called with a number of finished steps (of one trial) since the
    last call; an interruption is raised from it.
    """

    circuit: Circuit
    drives: list[Drive]
    steps: int
    dt: float
    states: tuple[tuple[str, str], ...]
    weights: tuple[str, ...]
    every: int
    tick: Callable[[int], None] = field(default=lambda steps: None)

    @property
    def rows(self) -> int:
        """Number of recorded samples."""
        return -(-self.steps // self.every)


@dataclass
class Trial:
    """Results of one trial.

    spikes: population -> (steps, neurons), sorted by step, then neuron. traces: (population,
    variable) -> (rows, size). weights: plastic projection -> final weights in synapse order;
    weight_history: projection -> (rows, synapses). margin: smallest distance to threshold that a
    non-refractory neuron met, in the unit of the threshold; None where the engine cannot tell.
    """

    spikes: dict[str, tuple[Index, Index]]
    traces: dict[tuple[str, str], Array]
    weights: dict[str, Array]
    weight_history: dict[str, Array]
    margin: float | None
