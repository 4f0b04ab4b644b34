"""A circuit from a graph of the Neuromorphic Intermediate Representation (NIR)."""

import dataclasses
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroflip import files
from neuroflip.circuit import (
    FORMAT,
    Array,
    Circuit,
    CurrentInput,
    Dense,
    Index,
    OneToOne,
    Pairs,
    Population,
    Projection,
    SpikeInput,
)
from neuroflip.exchange.nir_export import METADATA, build
from neuroflip.exchange.nir_operators import LINEAR, Shape, operator
from neuroflip.neurons import LIF, DeltaLIF
from neuroflip.optional import require
from neuroflip.units import as_float, ms

if TYPE_CHECKING:
    from nir import NIRGraph

_NEURONS = ("LIF", "CubaLIF")
_WHY = {
    "IF": "it has no leak, and every neuron here has one",
    "LI": "it sends no spikes; it is read only as the synaptic current of an LIF that it joins",
    "CubaLI": "it sends no spikes",
    "I": "it sends no spikes",
    "Threshold": "it has no state",
}


def from_nir(
    source: "NIRGraph | str | Path", *, dt: float | None = None, metadata: bool = True
) -> Circuit:
    """The circuit of a NIR graph, or of a file with one.

    metadata: whether to use what `to_nir` put into the graph's metadata: the whole circuit, equal
        to the one that was exported, rules and readouts included. A graph whose nodes or edges
        were changed since is refused. False, or a graph of another tool: the nodes and edges alone
        are read, by NIR's equations.
    dt (s): the time step for which such a graph was written: a spike is a signal of 1 for dt.
        None: what `to_nir` left in the metadata, else 0.1 ms, which snnTorch writes.

    From nodes and edges (see `to_nir` for the equations):

    - LIF becomes `DeltaLIF`: tau_m = tau, v_rest = v_leak, resistance = r, drive the bias; a weight
      W at it steps v by r W dt/tau. CubaLIF, and LIF behind LI nodes, become `LIF`: a weight W
      steps the current by w_in W dt/tau_syn (r W dt/tau of the LI), positive ones at "excitatory",
      negative ones at "inhibitory". Without refractory period; at the start v = v_leak. Neurons of
      one node with different parameters become populations "node 0", "node 1", ...
    - Linear, Affine, Scale, Conv1d, Conv2d, SumPool2d, AvgPool2d and Flatten between two neurons
      become one projection; a Delay before the first weight an axonal delay, after it a dendritic
      one.
    - An Input joined to a LIF itself is a current (A), any other a source of spikes.
    - An Output is left out, as spikes are always recorded.

    Raises ValueError, naming the node, for what a circuit cannot do: IF, LI and CubaLI neurons, an
    Output of anything but spikes, delta and current synapses at one neuron, a loop without a
    neuron; for shapes that do not fit; for a file that is damaged or no NIR file, with its name.

    >>> import nir, numpy as np
    >>> one = np.ones(1)
    >>> circuit = from_nir(nir.NIRGraph.from_list(
    ...     nir.Linear(np.array([[0.5]])),
    ...     nir.LIF(tau=0.02*one, r=200*one, v_leak=0*one, v_threshold=one)))
    >>> circuit.populations[0].neuron.tau_m, circuit.projections[0].weight
    (0.02, array([[0.5]]))
    """
    nir = require("nir", "exchange")
    if isinstance(source, (str, os.PathLike)):
        return _from_file(nir, Path(source), dt, metadata)
    if not isinstance(source, nir.NIRGraph):
        raise TypeError(f"from_nir takes a nir.NIRGraph or the path of a file; got {source!r}.")
    if dt is not None and as_float(dt, "s", "dt") <= 0:
        raise ValueError(f"dt must be above 0 s; got {dt!r}.")
    if metadata and METADATA in source.metadata:
        return _from_metadata(source)
    if dt is None:
        dt = source.metadata.get("dt", 0.1 * ms) if METADATA in source.metadata else 0.1 * ms
    return _Import(source, as_float(dt, "s", "dt")).circuit()


def _from_file(nir: Any, path: Path, dt: float | None, metadata: bool) -> Circuit:
    with open(path, "rb"):  # what the system says of a path is clearer than what HDF5 says
        pass
    try:
        graph = nir.read(path, type_check=False)
    except Exception as error:  # h5py and nir say it in many ways
        raise ValueError(f"{path} is damaged or no NIR file: {error}") from error
    try:
        return from_nir(graph, dt=dt, metadata=metadata)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


# ------------------------------------------------------------------ our own graphs


def _from_metadata(graph: Any) -> Circuit:
    try:
        spec = files._unpack(json.loads(graph.metadata[METADATA]), {})
        if spec["format"] != FORMAT:
            raise ValueError(f"format {spec['format']!r}, expected {FORMAT}")
        circuit = Circuit.from_spec(spec)
        expected = build(circuit, float(graph.metadata["dt"]))
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"the metadata {METADATA!r} of the graph is damaged: {error}. "
            "from_nir(graph, metadata=False) reads the nodes and edges alone."
        ) from error
    difference = _difference(graph, expected)
    if difference:
        raise ValueError(
            f"{difference} is not as the graph's metadata says: it was changed after to_nir. "
            "from_nir(graph, metadata=False) reads the nodes and edges alone, without what only "
            "the metadata says (rules, refractory periods, readouts ...)."
        )
    return circuit


def _difference(graph: Any, expected: Any) -> str:
    """The first node or edge in which a graph is not what is expected; "" where there is none."""
    for name in dict.fromkeys([*expected.nodes, *graph.nodes]):
        if name not in graph.nodes or name not in expected.nodes:
            return f"node {name!r}"
        node, other = graph.nodes[name], expected.nodes[name]
        if type(node) is not type(other):
            return f"node {name!r}"
        for field in dataclasses.fields(other):
            ports = type(node).__name__ in ("Input", "Output")
            if field.name == "metadata" or (field.name.endswith("_type") and not ports):
                continue
            found, value = getattr(node, field.name), getattr(other, field.name)
            if isinstance(value, dict):
                (found,), (value,) = found.values(), value.values()
            found = np.asarray(found)
            # A tool that keeps numbers in single precision has changed nothing
            if not np.array_equal(found, np.asarray(value).astype(found.dtype)):
                return f"{field.name} of node {name!r}"
    for edge in set(map(tuple, graph.edges)) ^ set(map(tuple, expected.edges)):
        return f"the edge from {edge[0]!r} to {edge[1]!r}"
    return ""


# ------------------------------------------------------------------ any graph


@dataclass(frozen=True)
class _Path:
    """One way from a source of signals (an Input, a neuron, an LI) to where it is taken.

    matrix: (where taken, source), None for the identity. weighted: whether a weight has been met;
    delays before it are axonal.
    """

    source: str
    matrix: Array | None = None
    weighted: bool = False
    axonal: float = 0.0
    dendritic: float = 0.0

    @property
    def bare(self) -> bool:
        """Whether the signal is taken as it is sent."""
        return self.matrix is None and not self.axonal


@dataclass(frozen=True)
class _Current:
    """A synaptic current: tau dI/dt = leak - I + gain S, S what is taken at a node."""

    taken_at: str
    gain: Array
    tau: Array
    leak: Array


@dataclass(frozen=True)
class _Neurons:
    """Neurons of one node with the same parameters: a population to be."""

    name: str
    members: Index
    neuron: LIF | DeltaLIF
    initial: dict[str, Array]


class _Import:
    """The circuit of one graph, read node by node."""

    def __init__(self, graph: Any, dt: float) -> None:
        self.dt = dt
        self.nodes: dict[str, Any] = {}
        self.before: dict[str, list[str]] = {}  # node -> the nodes whose signals it takes
        self._flatten(graph)
        self.shapes: dict[str, Shape] = {}
        self.taken: dict[str, tuple[list[_Path], Array]] = {}
        self.names: dict[str, str] = {}
        self.used: set[str] = set()

    # -------------------------------------------------------- the graph

    def _flatten(self, graph: Any) -> None:
        """Nodes and edges, those of graphs within graphs included."""
        inside: dict[str, tuple[str, str]] = {}  # graph -> its Input and its Output

        def add(graph: Any, prefix: str) -> None:
            graph.validate_structure()
            for name, node in graph.nodes.items():
                key = prefix + name
                if type(node).__name__ == "NIRGraph":
                    add(node, f"{key}.")
                    ports = [
                        [n for n, inner in node.nodes.items() if type(inner).__name__ == kind]
                        for kind in ("Input", "Output")
                    ]
                    if [len(p) for p in ports] != [1, 1]:
                        raise ValueError(
                            f"node {key!r}: a graph within a graph must have one Input and one "
                            f"Output; got {len(ports[0])} and {len(ports[1])}."
                        )
                    inside[key] = f"{key}.{ports[0][0]}", f"{key}.{ports[1][0]}"
                else:
                    self.nodes[key] = node
                    self.before.setdefault(key, [])
            for a, b in graph.edges:
                start, end = prefix + a, prefix + b
                end = inside[end][0] if end in inside else end
                self.before.setdefault(end, []).append(
                    inside[start][1] if start in inside else start
                )

        add(graph, "")
        self.ports = {port for pair in inside.values() for port in pair}
        after = {a for sources in self.before.values() for a in sources}
        for name in self.nodes:
            kind = self._kind(name)
            known = (*LINEAR, *_NEURONS, "LI", "Delay", "Input", "Output", "port")
            takers = [other for other, sources in self.before.items() if name in sources]
            synapse = kind == "LI" and takers and all(self._kind(t) == "LIF" for t in takers)
            if kind not in known or (kind == "LI" and not synapse):
                why = f": {_WHY[kind]}" if kind in _WHY else ""
                raise ValueError(f"node {name!r}: a circuit has nothing for {kind}{why}.")
            if kind in (*LINEAR, "Delay") and name not in after:
                raise ValueError(f"node {name!r}: its signal goes nowhere.")

    def _kind(self, name: str) -> str:
        return "port" if name in self.ports else type(self.nodes[name]).__name__

    def _shape(self, name: str, within: frozenset[str] = frozenset()) -> Shape:
        """The shape of the signal that a node sends."""
        if name in self.shapes:
            return self.shapes[name]
        node, kind = self.nodes[name], self._kind(name)
        if kind == "Input":
            shape = tuple(int(n) for n in np.ravel(next(iter(node.input_type.values()))))
        else:
            own = {"Delay": "delay", "Scale": "scale", "LI": "tau", "LIF": "v_threshold"}
            own["CubaLIF"] = "v_threshold"
            shape = np.shape(getattr(node, own[kind])) if kind in own else ()
            if math.prod(shape) == 1:  # one number for all of a size that others say
                deeper = within | {name}
                found = [self._shape(p, deeper) for p in self.before[name] if p not in deeper]
                shape = max([*found, shape], key=math.prod)
            if kind in LINEAR:
                shape = self._apply(name, shape).shape
        if not within:
            self.shapes[name] = shape
        return shape

    def _apply(self, name: str, shape: Shape) -> Any:
        try:
            return operator(self.nodes[name], shape)
        except ValueError as error:
            raise ValueError(f"node {name!r}: {error}") from None

    def _sent(self, name: str, within: tuple[str, ...]) -> tuple[list[_Path], Array]:
        """The paths that end at the output of a node, and the constant that is added there."""
        kind = self._kind(name)
        size = math.prod(self._shape(name))
        if kind in (*_NEURONS, "LI", "Input"):
            return [_Path(name)], np.zeros(size)
        if name in within:
            raise ValueError(f"node {name!r} is part of a loop without a neuron.")
        paths, constant = self._paths(name, (*within, name))
        if kind in LINEAR:
            sources = self.before[name]
            step = self._apply(name, self._shape(sources[0]) if sources else (constant.size,))
            if step.matrix is None:
                return paths, constant
            matrix = step.matrix
            paths = [
                dataclasses.replace(
                    path,
                    matrix=matrix if path.matrix is None else matrix @ path.matrix,
                    weighted=True,
                )
                for path in paths
            ]
            return paths, matrix @ constant + step.bias
        if kind == "Delay":
            delays = np.broadcast_to(np.asarray(self.nodes[name].delay, float).ravel(), size)
            return [late for path in paths for late in _delayed(path, delays)], constant
        return paths, constant

    def _paths(self, name: str, within: tuple[str, ...] = ()) -> tuple[list[_Path], Array]:
        """The paths to a node, and the constant that reaches it."""
        if name not in self.taken:
            paths: list[_Path] = []
            constant: Array = np.zeros(())
            for source in self.before[name]:
                more, added = self._sent(source, within)
                size = constant.size if constant.ndim else math.prod(self._shape(name))
                if (constant.ndim or self._kind(name) not in LINEAR) and added.size != size:
                    raise ValueError(
                        f"node {name!r} takes {size} signals; {source!r} sends {added.size}."
                    )
                paths, constant = paths + more, constant + added
            self.taken[name] = paths, constant
        return self.taken[name]

    # -------------------------------------------------------- the circuit

    def circuit(self) -> Circuit:
        neurons = [name for name in self.nodes if self._kind(name) in _NEURONS]
        if not neurons:
            raise ValueError("the graph holds no LIF and no CubaLIF, so there is nothing to run.")
        for name in self.nodes:
            if self._kind(name) == "Output":
                for path in self._paths(name)[0]:
                    if path.matrix is not None:
                        raise ValueError(
                            f"node {name!r} puts out a weighted sum, and a circuit spikes alone; "
                            "end the graph at a neuron."
                        )
        groups = {name: self._population(name) for name in neurons}
        inputs: list[SpikeInput | CurrentInput] = []
        currents: dict[str, list[str]] = {}  # Input -> the populations that it is injected into
        spiking: set[str] = set()
        for name in neurons:
            for path in self._paths(name)[0]:
                if self._kind(path.source) == "Input" and path.bare and self._kind(name) == "LIF":
                    currents.setdefault(path.source, []).append(name)
        projections = [p for name in neurons for p in self._projections(name, groups, spiking)]
        for name in self.nodes:
            if name in spiking and name in currents:
                raise ValueError(
                    f"node {name!r} is joined to {currents[name][0]!r} itself, as a current, and "
                    "through weights, as spikes; give each its own Input."
                )
            if name in spiking:
                inputs.append(SpikeInput(self._name(name), math.prod(self._shape(name))))
            for target in currents.get(name, ()):
                if len(groups[target]) > 1:
                    raise ValueError(
                        f"node {name!r} injects a current into {target!r}, whose neurons have "
                        "different parameters and become several populations; a current input "
                        "has one."
                    )
                single = len(currents[name]) == 1
                label = self._name(name if single else f"{name} {target}")
                inputs.append(CurrentInput(label, groups[target][0].name))
        return Circuit(
            "nir",
            [
                Population(g.name, g.neuron, g.members.size, g.initial)
                for name in neurons
                for g in groups[name]
            ],
            projections,
            inputs,
        )

    def _population(self, name: str) -> list[_Neurons]:
        """The neurons of a node, by their parameters."""
        columns = {
            "tau_m": self._each(name, "tau_mem" if self._kind(name) == "CubaLIF" else "tau"),
            "v_rest": self._each(name, "v_leak"),
            "v_threshold": self._each(name, "v_threshold"),
            "v_reset": self._each(name, "v_reset"),
            "resistance": self._each(name, "r"),
        }
        constant = np.zeros(math.prod(self._shape(name))) + self._paths(name)[1]
        if any(columns["resistance"] <= 0):
            raise ValueError(f"node {name!r}: r must be above 0.")
        if not self._currents(name):
            columns["drive"] = constant
            return self._grouped(name, DeltaLIF, columns, {})
        return self._grouped(name, LIF, *self._filtered(name, columns, constant))

    def _filtered(
        self, name: str, columns: dict[str, Array], constant: Array
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Parameters and initial state of neurons with current synapses, from `_currents`."""
        size = constant.size
        drive = constant if self._kind(name) == "LIF" else np.zeros(size)
        taus = {"tau_e": np.full(size, np.nan), "tau_i": np.full(size, np.nan)}
        currents = self._currents(name)
        for current in currents:
            for _, matrix in self._synapses(current.taken_at):
                for sign, column in ((1, "tau_e"), (-1, "tau_i")):
                    used = np.any(sign * current.gain[:, None] * matrix > 0, axis=1)
                    known = taus[column]
                    clash = used & ~np.isnan(known) & (known != current.tau)
                    if clash.any():
                        word = "excitatory" if sign == 1 else "inhibitory"
                        raise ValueError(
                            f"node {name!r}: all {word} synapses of a neuron must have one time "
                            f"constant; got {known[clash][0]:g} and {current.tau[clash][0]:g} s."
                        )
                    known[used] = current.tau[used]
        for column, other in (("tau_e", "tau_i"), ("tau_i", "tau_e")):  # where nothing arrives
            known = np.concatenate([taus[column], taus[other], currents[0].tau])
            taus[column][np.isnan(taus[column])] = known[~np.isnan(known)][0]
        # A constant that reaches a synapse fills its current from 0, by NIR's equations: a drive
        # less a current that starts as large and decays
        initial = {"i_exc": np.zeros(size), "i_inh": np.zeros(size)}
        for current in currents:
            filling = current.gain * self._paths(current.taken_at)[1]
            drive = drive + current.leak + filling
            at_e = current.tau == taus["tau_e"]
            if np.any(filling[~at_e & (current.tau != taus["tau_i"])]):
                raise ValueError(
                    f"node {name!r}: a bias reaches it through a third time constant; a circuit's "
                    "neurons have two."
                )
            initial["i_exc"] -= np.where(at_e, filling, 0.0)
            initial["i_inh"] += np.where(at_e, 0.0, filling)
        initial = {variable: values for variable, values in initial.items() if values.any()}
        return columns | taus | {"drive": drive}, initial

    def _grouped(
        self,
        name: str,
        kind: type[LIF] | type[DeltaLIF],
        columns: dict[str, Array],
        initial: dict[str, Array],
    ) -> list[_Neurons]:
        members: dict[tuple[float, ...], list[int]] = {}
        for index, row in enumerate(zip(*(c.tolist() for c in columns.values()), strict=True)):
            members.setdefault(row, []).append(index)
        groups = []
        for number, (row, found) in enumerate(members.items()):
            try:
                neuron = kind(**dict(zip(columns, row, strict=True)), refractory=0.0)
            except ValueError as error:
                raise ValueError(f"node {name!r}: {error}") from None
            label = self._name(name if len(members) == 1 else f"{name} {number}")
            state = {variable: value[found] for variable, value in initial.items()}
            groups.append(_Neurons(label, np.array(found, dtype=np.int64), neuron, state))
        return groups

    def _currents(self, name: str) -> list[_Current]:
        """The synaptic currents of a neuron: its own, of a CubaLIF, or those of LI nodes."""
        if self._kind(name) == "CubaLIF":
            return [
                _Current(name, self._each(name, "w_in"), self._each(name, "tau_syn"), np.zeros(()))
            ]
        return [
            _Current(n, self._each(n, "r"), self._each(n, "tau"), self._each(n, "v_leak"))
            for n in self.before[name]
            if self._kind(n) == "LI"
        ]

    def _each(self, name: str, field: str) -> Array:
        """A parameter of a node, one value a neuron."""
        size = math.prod(self._shape(name))
        values = np.asarray(getattr(self.nodes[name], field), dtype=np.float64).ravel()
        if values.size not in (1, size):
            raise ValueError(f"node {name!r}: {field} must be {size} numbers; got {values.size}.")
        return np.broadcast_to(values, size)

    def _synapses(self, name: str) -> list[tuple[_Path, Array]]:
        """The paths on which spikes reach a node, with their matrices."""
        found = []
        for path in self._paths(name)[0]:
            source = self._kind(path.source)
            current = source == "Input" and path.bare and self._kind(name) == "LIF"
            if source == "LI" or current:
                continue
            matrix = np.eye(math.prod(self._shape(name))) if path.matrix is None else path.matrix
            found.append((path, matrix))
        return found

    def _projections(
        self, name: str, groups: Mapping[str, list[_Neurons]], spiking: set[str]
    ) -> Iterator[Projection]:
        """The projections to the neurons of a node; the Inputs among their sources are noted."""
        currents = self._currents(name)
        direct = self._synapses(name) if self._kind(name) == "LIF" else []
        if currents and direct:
            raise ValueError(
                f"node {name!r} takes spikes from {direct[0][0].source!r} itself, and others "
                f"through {currents[0].taken_at!r}; a neuron of a circuit has delta or current "
                "synapses."
            )
        arriving = [(*synapses, "delta", self._step(name)) for synapses in direct]
        for current in currents:
            step = current.gain * self.dt / current.tau
            for path, matrix in self._synapses(current.taken_at):
                arriving += [(path, matrix, "excitatory", step)]
                arriving += [(path, matrix, "inhibitory", -step)]
        for path, matrix, receptor, step in arriving:
            weights = step[:, None] * matrix
            if receptor != "delta":
                weights = np.maximum(weights, 0.0)
            if self._kind(path.source) == "Input":
                spiking.add(path.source)
                every = np.arange(weights.shape[1])
                sources = [(self._name(path.source), every)]
            else:
                sources = [(g.name, g.members) for g in groups[path.source]]
            for post in groups[name]:
                for pre, members in sources:
                    pattern, values = _pattern(weights[np.ix_(post.members, members)].T)
                    if values.size:
                        yield Projection(
                            pre, post.name, values, receptor, pattern, path.axonal, path.dendritic,
                            name=self._unique(f"{pre}->{post.name}"),
                        )  # fmt: skip

    def _step(self, name: str) -> Array:
        """What a weight of 1 at a LIF steps v by."""
        return self._each(name, "r") * self.dt / self._each(name, "tau")

    def _name(self, key: str) -> str:
        """The name in the circuit of a node, or of a part of it."""
        if key not in self.names:
            self.names[key] = self._unique(key.replace("->", " to ").strip() or "node")
        return self.names[key]

    def _unique(self, wanted: str) -> str:
        name, number = wanted, 2
        while name in self.used:
            name, number = f"{wanted} ({number})", number + 1
        self.used.add(name)
        return name


def _delayed(path: _Path, delays: Array) -> Iterator[_Path]:
    """The path behind a Delay: one for each delay that its signals have."""
    for delay in np.unique(delays):
        matrix = path.matrix
        if np.any(delays != delay):
            whole = np.eye(delays.size) if matrix is None else matrix
            matrix = np.where((delays == delay)[:, None], whole, 0.0)
        kind = "dendritic" if path.weighted else "axonal"
        late = getattr(path, kind) + float(delay)
        yield dataclasses.replace(path, matrix=matrix, **{kind: late})


def _pattern(matrix: Array) -> tuple[Dense | OneToOne | Pairs, Array]:
    """The synapses of a matrix (pre, post) of weights, and their weights."""
    pre, post = np.nonzero(matrix)
    if pre.size == matrix.size:
        return Dense(), matrix
    if matrix.shape[0] == matrix.shape[1] == pre.size and np.array_equal(pre, post):
        return OneToOne(), matrix[pre, post]
    return Pairs(pre, post), matrix[pre, post]
