"""snnTorch networks and `SpikingFlipFlop` layers as circuits that send the same spikes.

snnTorch's neurons live in discrete time, U_t = beta U_{t-1} + I_t, and take the input of a step
before its threshold; a circuit's neurons live in continuous time and take it after (docs/order.md).
The two are the same thing once

- tau = -dt/ln(beta);
- a weight W arrives at v as W/beta, as it decays once before the threshold sees it;
- a reset that takes h from U_{t+1} takes h/beta from v;
- what a feed-forward layer does in step t is looked for one step later for each layer before it.

One unit of snnTorch's potential is 1 V here.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import snntorch  # type: ignore[import-untyped]
from snntorch._neurons.rleaky import RecurrentOneToOne  # type: ignore[import-untyped]
from torch import Tensor, nn

from neuroflip.circuit import (
    Array,
    Circuit,
    OneToOne,
    Population,
    Projection,
    Readout,
    SpikeInput,
)
from neuroflip.neurons.soft_lif import SoftLIF
from neuroflip.recording import Recording
from neuroflip.spiking.layer import SpikingFlipFlop
from neuroflip.spiking.unit import ROLES
from neuroflip.units import as_float, ms

INSTANT = 800.0  # dt/tau_s of a current that is gone after one step: exp(-800) is 0 in float64


def tau_of_beta(beta: float, dt: float) -> float:
    """The time constant (s) of a decay by beta in each step of dt (s): -dt/ln(beta).

    ValueError unless 0 < beta < 1 and dt > 0.

    >>> round(tau_of_beta(0.9, 1e-3), 6)
    0.009491
    """
    beta, dt = as_float(beta, "1", "beta"), as_float(dt, "s", "dt")
    if not 0 < beta < 1:
        raise ValueError(
            f"beta must be above 0 and below 1 to be a decay exp(-dt/tau); got {beta!r}."
        )
    _positive(dt, "dt")
    return -dt / math.log(beta)


def beta_of_tau(tau: float, dt: float) -> float:
    """The decay in a step of dt (s) of a time constant (s): exp(-dt/tau), exact for any dt.

    (snnTorch's NIR files use 1 - dt/tau, the first-order approximation.)

    ValueError unless tau and dt are above 0.

    >>> round(beta_of_tau(tau_of_beta(0.9, 1e-3), 1e-3), 12)
    0.9
    """
    tau, dt = as_float(tau, "s", "tau"), as_float(dt, "s", "dt")
    _positive(tau, "tau")
    _positive(dt, "dt")
    return math.exp(-dt / tau)


def _positive(value: float, name: str) -> None:
    if value <= 0:
        raise ValueError(f"{name} must be above 0 s; got {value!r}.")


def to_circuit(network: nn.Module | Sequence[nn.Module], dt: float = 1 * ms) -> Circuit:
    """A network of nn.Linear and spiking layers as a circuit that sends the same spikes.

    network: an nn.Sequential or a list: an nn.Linear before each `snn.Leaky`, `snn.Synaptic` or
        `snn.RLeaky`; a `SpikingFlipFlop` has its own weights and takes none. dt (s): a step.

    Layer n = 1, 2, ... becomes population "layer{n}"; a flip-flop layer becomes "layer{n}.set",
    ".reset", ".Q" and ".Qbar", without the prefix where it is the whole network. The input is
    "in". Layer n sends its spikes of step t in step t + n of the circuit. Biases come from a
    neuron "bias" that fires in every step. The network starts from rest.

    ValueError, with the reason, for what has no sound counterpart: "subtract" with
    reset_delay=False, "zero" of Synaptic without it, inhibition, quantised states, graded spikes;
    and for decays or thresholds that differ within a layer. TypeError for other modules. All
    other resets of the three ("subtract", which is snnTorch's default, "zero", "none") are taken.

    >>> import torch, snntorch as snn
    >>> print(to_circuit([torch.nn.Linear(3, 2), snn.Leaky(beta=0.5)]).populations[0].size)
    2
    """
    dt = as_float(dt, "s", "dt")
    _positive(dt, "dt")
    modules = [network] if isinstance(network, SpikingFlipFlop) else list(_modules(network))
    return _Builder(modules, dt).circuit()


def inputs_of(spikes: Tensor, dt: float = 1 * ms) -> list[dict[str, list[Array]]]:
    """Input spikes (T, B, I) or (T, I), 0 or 1, as the inputs of the circuit: one dictionary a
    trial, for `nf.simulate` with the same dt (s).

    ValueError for another shape or values that are not 0 or 1.

    >>> import torch
    >>> inputs_of(torch.tensor([[0.0], [1.0], [1.0]]), 1e-3)
    [{'in': [array([0.001, 0.002])]}]
    """
    if spikes.dim() not in (2, 3):
        raise ValueError(
            f"spikes must have shape (steps, batch, features) or (steps, features); "
            f"got {tuple(spikes.shape)}."
        )
    array = _plain(spikes if spikes.dim() == 3 else spikes.unsqueeze(1))
    if not np.isin(array, (0, 1)).all():
        raise ValueError("spikes must be 0 or 1; a circuit has no graded input.")
    return [
        {"in": [np.flatnonzero(train) * np.float64(dt) for train in trial.T]}
        for trial in array.swapaxes(0, 1)
    ]


def spikes_of(recording: Recording, population: str, latency: int = 1) -> Array:
    """Spikes of a population as an array of 0 and 1, (steps - latency, trials, size).

    latency: the number of the layer, as layer n is n steps late; then row t is the network's step
    t. ValueError for an unknown population.

    >>> import neuroflip as nf, torch
    >>> layer = SpikingFlipFlop(1, 2)
    >>> x = torch.zeros(5, 1, 1)
    >>> rec = nf.simulate(layer.to_circuit(), inputs_of(x), duration=6*ms, dt=1*ms)
    >>> int(spikes_of(rec, "Qbar").sum()), spikes_of(rec, "Q").shape
    (10, (5, 1, 2))
    """
    size = recording.circuit.population(population).size
    steps = round(recording.duration / recording.dt)
    raster = np.zeros((steps, len(recording.drives), size))
    at = np.round(recording.spikes[population] / recording.dt).astype(np.int64)
    raster[at, recording.trials[population], recording.neurons[population]] = 1
    return raster[latency:]


def _modules(network: nn.Module | Sequence[nn.Module]) -> Iterable[nn.Module]:
    if isinstance(network, nn.Sequential) or not isinstance(network, nn.Module):
        return network
    raise TypeError(
        "network must be an nn.Sequential or a list of modules in the order in which they are "
        f"passed; got {type(network).__name__}."
    )


def _plain(values: Tensor) -> Array:
    array: Array = values.detach().cpu().double().numpy()
    return array


def _one(values: Tensor, what: str) -> float:
    """The one number of a tensor whose entries are all equal."""
    found = np.unique(_plain(values))
    if found.size != 1:
        raise ValueError(
            f"{what} must be the same for the whole layer, which becomes one population; got "
            f"{found.size} values from {found[0]:g} to {found[-1]:g}. Split the layer."
        )
    return float(found[0])


class _Builder:
    """The parts of the circuit, layer by layer."""

    def __init__(self, modules: Sequence[nn.Module], dt: float) -> None:
        self.dt = dt
        self.layer = 0
        self.populations: list[Population] = []
        self.projections: list[Projection] = []
        self.readouts: list[Readout] = []
        self.biased = False
        self.source = "in"
        self.width = 0  # of the source
        self.inputs = 0
        alone = len(modules) == 1
        linear: nn.Linear | None = None
        for place, module in enumerate(modules):
            where = f"module {place} ({type(module).__name__})"
            if isinstance(module, nn.Linear) and linear is None:
                linear = module
                continue
            self.layer += 1
            if isinstance(module, SpikingFlipFlop) and linear is None:
                self._enter(module.input_size, where)
                self._flip_flops(module, "" if alone else f"layer{self.layer}.")
            elif isinstance(module, _KINDS) and linear is not None:
                self._enter(linear.in_features, where)
                self._neurons(module, linear, where)
                linear = None
            else:
                raise TypeError(
                    f"{where} cannot stand here: a network is nn.Linear and then snn.Leaky, "
                    "snn.Synaptic or snn.RLeaky, or a SpikingFlipFlop by itself, any number of "
                    "times."
                )
        if linear is not None or not modules:
            raise TypeError("a network ends with a spiking layer.")

    def circuit(self) -> Circuit:
        if self.biased:
            # fires in every step: v is 2 V after the first, and stays
            self.populations.append(self._always())
        return Circuit(
            "network",
            self.populations,
            self.projections,
            [SpikeInput("in", self.inputs)],
            self.readouts,
        )

    def _always(self) -> Population:
        neuron = SoftLIF(tau_m=self.dt, resistance=1.0, v_threshold=1.0, subtract=0.0, drive=2.0)
        return Population("bias", neuron, initial={"v": 2.0})

    def _enter(self, width: int, where: str) -> None:
        if self.source == "in":
            self.inputs = self.width = width
        if width != self.width:
            raise ValueError(
                f"{where} takes {width} features; the layer before it gives {self.width}."
            )

    def _soft(self, beta: float, **values: Any) -> SoftLIF:
        return SoftLIF(tau_m=tau_of_beta(beta, self.dt), resistance=1.0, **values)

    def _join(
        self,
        pre: str,
        post: str,
        weight: Any,
        receptor: str = "delta",
        name: str = "",
        **more: Any,
    ) -> None:
        if np.any(weight):
            self.projections.append(Projection(pre, post, weight, receptor, name=name, **more))

    def _bias(self, post: str, weight: Array, receptor: str = "delta") -> None:
        """Input in every step from the layer's first on, which is the circuit's step `layer`."""
        if np.any(weight):
            self.biased = True
            self._join(
                "bias", post, weight[None, :], receptor, axonal_delay=(self.layer - 1) * self.dt
            )

    def _flip_flops(self, module: SpikingFlipFlop, prefix: str) -> None:
        unit, beta = module.unit, module.unit.beta
        names = [prefix + role for role in ROLES]
        rests = unit.rest()
        for name, role, rest in zip(names, ROLES, rests, strict=True):
            drive = unit.drive if role in ("Q", "Qbar") else 0.0
            neuron = self._soft(
                beta,
                v_threshold=unit.threshold,
                subtract=unit.threshold / beta,
                drive=drive / (1 - beta),
            )
            # so that the potential is `rest` at the threshold of the first step
            start = (rest - drive) / beta
            self.populations.append(Population(name, neuron, module.hidden_size, {"v": start}))
        synapses = unit.synapses() / beta
        for post, row in zip(names, synapses, strict=True):
            for pre, weight in zip(names, row, strict=True):
                self._join(pre, post, weight, pattern=OneToOne())
        for name, weight in zip(
            names, _plain(module.weight_ih).reshape(2, -1, self.width), strict=False
        ):
            self._join(self.source, name, weight.T / beta)
        if module.weight_hh is not None:
            learned = _plain(module.weight_hh).reshape(2, -1, module.hidden_size)
            for name, weight in zip(names, learned, strict=False):
                self._join(names[2], name, weight.T / beta, name=f"{names[2]}->{name} recurrent")
        if module.bias is not None:
            for name, weight in zip(names, _plain(module.bias).reshape(2, -1), strict=False):
                self._bias(name, weight / beta)
        if module.hidden_size == 1:
            self.readouts.append(Readout(f"{prefix}bit", names[2], names[3], window=self.dt))
        self.source, self.width = names[2], module.hidden_size

    def _neurons(self, module: Any, linear: nn.Linear, where: str) -> None:
        _check_sound(module, where)
        mode = _mode(module)
        beta = _one(module.beta, f"beta of {where}")
        threshold = _one(module.threshold, f"threshold of {where}")
        if not 0 < beta < 1:
            raise ValueError(
                f"{where}: beta must be above 0 and below 1, as a membrane's decay exp(-dt/tau) "
                f"is; got {beta!r}."
            )
        if threshold <= 0:
            raise ValueError(f"{where}: threshold must be above 0; got {threshold!r}.")
        name = f"layer{self.layer}"
        values: dict[str, Any] = {
            "v_threshold": threshold,
            "keep": 0.0 if mode == "zero" else 1.0,
            "subtract": threshold / beta if mode == "subtract" else 0.0,
        }
        receptor, gain = "delta", 1 / beta
        if isinstance(module, snntorch.Synaptic):
            alpha = _one(module.alpha, f"alpha of {where}")
            if not 0 < alpha < 1:
                raise ValueError(
                    f"{where}: alpha must be above 0 and below 1, as a current's decay "
                    f"exp(-dt/tau) is; got {alpha!r}."
                )
            values["tau_s"] = tau_of_beta(alpha, self.dt)
            receptor = "current"
        elif mode == "zero" and (isinstance(module, snntorch.Leaky) or not module.reset_delay):
            # Input that comes in the step of the reset is kept: it must not be in v yet
            values["tau_s"] = self.dt / INSTANT
            receptor = "current"
        neuron = self._soft(beta, **values)
        if receptor == "current":
            gain = 1 / _from_current(neuron, self.dt)
        size = linear.out_features
        self.populations.append(Population(name, neuron, size))
        self._join(self.source, name, _plain(linear.weight).T * gain, receptor)
        bias = np.zeros(size) if linear.bias is None else _plain(linear.bias)
        if isinstance(module, snntorch.RLeaky):
            recurrent = module.recurrent
            if isinstance(recurrent, nn.Linear):
                if recurrent.in_features != size:
                    raise ValueError(
                        f"{where}: linear_features must be {size}, the features it is given; "
                        f"got {recurrent.in_features}."
                    )
                self._join(name, name, _plain(recurrent.weight).T * gain, receptor)
                if recurrent.bias is not None:
                    bias = bias + _plain(recurrent.bias)
            elif isinstance(recurrent, RecurrentOneToOne):
                own = np.broadcast_to(_plain(recurrent.V), size)
                self._join(name, name, own * gain, receptor, pattern=OneToOne())
            else:
                raise TypeError(f"{where}: recurrence must be linear or one to one.")
        self._bias(name, bias * gain, receptor)
        self.source, self.width = name, size


_KINDS = (snntorch.Leaky, snntorch.Synaptic, snntorch.RLeaky)


def _mode(module: Any) -> str:
    """How a neuron resets. (Assigning to reset_mechanism does not change what it does.)"""
    return {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}[
        module.state_function.__name__
    ]


def _from_current(neuron: SoftLIF, dt: float) -> float:
    """What a current of 1 A adds to v in a step (V); see `LIF`."""
    a, b = dt / neuron.tau_m, dt / neuron.tau_s
    near = abs(a - b)
    ratio = -math.expm1(-near) / near if near else 1.0
    return neuron.resistance * a * math.exp(-min(a, b)) * ratio


def _check_sound(module: Any, where: str) -> None:
    """Raise ValueError for modes of snnTorch that no membrane equation has, and say why."""
    reasons: list[tuple[bool, str]] = [
        (
            not module.reset_delay and _mode(module) == "subtract",
            "reset_delay=False with 'subtract' resets a neuron that a reset has left above "
            "threshold a second time, and takes that back only after the next threshold, so that "
            "spikes are lost; use reset_delay=True",
        ),
        (
            isinstance(module, snntorch.Synaptic)
            and _mode(module) == "zero"
            and module.reset_delay,
            "reset_mechanism='zero' of Synaptic sets the membrane to 0 after the current has been "
            "added, for one step, which no membrane equation does; use 'subtract', or "
            "reset_delay=False",
        ),
        (
            bool(module.inhibition),
            "inhibition=True lets only the neuron with the largest potential of a layer fire, "
            "which no synapse does; use inhibitory weights",
        ),
        (
            bool(module.state_quant),
            "state_quant rounds the potential in every step; a circuit's is a real number",
        ),
        (
            not bool((module.graded_spikes_factor == 1).all()),
            "graded_spikes_factor scales spikes; put the factor into the weights that follow",
        ),
    ]
    for wrong, why in reasons:
        if wrong:
            raise ValueError(f"{where} has no sound counterpart: {why}.")
