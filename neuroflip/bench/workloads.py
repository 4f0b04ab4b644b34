"""What `neuroflip bench spiking` simulates: arrays, and the circuits that they make.

The same arrays make the same network in plain Brian2: `neuroflip.sims.brian2_workloads`.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import numpy as np

from neuroflip.circuit import Circuit, NoiseInput, Pairs, Population, Projection, SpikeInput
from neuroflip.circuits import sr_latch
from neuroflip.neurons import LIF
from neuroflip.neurons.neuron import Neuron, check_reset
from neuroflip.parameters import parameter
from neuroflip.recording import Recording
from neuroflip.rules import PairSTDP
from neuroflip.units import ms, mV

Arrays = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """The arguments of one `nf.simulate`."""

    circuit: Circuit
    inputs: Mapping[str, Any]
    duration: float
    trials: int | None = None


@dataclass(frozen=True)
class Workload:
    """One workload.

    script: its name in `neuroflip.sims.brian2_workloads`. draw: makes its arrays, from the sizes
    `full` or `quick`; declare: the circuit that they make. check: sizes at which spikes are
    compared, where the measured runs draw noise of their own. growth: whether it only shows how
    the cost of another workload grows, and is measured in one program of either simulator.
    """

    about: str
    script: str
    draw: Callable[..., Arrays]
    declare: Callable[[Arrays], Task]
    full: Mapping[str, Any]
    quick: Mapping[str, Any]
    check: Mapping[str, Any] = field(default_factory=dict)
    growth: bool = False


# --- latch, sweep


def draw_latches(copies: int, duration: float, noise_sd: float, period: float) -> Arrays:
    """Pulses every `period` (s) from 0.1 s on, at S and R in turn; the same for every latch."""
    times = np.arange(0.1, duration - period / 1e3, period)
    return {
        "copies": copies,
        "duration": duration,
        "noise_sd": noise_sd,
        "set_times": times[::2],
        "reset_times": times[1::2],
    }


def declare_latches(arrays: Arrays) -> Task:
    circuit = sr_latch()
    copies = int(arrays["copies"])
    if sd := float(arrays["noise_sd"]):
        noise = [NoiseInput(f"noise {name}", name, sd) for name in ("Q", "Qbar")]
        circuit = dataclasses.replace(circuit, inputs=[*circuit.inputs, *noise])
    inputs = {"S": arrays["set_times"], "R": arrays["reset_times"]}
    return Task(circuit, inputs, float(arrays["duration"]), None if copies == 1 else copies)


def noise_currents(recording: Recording) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The noise (A) that latches were given, as Brian2's side takes it: Q of all, Qbar of all."""
    steps = round(recording.duration / recording.dt)
    return np.concatenate(
        [drive.noise[name].wave(steps) for name in ("Q", "Qbar") for drive in recording.drives],
        axis=1,
    )


# --- cuba, recurrent, big


def _pairs(rng: np.random.Generator, rows: int, columns: int, p: float) -> list[Any]:
    """Each of rows x columns pairs with probability p, row slowest, drawn by the gaps between."""
    total = rows * columns
    expected = total * p
    gaps = rng.geometric(p, int(expected + 6 * math.sqrt(expected) + 10))
    flat = np.cumsum(gaps) - 1
    assert flat[-1] >= total  # six standard deviations
    flat = flat[flat < total]
    return [(flat // columns).astype(np.int32), (flat % columns).astype(np.int32)]


def _potentials(rng: np.random.Generator, neurons: int) -> Any:
    return -60e-3 + 10e-3 * rng.random(neurons)


def draw_cuba(neurons: int, p: float, duration: float) -> Arrays:
    rng = np.random.default_rng(1)
    excitatory = round(0.8 * neurons)
    exc = _pairs(rng, excitatory, neurons, p)
    inh = _pairs(rng, neurons - excitatory, neurons, p)
    return {
        "duration": duration,
        "v": _potentials(rng, neurons),
        "exc_pre": exc[0],
        "exc_post": exc[1],
        "inh_pre": inh[0] + np.int32(excitatory),
        "inh_post": inh[1],
    }


_CUBA = LIF(
    tau_m=20 * ms, tau_e=5 * ms, tau_i=10 * ms, resistance=1.0, v_rest=-49 * mV,
    v_threshold=-50 * mV, v_reset=-60 * mV, refractory=5 * ms,
)  # fmt: skip
"""The neuron of Brette et al. 2007; synaptic currents are in V, as the resistance is 1 ohm."""


def declare_cuba(arrays: Arrays) -> Task:
    v = arrays["v"]
    projections = [
        Projection(
            "P", "P", weight, receptor, Pairs(arrays[f"{key}_pre"], arrays[f"{key}_post"]), name=key
        )
        for key, receptor, weight in (
            ("exc", "excitatory", 1.62 * mV),
            ("inh", "inhibitory", 9 * mV),
        )
    ]
    circuit = Circuit("cuba", [Population("P", _CUBA, v.size, {"v": v})], projections)
    return Task(circuit, {}, float(arrays["duration"]))


_RECURRENT = LIF(**_CUBA.parameters() | {"v_rest": -42 * mV})
"""Driven harder, so that the network fires irregularly at some 10 Hz, without waves."""


def draw_recurrent(neurons: int, p: float, duration: float) -> Arrays:
    """Weights are those of `cuba` in proportion to its in-degree over theirs."""
    rng = np.random.default_rng(2)
    excitatory = round(0.8 * neurons)
    ee = _pairs(rng, excitatory, excitatory, p)
    ei = _pairs(rng, excitatory, neurons - excitatory, p)
    inh = _pairs(rng, neurons - excitatory, neurons, p)
    scale = 0.02 * 4000 / (p * neurons)
    w_e = 1.62 * mV * scale
    return {
        "duration": duration,
        "v": _potentials(rng, neurons),
        "w": w_e * rng.uniform(0.5, 1.5, ee[0].size),
        "w_e": w_e,
        "w_i": 9 * mV * scale,
        "ee_pre": ee[0],
        "ee_post": ee[1],
        "ei_pre": ei[0],
        "ei_post": ei[1] + np.int32(excitatory),
        "inh_pre": inh[0] + np.int32(excitatory),
        "inh_post": inh[1],
    }


def declare_recurrent(arrays: Arrays) -> Task:
    v, w_e, w_i = arrays["v"], float(arrays["w_e"]), float(arrays["w_i"])

    def projection(name: str, receptor: str, weight: Any, **options: Any) -> Projection:
        pattern = Pairs(arrays[f"{name}_pre"], arrays[f"{name}_post"])
        return Projection(
            "P", "P", weight, receptor, pattern, axonal_delay=1.5 * ms, name=name, **options
        )

    rule = PairSTDP(20 * ms, 20 * ms, 0.01, 0.0105, w_max=2 * w_e)
    circuit = Circuit(
        "recurrent",
        [Population("P", _RECURRENT, v.size, {"v": v})],
        [
            projection("ee", "excitatory", arrays["w"], rule=rule),
            projection("ei", "excitatory", w_e),
            projection("inh", "inhibitory", w_i),
        ],
    )
    return Task(circuit, {}, float(arrays["duration"]))


# --- stdp


@final
@dataclass(frozen=True)
class STDPNeuron(Neuron):
    """The neuron of Brian2's STDP example; its conductance counts in leak conductances.

        tau_m dv/dt = g (e_exc - v) + v_rest - v        tau_e dg/dt = -g

    >>> STDPNeuron().receptors
    {'excitatory': 'g'}
    """

    tau_m: float = parameter(10 * ms, "s", above=0)
    """Membrane time constant (s)."""
    tau_e: float = parameter(5 * ms, "s", above=0)
    """Decay of the conductance (s)."""
    e_exc: float = parameter(0.0, "V")
    """Reversal potential (V)."""
    v_rest: float = parameter(-74 * mV, "V")
    """Resting potential (V)."""
    v_threshold: float = parameter(-54 * mV, "V")
    """Threshold (V)."""
    v_reset: float = parameter(-60 * mV, "V")
    """Potential after a spike (V)."""
    refractory: float = parameter(0.0, "s", at_least=0)
    """Absolute refractory period (s)."""

    equations: ClassVar[str] = """
        dv/dt = (g*(e_exc - v) + v_rest - v)/tau_m : V
        dg/dt = -g/tau_e : 1
    """
    method: ClassVar[str] = "euler"
    threshold: ClassVar[str] = "v > v_threshold"
    reset: ClassVar[str] = "v = v_reset"
    receptors: ClassVar[Mapping[str, str]] = {"excitatory": "g"}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_reset(self)


def draw_stdp(inputs: int, rate: float, duration: float) -> Arrays:
    """Poisson spikes of `rate` (Hz), at most one a step and source."""
    rng = np.random.default_rng(3)
    steps = round(duration / (0.1 * ms))
    at, sources = _pairs(rng, steps, inputs, rate * 0.1 * ms)
    return {
        "duration": duration,
        "times": at * (0.1 * ms),
        "sources": sources,
        "w": 0.01 * rng.random(inputs),
    }


def declare_stdp(arrays: Arrays) -> Task:
    w = arrays["w"]
    rule = PairSTDP.like("brian2")
    circuit = Circuit(
        "stdp",
        [Population("out", STDPNeuron())],
        [Projection("in", "out", w, rule=rule)],
        [SpikeInput("in", w.size)],
    )
    order = np.argsort(arrays["sources"], kind="stable")
    ends = np.cumsum(np.bincount(arrays["sources"], minlength=w.size))[:-1]
    trains = np.split(arrays["times"][order], ends)
    return Task(circuit, {"in": trains}, float(arrays["duration"]))


# --- all of them

_LATCH = {"copies": 1, "noise_sd": 0.0, "period": 0.5}
_SWEEP = {"noise_sd": 2 * mV, "period": 0.5}
_BIG_P = 4e6 / 16_000**2


def _big(neurons: int, growth: bool = False) -> Workload:
    return Workload(
        f"{neurons:,} LIF, {_BIG_P * (0.8 * neurons) ** 2:,.0f} plastic synapses",
        "recurrent",
        draw_recurrent,
        declare_recurrent,
        {"neurons": neurons, "p": _BIG_P, "duration": 0.2},
        {"neurons": neurons // 10, "p": 10 * _BIG_P, "duration": 0.05},
        growth=growth,
    )


WORKLOADS: dict[str, Workload] = {
    "latch": Workload(
        "one SR latch, a pulse every 500 ms",
        "latch",
        draw_latches,
        declare_latches,
        {**_LATCH, "duration": 10.0},
        {**_LATCH, "duration": 1.0},
    ),
    "sweep": Workload(
        "SR latches with membrane noise of 2 mV",
        "sweep",
        draw_latches,
        declare_latches,
        {**_SWEEP, "copies": 4096, "duration": 1.0},
        {**_SWEEP, "copies": 256, "duration": 0.2},
        {**_SWEEP, "copies": 64, "duration": 1.0},
    ),
    "cuba": Workload(
        "Brian2's example CUBA",
        "cuba",
        draw_cuba,
        declare_cuba,
        {"neurons": 4000, "p": 0.02, "duration": 1.0},
        {"neurons": 4000, "p": 0.02, "duration": 0.1},
    ),
    "stdp": Workload(
        "Brian2's example STDP",
        "stdp",
        draw_stdp,
        declare_stdp,
        {"inputs": 1000, "rate": 15.0, "duration": 10.0},
        {"inputs": 1000, "rate": 15.0, "duration": 1.0},
    ),
    "recurrent": Workload(
        "1,000 LIF, delay 1.5 ms, pair STDP from E to E",
        "recurrent",
        draw_recurrent,
        declare_recurrent,
        {"neurons": 1000, "p": 0.1, "duration": 2.0},
        {"neurons": 1000, "p": 0.1, "duration": 0.2},
    ),
    "big": _big(20_000),
    "big-10000": _big(10_000, growth=True),
    "big-5000": _big(5_000, growth=True),
}


def scaling_sizes(synapses: float, duration: float = 0.2) -> dict[str, Any]:
    """Sizes of `draw_recurrent` for about this many plastic synapses, 250 to each neuron."""
    excitatory = synapses / 250
    return {"neurons": round(excitatory / 0.8), "p": 250 / excitatory, "duration": duration}


def results(recording: Recording) -> dict[str, Any]:
    """Spikes and weights of a run in the form of `neuroflip.sims.brian2_workloads.run`.

    Neurons are numbered through the populations, trials fastest.
    """
    steps, neurons = [], []
    first, trials = 0, len(recording.drives)
    for population in recording.circuit.populations:
        name = population.name
        steps.append(np.rint(recording.spikes[name] / recording.dt).astype(np.int64))
        neurons.append((first + recording.neurons[name]) * trials + recording.trials[name])
        first += population.size
    at, who = np.concatenate(steps), np.concatenate(neurons)
    order = np.lexsort((who, at))
    weights = [np.zeros(0), *recording.weights.values()]
    return {"steps": at[order], "neurons": who[order], "weights": np.concatenate(weights)}


def synaptic_events(arrays: Arrays, neurons: Any) -> int:
    """How many arrivals of spikes at synapses `neurons`, the neuron of each spike, bring.

    Presynaptic arrivals at all synapses, and postsynaptic ones at plastic synapses; 0 without
    connections among the arrays.
    """
    size = len(arrays.get("v", ()))
    fan = np.zeros(size, np.int64)
    for key in arrays:
        if key.endswith("_pre") or key == "ee_post":
            fan += np.bincount(arrays[key], minlength=size)
    return int(fan[neurons].sum()) if size else 0
