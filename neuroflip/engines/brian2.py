"""The reference engine: the same circuit, handed to Brian2 as differential equations.

Brian2 integrates, delays, orders and learns by its own means; nothing of the fast engines'
update, constants or delay lines is used. All names are given a suffix of their own, every object
gets an explicit namespace, clock and network, and preferences and device are put back, so that a
user's own Brian2 objects and variables neither disturb a run nor are disturbed.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import brian2 as b2
import mpmath
import numpy as np
from brian2.core.clocks import defaultclock
from brian2.devices.device import RuntimeDevice, get_device, reset_device, set_device
from brian2.stateupdaters.base import StateUpdateMethod
from brian2.stateupdaters.exact import exact
from brian2.utils.logger import catch_logs

from neuroflip import equations as eq
from neuroflip.circuit import Index, Population, Projection, Synapses
from neuroflip.engines.job import Job, Recorder
from neuroflip.engines.plan import delay_steps
from neuroflip.errors import nearest
from neuroflip.inputs import Drive, whole_steps
from neuroflip.neurons import INJECTED, Neuron, NeuronModel
from neuroflip.rules.rule import RuleModel

_where = b2.Function(np.where, arg_units=[bool, 1, 1], return_unit=1)
_where.implementations.add_numpy_implementation(np.where)
_where.implementations.add_implementation(
    "cpp", "inline double where(bool c, double a, double b) { return c ? a : b; }"
)
_where.implementations.add_implementation(
    "cython", "cdef double where(bint c, double a, double b):\n    return a if c else b"
)

TARGETS = ("numpy", "cython", "cpp_standalone")

_CLOSE = 1e-3  # dt times the distance of two rates under which the textbook solution loses digits
_FAST = 50.0  # dt times a rate above which its exponentials may overflow


def run(job: Job, *, target: str = "numpy") -> Recorder:
    """Simulate every trial, one after the other; Brian2 holds in memory what a trial records.

    target: how Brian2 runs its code: "numpy" needs no compiler; "cython" and "cpp_standalone"
    compile first and then run faster.
    """
    if target not in TARGETS:
        raise ValueError(f"unknown target {target!r}; {nearest(str(target), TARGETS)}")
    recorder = Recorder(job)
    for trial, drive in enumerate(job.drives):
        with _isolated(target), tempfile.TemporaryDirectory(prefix="neuroflip_brian2_") as folder:
            network = _Network(job, drive, folder)
            network.run()
            network.hand_over(recorder, range(trial, trial + 1))
    return recorder


@contextlib.contextmanager
def _isolated(target: str) -> Iterator[None]:
    """Brian2's global state, set for a run and put back after it."""
    if not isinstance(get_device(), RuntimeDevice):
        raise RuntimeError(
            "a neuroflip run in Brian2 needs Brian2's runtime device; you have set "
            f"{type(get_device()).__name__}. Call brian2.set_device('runtime') first."
        )
    before = b2.prefs.codegen.target
    clock_dt = defaultclock.dt
    with contextlib.ExitStack() as stack:
        stack.enter_context(catch_logs())
        if target == "cpp_standalone":
            set_device("cpp_standalone", build_on_run=False)
            stack.callback(reset_device)
            stack.callback(lambda: get_device().reinit())
        else:
            b2.prefs.codegen.target = target
        try:
            yield
        finally:
            b2.prefs.codegen.target = before
            stack.close()
            defaultclock.dt = clock_dt


def _n(name: str) -> str:
    """A name in a neuron group; no suffix or default name of Brian2 can clash with it."""
    return f"{name}_n"


def _s(name: str) -> str:
    """A name in synapses."""
    return f"{name}_s"


class _Network:
    """The Brian2 objects of one trial. folder: where a standalone program is built."""

    def __init__(self, job: Job, drive: Drive, folder: str) -> None:
        self.job, self.drive, self.folder = job, drive, folder
        circuit = job.circuit
        self.clock = b2.Clock(dt=job.dt * b2.second)
        self.objects: list[Any] = []
        self.at: dict[str, tuple[Any, int]] = {}  # population or input -> (object, first index)
        models = dict.fromkeys(p.neuron.model() for p in circuit.populations)
        self.spike_monitors: dict[int, Any] = {}
        for model in models:
            self._add_group(model, [p for p in circuit.populations if p.neuron.model() is model])
        if drive.events:
            self._add_sources()
        # Rules that read a neuron's state read it as it is before anything arrives in the step
        self.late = any(p.rule.model().reads for p in circuit.projections)
        static = self._add_static()
        self.synapses = {
            p.name: self._add_plastic(p) for p in circuit.projections if p.rule.plastic
        }
        every = job.every * job.dt * b2.second
        # One monitor for each variable of a group: each costs time in every step
        recorded: dict[tuple[int, str], list[str]] = {}
        for population, variable in job.states:
            recorded.setdefault((id(self.at[population][0]), variable), []).append(population)
        self.state_monitors = {}
        self.rows: dict[tuple[str, str], tuple[Any, slice]] = {}
        for (group_id, variable), populations in recorded.items():
            members = [np.zeros(0, np.int64)]
            for population in populations:
                group, first = self.at[population]
                members.append(np.arange(first, first + circuit.population(population).size))
            monitor = b2.StateMonitor(group, _n(variable), record=np.concatenate(members), dt=every)
            self.state_monitors[group_id, variable] = monitor
            ends = np.cumsum([m.size for m in members])
            for population, start, stop in zip(populations, ends[:-1], ends[1:], strict=True):
                self.rows[population, variable] = (monitor, slice(int(start), int(stop)))
        self.weight_monitors = {
            name: b2.StateMonitor(self.synapses[name], _s("w"), record=True, dt=every)
            for name in job.weights
            if self.synapses[name] is not None
        }
        self.network = b2.Network(
            *self.objects,
            *static,
            *(s for s in self.synapses.values() if s is not None),
            *self.spike_monitors.values(),
            *self.state_monitors.values(),
            *self.weight_monitors.values(),
        )

    def _add_group(self, model: NeuronModel, members: list[Population]) -> None:
        job = self.job
        size = sum(p.size for p in members)
        wave, channel = self._wave(members)
        names = {name: _n(name) for name in (*model.variables, *members[0].neuron.parameters())}
        names[INJECTED] = "0" if wave is None else _n(INJECTED)
        lines = []
        for d in model.equations:
            flag = " (unless refractory)" if d.unless_refractory else ""
            value = eq.emit(d.value, "brian2", names)
            lines.append(f"d{_n(d.variable)}/dt = ({value})/second : 1{flag}")
        lines += [f"{_n(name)} : 1 (constant)" for name in members[0].neuron.parameters()]
        namespace: dict[str, Any] = {"where": _where}
        if wave is not None:
            held = "" if model.method == "exact" else " (constant over dt)"
            lines.append(f"{_n(INJECTED)} = wave_n(t, channel_n) : 1{held}")
            lines.append("channel_n : integer (constant)")
            namespace["wave_n"] = b2.TimedArray(wave, dt=job.dt * b2.second)
        linear = [_Linear(p.neuron, job.dt) for p in members if model.method == "exact"]
        method: Any = _exact if model.method == "exact" else model.method
        if not all(system.well_separated() for system in linear):
            method = _Propagation(model, wave is not None)
            lines += [f"{name} : 1 (constant)" for name in method.coefficients]
        group = b2.NeuronGroup(
            size,
            "\n".join(lines),
            threshold=eq.emit(model.threshold, "brian2", names),
            reset=_block(model.reset, names),
            refractory=f"{_n('refractory')}*second",
            method=method,
            clock=self.clock,
            namespace=namespace,
        )
        first = 0
        columns: dict[str, list[Any]] = {}
        for number, population in enumerate(members):
            values: dict[str, Any] = {
                _n(name): value for name, value in population.neuron.parameters().items()
            }
            start = eq.compile_block(model.initial, eq.NUMPY)(population.neuron.parameters())
            start |= dict(population.initial)
            values |= {_n(v): start.get(v, 0.0) for v in model.variables}
            if isinstance(method, _Propagation):
                values |= method.values(linear[number])
            for name, value in values.items():
                columns.setdefault(name, []).append(np.broadcast_to(value, population.size))
            self.at[population.name] = (group, first)
            first += population.size
        for name, parts in columns.items():
            setattr(group, name, np.concatenate(parts))
        if wave is not None:
            group.channel_n = channel
        self.objects.append(group)
        self.spike_monitors[id(group)] = b2.SpikeMonitor(group)

    def _wave(self, members: list[Population]) -> tuple[Any, Any]:
        """Injected currents as columns, the first of zeros, and the column of each neuron."""
        columns = [np.zeros((self.job.steps, 1))]
        channel = []
        for population in members:
            wave = self.drive.currents.get(population.name)
            noise = self.drive.noise.get(population.name)
            if noise is not None:
                wave = noise.wave(self.job.steps) + (0.0 if wave is None else wave)
            if wave is None:
                channel += [0] * population.size
                continue
            width = sum(c.shape[1] for c in columns)
            shared = wave.shape[1] == 1
            channel += [width + (0 if shared else i) for i in range(population.size)]
            columns.append(wave)
        return (np.concatenate(columns, axis=1) if len(columns) > 1 else None), channel

    def _add_sources(self) -> None:
        """All spike inputs, as one generator: each of Brian2's objects costs time in every step."""
        job = self.job
        first = 0
        times, indices = [], []
        for name, (steps, sources) in self.drive.events.items():
            times.append(steps * job.dt)
            indices.append(sources + first)
            self.at[name] = (None, first)
            first += job.circuit.sizes()[name]
        generator = b2.SpikeGeneratorGroup(
            first, np.concatenate(indices), np.concatenate(times) * b2.second, clock=self.clock
        )
        self.objects.append(generator)
        for name in self.drive.events:
            self.at[name] = (generator, self.at[name][1])

    def _add_static(self) -> list[Any]:
        """All static synapses, one object for each source, target and receptor."""
        job, circuit = self.job, self.job.circuit
        lists: dict[tuple[int, int, str], list[tuple[Any, ...]]] = {}
        for p in circuit.projections:
            given = circuit.synapses(p)
            axonal, dendritic = self._delays(p, given)
            if p.rule.plastic or given.pre.size == 0:
                continue
            source, first_pre = self.at[p.pre]
            target, first_post = self.at[p.post]
            receptor = circuit.population(p.post).neuron.receptors[str(p.receptor)]
            lists.setdefault((id(source), id(target), receptor), []).append(
                (source, target, given.pre + first_pre, given.post + first_post, given.weight,
                 axonal + dendritic)
            )  # fmt: skip
        made = []
        for (_, _, receptor), parts in lists.items():
            synapses = b2.Synapses(
                *parts[0][:2],
                f"{_s('w')} : 1",
                on_pre=f"{_n(receptor)}_post += {_s('w')}",
                clock=self.clock,
                namespace={},
            )
            pre, post, weight, delay = (
                np.concatenate(c) for c in list(zip(*parts, strict=True))[2:]
            )
            synapses.connect(i=pre, j=post)
            setattr(synapses, _s("w"), weight)
            synapses.pre.delay = delay * job.dt * b2.second
            if self.late:
                synapses.pre.order = 2
            made.append(synapses)
        return made

    def _delays(self, p: Projection, given: Synapses) -> tuple[Index, Index]:
        """Axonal and dendritic delays of a projection, in steps."""
        where = f"Projection {p.name!r}"
        return (
            delay_steps(given.axonal_delay, self.job.dt, f"{where}: axonal_delay"),
            delay_steps(given.dendritic_delay, self.job.dt, f"{where}: dendritic_delay"),
        )

    def _add_plastic(self, p: Projection) -> Any:
        job, circuit = self.job, self.job.circuit
        given = circuit.synapses(p)
        if given.pre.size == 0:
            return None
        axonal, dendritic = self._delays(p, given)
        model = p.rule.model()
        source, first_pre = self.at[p.pre]
        target, first_post = self.at[p.post]
        receptor = circuit.population(p.post).neuron.receptors[str(p.receptor)]
        receive = f"{_n(receptor)}_post += "
        parameters = p.rule.parameters()
        names = {name: _s(name) for name in (*parameters, *model.variables, "w")}
        names |= {"t": "(t/second)"} | {f"{v}_post": f"{_n(v)}_post" for v in model.reads}
        names |= {signal: f"{signal}_signal_s(t, {signal}_column_s)" for signal in model.signals}
        waves = {
            f"{signal}_signal_s": b2.TimedArray(
                self.drive.signals[circuit.signal_of(p, signal)], dt=job.dt * b2.second
            )
            for signal in model.signals
        }

        lines = [f"{_s('w')} : 1"]
        changes = {v: f"-{_s(v)}/{_s(tau)}" for v, tau in model.decay.items()}
        changes |= {d.variable: eq.emit(d.value, "brian2", names) for d in model.flows}
        when = "clock-driven" if model.continuous else "event-driven"
        if "w" in changes:
            lines = []
        lines += [f"d{_s(v)}/dt = ({rate})/second : 1 ({when})" for v, rate in changes.items()]
        lines += [f"{_s(v)} : 1" for v in model.variables if v not in changes]
        lines += [f"{signal}_column_s : integer (constant)" for signal in model.signals]
        sent = eq.emit(model.transmit, "brian2", names)
        on_pre = {"pre": f"{receive}{sent}\n{_block(model.on_pre, names)}"}
        delays = {"pre": axonal}
        if dendritic.any() or self.late:
            # The weight that a spike meets travels down the dendrite: a queue in each synapse.
            queue = _queue(int(dendritic.max()) // self._shortest_interval(p.pre) + 2)
            lines += queue.variables
            on_pre["pre"] = f"{queue.put(sent)}\n{_block(model.on_pre, names)}"
            on_pre["transmit"] = f"{receive}{queue.first}\n{queue.drop}"
            delays["transmit"] = axonal + dendritic
        synapses = b2.Synapses(
            source,
            target,
            "\n".join(lines),
            on_pre=on_pre,
            on_post=_block(model.on_post, names) if model.on_post else None,
            clock=self.clock,
            method=_Flow(model, names),
            namespace={
                "where": _where,
                **{_s(n): value for n, value in parameters.items()},
                **waves,
            },
        )
        if model.continuous:
            synapses.state_updater.order = -1  # it reads the neurons as they are before the step
        synapses.connect(i=given.pre + first_pre, j=given.post + first_post)
        setattr(synapses, _s("w"), given.weight)
        for signal in model.signals:
            wide = self.drive.signals[circuit.signal_of(p, signal)].shape[1] > 1
            setattr(synapses, f"{signal}_column_s", given.post if wide else 0)
        if "transmit" in on_pre:
            synapses.transmit.order = 2  # after every pre (-1) and every post (1)
        if hasattr(synapses, "post"):
            delays["post"] = dendritic
            if model.sides[0] == "post":
                synapses.post.order = -2  # before pre (-1)
        for pathway, steps in delays.items():
            getattr(synapses, pathway).delay = steps * job.dt * b2.second
        return synapses

    def _shortest_interval(self, source: str) -> int:
        """Least number of steps between two spikes of one neuron of a source."""
        for population in self.job.circuit.populations:
            if population.name == source:
                return max(1, int(whole_steps(population.neuron.refractory, self.job.dt)))
        steps, sources = self.drive.events[source]
        order = np.lexsort((steps, sources))
        gaps = np.diff(steps[order])[np.diff(sources[order]) == 0]
        return int(gaps.min(initial=10**9))

    def run(self) -> None:
        """Run the network for the whole job. Raises KeyboardInterrupt where it was stopped."""
        job = self.job
        done = 0

        def report(elapsed: Any, completed: float, start: Any, duration: Any) -> None:
            nonlocal done
            job.tick(round(completed * job.steps) - done)
            done = round(completed * job.steps)

        standalone = not isinstance(get_device(), RuntimeDevice)
        end = job.steps * job.dt
        self.network.run(
            end * b2.second,
            report=None if standalone else report,
            report_period=0.5 * b2.second,
            namespace={},
        )
        if standalone:
            get_device().build(directory=self.folder, compile=True, run=True, with_output=False)
        elif self.network.t / b2.second < end - job.dt / 2:
            raise KeyboardInterrupt

    def hand_over(self, recorder: Recorder, trial: range) -> None:
        """Give what the monitors hold to the recorder, by population."""
        job, circuit = self.job, self.job.circuit
        for population in circuit.populations:
            group, first = self.at[population.name]
            monitor = self.spike_monitors[id(group)]
            steps = np.round(np.asarray(monitor.t / b2.second) / job.dt).astype(np.int64)
            neurons = np.asarray(monitor.i).astype(np.int64) - first
            mine = (neurons >= 0) & (neurons < population.size)
            which = np.zeros(np.count_nonzero(mine), np.int64)
            recorder.spikes(population.name, trial, which, steps[mine], neurons[mine])
        rows = range(job.rows)
        for key, (monitor, part) in self.rows.items():
            samples = np.array(getattr(monitor, _n(key[1]))[part]).T
            recorder.state(*key, trial, rows, samples[None])
        for name, monitor in self.weight_monitors.items():
            recorder.weights(name, trial, rows, np.array(getattr(monitor, _s("w"))).T[None])
        weights = {
            name: np.zeros((1, 0)) if s is None else np.array(getattr(s, _s("w"))[:])[None]
            for name, s in self.synapses.items()
        }
        recorder.end(trial, weights)


def _block(block: tuple[eq.Assignment, ...], names: Mapping[str, str]) -> str:
    """Assignments as Brian2's code. Each value is a new number by its sign: in Brian2's numpy
    target, after `a = b` both are one array, which `b += 1` changes in place."""
    return "\n".join(f"{names[a.target]} = +({eq.emit(a.value, 'brian2', names)})" for a in block)


class _queue:
    """A first-in first-out queue of `slots` numbers as variables and code of a synapse."""

    def __init__(self, slots: int) -> None:
        self._slots = range(slots)
        self.variables = ["head_q : integer", "tail_q : integer"]
        self.variables += [f"slot{i}_q : 1" for i in self._slots]
        self.first = "(" + " + ".join(f"slot{i}_q*int(head_q == {i})" for i in self._slots) + ")"
        self.drop = f"head_q = (head_q + 1) % {slots}"

    def put(self, value: str) -> str:
        """Code that appends a value."""
        lines = [
            f"slot{i}_q = slot{i}_q*int(tail_q != {i}) + {value}*int(tail_q == {i})"
            for i in self._slots
        ]
        return "\n".join([*lines, f"tail_q = (tail_q + 1) % {len(self._slots)}"])


class _Exact(StateUpdateMethod):  # type: ignore[misc]
    """Brian2's own `exact` integrator, asked once for each system of equations.

    Deriving the solution symbolically takes seconds, and the result depends on the text alone.
    """

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def __call__(self, equations: Any, variables: Any = None, method_options: Any = None) -> str:
        text = str(equations)
        if text not in self._known:
            self._known[text] = exact(equations, variables, method_options)
        return self._known[text]


_exact = _Exact()


class _Linear:
    """A neuron's differential equations as x' = A x + b_injected injected + b, in many digits."""

    def __init__(self, neuron: Neuron, dt: float) -> None:
        model = neuron.model()
        self.model, self.dt = model, dt
        with mpmath.workdps(60):
            values = {name: mpmath.mpf(v) for name, v in neuron.parameters().items()}
            right = [compile(eq.emit(d.value, "array"), "<d>", "eval") for d in model.equations]

            def rates(**state: int) -> list[Any]:
                zero = {name: mpmath.mpf(0) for name in (*model.variables, INJECTED)}
                given = {**values, **zero, **{k: mpmath.mpf(v) for k, v in state.items()}}
                return [eval(code, dict(_MPMATH), given) for code in right]

            self.constant = rates()
            columns = [rates(**{name: 1}) for name in (*model.variables, INJECTED)]
            size = len(model.variables)
            self.matrix = mpmath.matrix(size + 2, size + 2)  # of (variables, injected, 1)
            for i in range(size):
                for j, column in enumerate(columns):
                    self.matrix[i, j] = column[i] - self.constant[i]
                self.matrix[i, size + 1] = self.constant[i]

    def well_separated(self) -> bool:
        """Whether Brian2's symbolic solution keeps its digits.

        It divides by differences of the rates of coupled variables, 0/0 where two are equal.
        """
        size = len(self.model.variables)
        rates = [float(self.matrix[i, i]) * self.dt for i in range(size)]
        if max(map(abs, rates)) > _FAST:
            return False
        return not any(
            self.matrix[i, j] != 0 and abs(rates[i] - rates[j]) < _CLOSE
            for i in range(size)
            for j in range(size)
            if i != j
        )

    def propagator(self, refractory: bool) -> Any:
        """exp(A dt) of the extended system; rows of held variables stand still if refractory."""
        with mpmath.workdps(60):
            matrix = self.matrix.copy()
            for i, variable in enumerate(self.model.variables):
                if refractory and variable in self.model.held:
                    for j in range(matrix.cols):
                        matrix[i, j] = 0
            return mpmath.expm(matrix * mpmath.mpf(self.dt))


class _Propagation(StateUpdateMethod):  # type: ignore[misc]
    """Brian2 integrator for a linear system by its numerical matrix exponential.

    Stands in for `exact` where that divides 0 by 0. The exponential is taken of the differential
    equations in 60 digits, once active and once refractory.
    """

    def __init__(self, model: NeuronModel, injected: bool) -> None:
        self.model = model
        self._terms = [*map(_n, model.variables), _n(INJECTED), "1"]
        if not injected:
            self._terms[-2] = "0"
        size = len(model.variables)
        self.coefficients = [
            f"{kind}{i}_{j}_p" for kind in "ar" for i in range(size) for j in range(size + 2)
        ]

    def values(self, system: _Linear) -> Mapping[str, float]:
        """The coefficients of one neuron."""
        matrices = {"a": system.propagator(False), "r": system.propagator(True)}
        size = len(self.model.variables)
        return {
            f"{kind}{i}_{j}_p": float(matrix[i, j])
            for kind, matrix in matrices.items()
            for i in range(size)
            for j in range(size + 2)
        }

    def __call__(self, equations: Any, variables: Any = None, method_options: Any = None) -> str:
        lines = []
        for i, variable in enumerate(self.model.variables):
            sums = {
                kind: " + ".join(f"{kind}{i}_{j}_p*{term}" for j, term in enumerate(self._terms))
                for kind in "ar"
            }
            lines.append(
                f"_{_n(variable)} = int(not_refractory)*({sums['a']})"
                f" + int(not not_refractory)*({sums['r']})"
            )
        lines += [f"{_n(v)} = _{_n(v)}" for v in self.model.variables]
        return "\n".join(lines)


class _Flow(StateUpdateMethod):  # type: ignore[misc]
    """Forward Euler for a rule's equations, but for plain decays, which are solved exactly.

    Brian2 has no integrator that treats the two kinds apart.
    """

    def __init__(self, model: RuleModel, names: Mapping[str, str]) -> None:
        self.model, self.names = model, names

    def __call__(self, equations: Any, variables: Any = None, method_options: Any = None) -> str:
        slopes = {d.variable: eq.emit(d.value, "brian2", self.names) for d in self.model.flows}
        lines = [f"_{_s(v)} = {_s(v)} + dt/second*({slope})" for v, slope in slopes.items()]
        lines += [
            f"{_s(v)} = {_s(v)}*exp(-dt/second/{_s(tau)})" for v, tau in self.model.decay.items()
        ]
        for v in slopes:
            held = v == "w" and self.model.bounded
            lines.append(
                f"{_s(v)} = clip(_{_s(v)}, {_s('w_min')}, {_s('w_max')})"
                if held
                else f"{_s(v)} = _{_s(v)}"
            )
        return "\n".join(lines)


_MPMATH: dict[str, Callable[..., Any]] = {
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "sqrt": mpmath.sqrt,
    "abs": abs,
    "tanh": mpmath.tanh,
}
