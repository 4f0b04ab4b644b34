"""A circuit as a graph of the Neuromorphic Intermediate Representation (NIR).

NIR (Pedersen et al. 2024, Nat. Commun. 15:8122) names neurons by their differential equations and
joins them by edges, over which signals flow and at whose ends they add up. Its equations take
currents. As in the tools that read and write it, a spike is a signal of 1 for one time step, so
that its charge, and with it every weight, depends on that step: `to_nir` takes it as `dt`.
"""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroflip import files
from neuroflip.circuit import (
    Array,
    Circuit,
    CurrentInput,
    NoiseInput,
    PoissonInput,
    Population,
    Projection,
    SignalInput,
    SpikeInput,
)
from neuroflip.engines.plan import delay_steps
from neuroflip.optional import require
from neuroflip.rules import none
from neuroflip.units import as_float, ms, show

if TYPE_CHECKING:
    from nir import NIRGraph

METADATA = "neuroflip"
"""The key of a graph's metadata under which the circuit itself is kept, as JSON."""

_SYNAPSES = {
    "LIF": {"excitatory": ("tau_e", 1.0), "inhibitory": ("tau_i", -1.0)},
    "DeltaLIF": {"delta": ("", 1.0)},
    "FilteredLIF": {"delta": ("", 1.0)},
    "SoftLIF": {"delta": ("", 1.0), "current": ("tau_s", 1.0)},
}
"""The neurons whose potential NIR has equations for: receptor -> the parameter that is the time
constant of its current ("": a spike adds to v), and the sign of its weights."""

ORDER = (
    "record, update, threshold, synapses, reset; a spike reaches the threshold one step later than "
    "its delay"
)


def to_nir(circuit: Circuit, *, dt: float = 0.1 * ms, path: str | Path | None = None) -> "NIRGraph":
    """The circuit as a NIR graph.

    dt (s): the time step that the graph is for. A spike is a signal of 1 for one step, and delays
        are rounded to steps.
    path: write the graph there as well (HDF5, usually .nir), atomically.

    With S the spikes as signals of 1 for dt, all in SI units:

    - `DeltaLIF`, and `FilteredLIF` without its filters, become LIF,

          tau dv/dt = v_leak - v + R I        v > v_threshold: v = v_reset

      with tau = tau_m, R = resistance, v_leak = v_rest + resistance*drive, and weights (A) of
      w tau_m/(resistance dt), which step v by w.
    - `LIF` becomes CubaLIF, whose I follows tau_syn dI/dt = -I + w_in S with w_in = tau_syn/dt,
      where one time constant and no injected current is all that reaches it; weights are those of
      the circuit (A), negative at "inhibitory". Elsewhere it becomes a LIF whose currents come
      from one leaky integrator (LI) a receptor.
    - `SoftLIF` becomes the one or the other by its receptors, with v_reset where its reset leads
      from the threshold; in continuous time, where v never exceeds it, that is the same.
    - Any other neuron becomes a Threshold that nothing reaches (infinity): NIR has no such neuron,
      and it is better silent in another tool than wrong.
    - A projection becomes one Linear for each pair of delays that its synapses have, between two
      Delay nodes: the axonal one before, the dendritic one after.
    - Spike and current inputs become Input nodes; the populations of readouts, or all where there
      is none, get an Output.

    The circuit itself goes into `graph.metadata["neuroflip"]`, so that `from_nir` gives it back
    equal. Warns (UserWarning), once, of all that other tools will not see.

    Raises TypeError for what is no circuit; ValueError for a dt that is not above 0 s, a delay
    below one step, a neuron or rule class that is not registered.

    >>> import warnings
    >>> import neuroflip as nf
    >>> from neuroflip.units import pA
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     graph = to_nir(nf.circuits.sr_latch(pulse=1500*pA))
    >>> type(graph.nodes["Q"]).__name__, graph.nodes["S->Qbar"].weight
    ('CubaLIF', array([[-1.5e-09]]))
    """
    if not isinstance(circuit, Circuit):
        raise TypeError(f"circuit must be a nf.Circuit; got {circuit!r}.")
    dt = as_float(dt, "s", "dt")
    if dt <= 0:
        raise ValueError(f"dt must be above 0 s; got {dt!r}.")
    nir = require("nir", "exchange")
    graph: NIRGraph = _Export(nir, circuit, dt).graph()
    unsaid = list(_unsaid(circuit))
    warnings.warn(
        f"other tools will not see all of circuit {circuit.name!r} in its NIR graph: "
        f"{'; '.join(unsaid)}. from_nir restores it all from the graph's metadata.",
        stacklevel=2,
    )
    if path is not None:
        with files.replacing(Path(path)) as temporary:
            nir.write(temporary, graph)
    return graph


def build(circuit: Circuit, dt: float) -> "NIRGraph":
    """The graph of `to_nir`, without a word: what an unchanged graph looks like."""
    return _Export(require("nir", "exchange"), circuit, dt).graph()


class _Export:
    """The graph of one circuit, built node by node."""

    def __init__(self, nir: Any, circuit: Circuit, dt: float) -> None:
        self.nir, self.circuit, self.dt = nir, circuit, dt
        joined = [p for p in circuit.projections if circuit.synapses(p).pre.size]
        self.sending = {p.pre for p in joined}
        self.reached = {(p.post, p.receptor) for p in joined}
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self.source: dict[str, str] = {}  # population or spike input -> node that sends its spikes
        self.target: dict[tuple[str, str], str] = {}  # population, receptor -> node that takes them
        self.scale: dict[tuple[str, str], float] = {}  # population, receptor -> factor of weights

    def graph(self) -> Any:
        for population in self.circuit.populations:
            self._population(population)
        self._inputs()
        for projection in self.circuit.projections:
            self._projection(projection)
        self._ends()
        metadata = {
            METADATA: json.dumps(files._pack(self.circuit.to_spec(), files._inline)),
            "circuit": _safe(self.circuit.name),
            "dt": self.dt,
            "units": "SI: s, V, A, ohm",
            "spike": "a signal of 1 for dt",
            "order": ORDER,
        }
        return self.nir.NIRGraph(nodes=self.nodes, edges=self.edges, metadata=metadata)

    def _add(self, name: str, node: Any) -> str:
        """Add a node under a name that HDF5 takes and that is not in use, and return the name."""
        wanted = safe = _safe(name)
        number = 2
        while safe in self.nodes:
            safe, number = f"{wanted} {number}", number + 1
        self.nodes[safe] = node
        return safe

    def _population(self, population: Population) -> None:
        nir, dt, neuron = self.nir, self.dt, population.neuron
        name, size = population.name, population.size
        used = [r for r in neuron.receptors if (name, r) in self.reached]
        injected = any(
            isinstance(i, CurrentInput) and i.target == name for i in self.circuit.inputs
        )

        def full(value: float) -> Array:
            return np.full(size, value)

        metadata: dict[str, Any] = {
            "model": type(neuron).__name__,
            "parameters": neuron.describe(),
            "refractory": neuron.refractory,
            **{f"initial {v}": value * np.ones(size) for v, value in population.initial.items()},
        }
        if type(neuron).__name__ not in _SYNAPSES:
            node = nir.Threshold(threshold=full(np.inf), metadata=metadata)
            self.source[name] = key = self._add(name, node)
            for receptor in used:
                self.target[name, receptor], self.scale[name, receptor] = key, 1.0
            return
        synapses, values = _SYNAPSES[type(neuron).__name__], neuron.parameters()
        tau_m, resistance = values["tau_m"], values["resistance"]
        membrane = {
            "r": full(resistance),
            "v_leak": full(values.get("v_rest", 0.0) + resistance * values["drive"]),
            "v_threshold": full(values["v_threshold"]),
            "v_reset": full(_reset(values)),
            "metadata": metadata,
        }
        taus = {receptor: values.get(synapses[receptor][0]) for receptor in used}
        (tau,) = {*taus.values()} if len({*taus.values()}) == 1 else {None}
        if tau is not None and not injected:
            node = nir.CubaLIF(
                tau_syn=full(tau), tau_mem=full(tau_m), w_in=full(tau / dt), **membrane
            )
        else:
            node = nir.LIF(tau=full(tau_m), **membrane)
        self.source[name] = key = self._add(name, node)
        for receptor in used:
            self.target[name, receptor] = key
            self.scale[name, receptor] = synapses[receptor][1]
            own = taus[receptor]
            if own is None:
                self.scale[name, receptor] *= tau_m / (resistance * dt)
            elif isinstance(node, nir.LIF):
                current = nir.LI(tau=full(own), r=full(own / dt), v_leak=full(0.0))
                self.target[name, receptor] = self._add(f"{name}.{receptor}", current)
                self.edges.append((self.target[name, receptor], key))

    def _inputs(self) -> None:
        for item in self.circuit.inputs:
            if isinstance(item, CurrentInput):
                size = self.circuit.population(item.target).size
                node = self.nir.Input(np.array([size]), metadata={"kind": "CurrentInput"})
                self.edges.append((self._add(item.name, node), self.source[item.target]))
            elif isinstance(item, (SpikeInput, PoissonInput)) and item.name in self.sending:
                metadata: dict[str, Any] = {"kind": type(item).__name__}
                if isinstance(item, PoissonInput):
                    metadata["rate"] = item.rate
                node = self.nir.Input(np.array([item.size]), metadata=metadata)
                self.source[item.name] = self._add(item.name, node)

    def _projection(self, projection: Projection) -> None:
        nir, name, dt = self.nir, projection.name, self.dt
        synapses = self.circuit.synapses(projection)
        if not synapses.pre.size:
            return
        sizes = self.circuit.sizes()
        end = projection.post, str(projection.receptor)
        weight = synapses.weight * self.scale[end]
        where = f"Projection {name!r}"
        axonal, dendritic = (
            delay_steps(getattr(synapses, kind), dt, f"{where}: {kind}")
            for kind in ("axonal_delay", "dendritic_delay")
        )
        for a, d in sorted(set(zip(axonal.tolist(), dendritic.tolist(), strict=True))):
            mine = (axonal == a) & (dendritic == d)
            matrix = np.zeros((sizes[projection.post], sizes[projection.pre]))
            np.add.at(matrix, (synapses.post[mine], synapses.pre[mine]), weight[mine])
            metadata = {"receptor": end[1], "pattern": type(projection.pattern).__name__}
            if projection.rule != none:
                metadata["rule"] = f"{type(projection.rule).__name__} {projection.rule.describe()}"
            chain = [self.source[projection.pre]]
            for kind, steps in (("axonal", a), ("", 0), ("dendritic", d)):
                if not kind:
                    chain.append(self._add(name, nir.Linear(matrix, metadata=metadata)))
                elif steps:
                    size = sizes[projection.pre if kind == "axonal" else projection.post]
                    delay = nir.Delay(np.full(size, steps * dt), metadata={"kind": kind})
                    chain.append(self._add(f"{name}.{kind}", delay))
            chain.append(self.target[end])
            self.edges += zip(chain, chain[1:], strict=False)

    def _ends(self) -> None:
        """Outputs where they are read; what NIR's type check asks for: an Input, no loose ends."""
        read = {
            name: [r.name for r in self.circuit.readouts if name in (r.high, r.low)]
            for name in (p.name for p in self.circuit.populations)
        }
        sending, receiving = {a for a, _ in self.edges}, {b for _, b in self.edges}
        if not any(isinstance(node, self.nir.Input) for node in self.nodes.values()):
            receiving.discard(self.source[self.circuit.populations[0].name])
        for population in self.circuit.populations:
            name, shape = population.name, np.array([population.size])
            key = self.source[name]
            if key not in receiving:
                self.edges.append((self._add(f"{name}.input", self.nir.Input(shape)), key))
            if read[name] or key not in sending or not self.circuit.readouts:
                metadata = {"readouts": _safe(", ".join(read[name]))} if read[name] else {}
                node = self.nir.Output(shape, metadata=metadata)
                self.edges.append((key, self._add(f"{name}.output", node)))


def _reset(values: dict[str, float]) -> float:
    """Where v is set at a spike; for a soft reset, where it leads from the threshold."""
    if "v_reset" in values:
        return values["v_reset"]
    return values["keep"] * values["v_threshold"] - values["subtract"]


def _safe(name: str) -> str:
    """A name that HDF5 takes."""
    safe = "".join("_" if c == "/" or not c.isprintable() else c for c in name)
    return "_" if safe in (".", "..") else safe


def _unsaid(circuit: Circuit) -> Iterator[str]:
    """What the nodes and edges of a circuit's graph do not say, for people."""

    def having(names: list[str], what: str) -> Iterator[str]:
        if names:
            yield f"{what} of {', '.join(names)}"

    neurons = circuit.populations
    silent = [p for p in neurons if type(p.neuron).__name__ not in _SYNAPSES]
    for kind in dict.fromkeys(type(p.neuron).__name__ for p in silent):
        yield from having(
            [p.name for p in silent if type(p.neuron).__name__ == kind],
            f"the {kind} neurons (Threshold nodes that never fire stand in their place)",
        )
    said = [(p, p.neuron.parameters()) for p in neurons if p not in silent]
    yield from having([p.name for p, n in said if n["refractory"] > 0], "the refractory period")
    filtered = [p.name for p, n in said if "tau_plus" in n]
    yield from having(filtered, "the filtered potentials")
    soft = [p.name for p, n in said if "keep" in n]
    yield from having(soft, "the soft reset (v_reset is where it leads from the threshold)")
    driven = [p.name for p, n in said if p.initial or n["drive"]]
    yield from having(driven, "the state at the start")
    ruled = [f"{p.name} ({type(p.rule).__name__})" for p in circuit.projections if p.rule != none]
    yield from having(ruled, "the rules")
    poisson = [
        f"{i.name} ({show(i.rate, 'Hz')})" for i in circuit.inputs if isinstance(i, PoissonInput)
    ]
    yield from having(poisson, "the Poisson rates")
    noise = [i.name for i in circuit.inputs if isinstance(i, NoiseInput)]
    yield from having(noise, "the noise")
    signals = [i.name for i in circuit.inputs if isinstance(i, SignalInput)]
    yield from having(signals, "the signals to rules")
    yield from having([r.name for r in circuit.readouts], "the decoding of the readouts")
    yield "the order within a step (each connection takes one step more than its delay)"
