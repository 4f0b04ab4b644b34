"""What setting, resetting and holding cost, in spikes and synaptic events."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroflip.analysis.truth import behaviour_of, drive, program
from neuroflip.circuit import Array, Circuit
from neuroflip.circuits.behaviour import Behaviour, Bits
from neuroflip.recording import Recording
from neuroflip.simulation import simulate
from neuroflip.tables import table
from neuroflip.units import ms

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Cost:
    """What a transition costs: means over its cycles, each `Energy.period` long.

    what: "hold" where the state stays, "set" and "reset" where the only output rises or falls,
    else "change"; "row" for a circuit without a state. spikes: of all neurons; spread: their
    standard deviation over the cycles. each: population -> spikes. events: spikes that arrive at
    synapses, those of the inputs included. beyond: spikes beyond those of holding the new state
    for as long; NaN where that was not seen. right: cycles whose outputs came out as expected.
    """

    what: str
    state: Hashable
    inputs: Bits
    cycles: int
    right: int
    spikes: float
    spread: float
    each: Mapping[str, float]
    events: float
    beyond: float


@dataclass(frozen=True)
class Energy:
    """What `energy` found. period: length of a cycle (s). costs: one a state and row of inputs."""

    circuit: str
    period: float
    costs: tuple[Cost, ...]

    def holding(self) -> dict[Hashable, dict[str, float]]:
        """For each state that was held with all inputs silent, population -> spikes per second."""
        return {
            cost.state: {name: n / self.period for name, n in cost.each.items()}
            for cost in self.costs
            if cost.what == "hold" and not any(cost.inputs.values())
        }

    def mean(self, what: str) -> float:
        """Mean spikes per cycle of the transitions of a kind, weighted by how often they came.

        Raises ValueError where there was none.
        """
        chosen = [cost for cost in self.costs if cost.what == what]
        if not chosen:
            raise ValueError(f"there was no {what!r}; there were {sorted(self._kinds())}.")
        return float(
            np.average([cost.spikes for cost in chosen], weights=[cost.cycles for cost in chosen])
        )

    def _kinds(self) -> set[str]:
        return {cost.what for cost in self.costs}

    def __str__(self) -> str:
        rows = [
            (
                cost.what,
                "" if cost.state is None else cost.state,
                " ".join(f"{name}={bit}" for name, bit in cost.inputs.items()),
                f"{cost.right}/{cost.cycles}",
                f"{cost.spikes:.1f} ± {cost.spread:.1f}",
                f"{cost.spikes / self.period:.0f}",
                "" if np.isnan(cost.beyond) else f"{cost.beyond:+.1f}",
                f"{cost.events:.1f}",
                f"{cost.spikes / len(cost.each):.1f}",
            )
            for cost in self.costs
        ]
        title = f"{self.circuit}: spikes in a cycle of {self.period * 1e3:g} ms"
        head = ("", "state", "inputs", "right", "spikes ± sd", "per s", "beyond holding",
                "synaptic events", "spikes a population")  # fmt: skip
        return table(title, head, rows)

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Draw the spikes of every transition, stacked by population.

        path: write the figure there as well (.png, .pdf, .svg).
        """
        from neuroflip.analysis.figures import draw_energy

        return draw_energy(self, path)


def energy(
    circuit: Circuit,
    behaviour: Behaviour | None = None,
    *,
    cycles: int | None = None,
    seed: int = 0,
    dt: float = 0.1 * ms,
    engine: str = "numba",
    **options: Any,
) -> Energy:
    """Count the spikes that a circuit spends on every transition.

    behaviour: what it should do; None takes the library's. cycles, seed: of the program of rows
    (`analysis.truth.program`); None tries every transition. options: those of the engine.

    Raises ValueError for a circuit of unknown behaviour, and what `nf.simulate` raises.

    >>> import neuroflip as nf
    >>> held = energy(nf.circuits.sr_latch()).holding()
    >>> {state: {n: round(rate) for n, rate in each.items()} for state, each in held.items()}
    {0: {'Q': 0, 'Qbar': 64}, 1: {'Q': 62, 'Qbar': 0}}
    """
    machine = behaviour_of(circuit) if behaviour is None else behaviour
    rows = program(machine, cycles, seed)[0]
    steps = int(np.ceil((len(rows) + 2) * machine.period / dt))
    recording = simulate(
        circuit, drive(machine, rows), duration=steps * dt, dt=dt, engine=engine, **options
    )
    edges: Array = np.arange(1, len(rows) + 2) * np.float64(machine.period) - 0.5 * dt
    counts = {p.name: np.histogram(recording.spikes[p.name], edges)[0] for p in circuit.populations}
    events = _events(recording, edges)
    bits = {name: recording.bit(name)[1] for name in machine.outputs}
    groups: dict[Any, list[int]] = {}
    right = np.zeros(len(rows), bool)
    state, before = machine.start, dict.fromkeys(machine.outputs, 0)
    kinds: dict[Any, tuple[str, Hashable]] = {}
    for n, row in enumerate(rows):
        after, outputs = machine.step(state, row)
        if state is not None and n == 0:
            before = dict(machine.step(state, dict.fromkeys(row, 0))[1])
        read = round(((n + 1) * machine.period + machine.read) / dt)
        right[n] = all(bits[name][read] == bit for name, bit in outputs.items())
        key = (state, tuple(row.items()))
        groups.setdefault(key, []).append(n)
        kinds[key] = (_kind(state, after, before, outputs), after)
        state, before = after, dict(outputs)
    total = np.sum(list(counts.values()), axis=0)
    held = {
        key[0]: float(total[at].mean())
        for key, at in groups.items()
        if kinds[key][0] == "hold" and not any(bit for _, bit in key[1])
    }
    costs = [
        Cost(
            kinds[key][0],
            key[0],
            dict(key[1]),
            len(at),
            int(right[at].sum()),
            float(total[at].mean()),
            float(total[at].std()),
            {name: float(each[at].mean()) for name, each in counts.items()},
            float(events[at].mean()),
            float(total[at].mean()) - held.get(kinds[key][1], np.nan),
        )
        for key, at in groups.items()
    ]
    order = ["hold", "set", "reset", "change", "row"]
    costs.sort(key=lambda c: (order.index(c.what), str(c.state), *c.inputs.values()))
    return Energy(circuit.name, machine.period, tuple(costs))


def _kind(state: Hashable, after: Hashable, before: Bits, outputs: Bits) -> str:
    if state is None:
        return "row"
    if after == state:
        return "hold"
    if len(outputs) == 1:
        rise = next(iter(outputs.values())) - next(iter(before.values()))
        return {1: "set", -1: "reset"}.get(rise, "change")
    return "change"


def _events(recording: Recording, edges: Array) -> Array:
    """Spikes that arrive at synapses, by the cycle in which they were sent."""
    circuit = recording.circuit
    sizes = circuit.sizes()
    reach = {name: np.zeros(size) for name, size in sizes.items()}
    for projection in circuit.projections:
        pre = circuit.synapses(projection).pre
        reach[projection.pre] += np.bincount(pre, minlength=sizes[projection.pre])
    total = np.zeros(edges.size - 1)
    for name, each in reach.items():
        if name in recording.spikes:
            times, sources = recording.spikes[name], recording.neurons[name]
        else:
            steps, sources = recording.drives[0].events[name]
            times = steps * np.float64(recording.dt)
        total += np.histogram(times, edges, weights=each[sources])[0]
    return total
