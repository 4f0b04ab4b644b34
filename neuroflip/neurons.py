"""Neuron models, each declared once: parameters as fields, equations as class attributes.

The Brian2 engine is given `equations`, the differential equations; the fast engines run
`constants` (once, before the run) and `update` (every step), the exact solution over one step
with the injected current held. That the two agree is what a cross-check shows.

To add a neuron, write one such class in this file: see docs/adding.md.
"""

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, final

from neuroflip import equations as eq
from neuroflip.parameters import Parametrized, parameter
from neuroflip.units import Mohm, ms, mV

INJECTED = "injected"
"""Name under which equations read the injected current, in A, of a circuit's current inputs."""


@dataclass(frozen=True, eq=False)
class NeuronModel:
    """The checked form of a neuron class: what engines read."""

    name: str
    variables: tuple[str, ...]
    units: Mapping[str, str]
    held: frozenset[str]  # variables that stand still during refractoriness
    equations: tuple[eq.Differential, ...]
    constants: tuple[eq.Assignment, ...]
    update: tuple[eq.Assignment, ...]
    threshold: eq.Expression
    margin: eq.Expression
    reset: tuple[eq.Assignment, ...]
    initial: tuple[eq.Assignment, ...]
    receptors: Mapping[str, str]

    def needed_constants(self) -> tuple[str, ...]:
        """Names of the parameters and constants that a step reads, sorted."""
        texts = [a.value for a in (*self.update, *self.reset)] + [self.margin]
        local = {a.target for a in self.update} | set(self.variables) | {INJECTED}
        return tuple(sorted(frozenset().union(*(t.names for t in texts)) - local))


class Neuron(Parametrized):
    """Base of the neuron models. A model is a final frozen dataclass with these class attributes.

    equations: differential equations, one a line, with unit and `(unless refractory)`.
    constants: what the exact update needs, computed once from the parameters and `dt`.
    update: one step of the state; names that are no variables are local to the step.
    threshold: a spike is sent where this holds and the neuron is not refractory.
    reset: assigned at a spike, after the synapses of the step.
    initial: the state before the first step; variables not named start at 0.
    receptors: receptor name -> the variable to which an arriving spike adds the weight.
    signed_receptors: receptors that take weights of either sign; the others take weights >= 0.

    Every model has a field `refractory` (s): after a spike the neuron is refractory for that
    time, the step of the spike included. It sends no spike, and variables marked
    `(unless refractory)` stand still and take no synaptic input.
    """

    equations: ClassVar[str]
    constants: ClassVar[str] = ""
    update: ClassVar[str]
    threshold: ClassVar[str]
    reset: ClassVar[str]
    initial: ClassVar[str] = ""
    receptors: ClassVar[Mapping[str, str]]
    signed_receptors: ClassVar[frozenset[str]] = frozenset()

    refractory: float

    @classmethod
    @functools.cache
    def model(cls) -> NeuronModel:
        """The checked form. Raises EquationError where the declaration is not in the language."""

        def where(attribute: str) -> str:
            return f"{cls.__name__}.{attribute}"

        parameters = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        system = eq.parse_system(cls.equations, parameters | {INJECTED}, where("equations"))
        variables = tuple(d.variable for d in system)
        reserved = {"dt", INJECTED}
        eq.check_new(parameters, reserved, cls.__name__)
        eq.check_new(variables, parameters | reserved, where("equations"))
        constants = eq.parse_block(cls.constants, parameters | {"dt"}, where=where("constants"))
        fixed = parameters | reserved | {a.target for a in constants}
        eq.check_new(
            [a.target for a in constants], parameters | reserved | {*variables}, where("constants")
        )
        known = parameters | {a.target for a in constants} | set(variables)
        threshold = eq.parse_expression(cls.threshold, known, where("threshold"))
        for receptor, variable in cls.receptors.items():
            if variable not in variables:
                raise eq.EquationError(
                    f"receptor {receptor!r} adds to {variable!r}, which is no variable",
                    where=where("receptors"),
                )
        update = eq.parse_block(cls.update, known | {INJECTED}, where=where("update"))
        eq.check_new([a.target for a in update], fixed, where("update"))
        return NeuronModel(
            name=cls.__name__,
            variables=variables,
            units=MappingProxyType({d.variable: d.unit for d in system}),
            held=frozenset(d.variable for d in system if d.unless_refractory),
            equations=system,
            constants=constants,
            update=update,
            threshold=threshold,
            margin=eq.margin(threshold, where("threshold")),
            reset=eq.parse_block(cls.reset, known, variables, where("reset")),
            initial=eq.parse_block(cls.initial, parameters, variables, where("initial")),
            receptors=MappingProxyType(dict(cls.receptors)),
        )


@final
@dataclass(frozen=True)
class LIF(Neuron):
    """Leaky integrate-and-fire neuron with exponential current synapses.

        tau_m dv/dt = v_rest - v + resistance (i_exc - i_inh + drive + injected)
        tau_e di_exc/dt = -i_exc        tau_i di_inh/dt = -i_inh

    A spike is sent when v > v_threshold; v is then set to v_reset and stands still for
    `refractory`, while the synaptic currents decay on. A spike that arrives adds its weight (A)
    to i_exc or i_inh; weights are magnitudes, the receptor gives the sign.

    The exact update over a step (Rotter & Diesmann 1999, Biol. Cybern. 81:381, eq. 3) carries a
    synaptic current I to the membrane as

        (exp(-dt/tau_s) - exp(-dt/tau_m)) tau_s/(tau_s - tau_m) R I

    which is 0/0 at tau_s = tau_m. It is evaluated as
    dt/tau_m exp(-min(a, b)) exprel(-|a - b|) R I with a = dt/tau_m, b = dt/tau_s,
    exprel(x) = (exp(x) - 1)/x: the same function, without cancellation anywhere.

    Defaults are those of a cortical-like latch neuron with rest at 0 V.

    >>> LIF(drive=200e-12).drive
    2e-10
    >>> LIF(tau_m=-0.02)
    Traceback (most recent call last):
        ...
    ValueError: LIF.tau_m must be above 0 s; got -0.02.
    """

    tau_m: float = parameter(20 * ms, "s", above=0)
    """Membrane time constant (s)."""
    tau_e: float = parameter(5 * ms, "s", above=0)
    """Decay of the excitatory synaptic current (s)."""
    tau_i: float = parameter(20 * ms, "s", above=0)
    """Decay of the inhibitory synaptic current (s)."""
    resistance: float = parameter(100 * Mohm, "ohm", above=0)
    """Membrane resistance (ohm)."""
    v_rest: float = parameter(0.0, "V")
    """Resting potential (V)."""
    v_threshold: float = parameter(15 * mV, "V")
    """Threshold (V)."""
    v_reset: float = parameter(0.0, "V")
    """Potential after a spike (V); below the threshold."""
    refractory: float = parameter(2 * ms, "s", at_least=0)
    """Absolute refractory period (s)."""
    drive: float = parameter(0.0, "A")
    """Constant injected current (A)."""

    equations: ClassVar[str] = """
        dv/dt = (v_rest - v + resistance*(i_exc - i_inh + drive + injected))/tau_m : V (unless refractory)
        di_exc/dt = -i_exc/tau_e : A
        di_inh/dt = -i_inh/tau_i : A
    """  # noqa: E501
    constants: ClassVar[str] = """
        a = dt/tau_m
        b_exc = dt/tau_e
        b_inh = dt/tau_i
        decay_exc = exp(-b_exc)
        decay_inh = exp(-b_inh)
        to_rest = -expm1(-a)
        from_exc = resistance*a*exp(-min(a, b_exc))*exprel(-abs(a - b_exc))
        from_inh = resistance*a*exp(-min(a, b_inh))*exprel(-abs(a - b_inh))
        v_drive = v_rest + resistance*drive
    """
    update: ClassVar[str] = """
        v += (v_drive + resistance*injected - v)*to_rest + from_exc*i_exc - from_inh*i_inh
        i_exc *= decay_exc
        i_inh *= decay_inh
    """
    threshold: ClassVar[str] = "v > v_threshold"
    reset: ClassVar[str] = "v = v_reset"
    initial: ClassVar[str] = "v = v_rest"
    receptors: ClassVar[Mapping[str, str]] = {"excitatory": "i_exc", "inhibitory": "i_inh"}

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_reset(self)


@final
@dataclass(frozen=True)
class DeltaLIF(Neuron):
    """Leaky integrate-and-fire neuron with delta synapses.

        tau_m dv/dt = v_rest - v + resistance (drive + injected)

    An arriving spike adds its weight (V, of either sign) to v at once, unless the neuron is
    refractory. Threshold, reset and refractoriness as in `LIF`.

    >>> DeltaLIF().signed_receptors
    frozenset({'delta'})
    """

    tau_m: float = parameter(20 * ms, "s", above=0)
    """Membrane time constant (s)."""
    v_rest: float = parameter(0.0, "V")
    """Resting potential (V)."""
    v_threshold: float = parameter(15 * mV, "V")
    """Threshold (V)."""
    v_reset: float = parameter(0.0, "V")
    """Potential after a spike (V); below the threshold."""
    refractory: float = parameter(2 * ms, "s", at_least=0)
    """Absolute refractory period (s)."""
    resistance: float = parameter(100 * Mohm, "ohm", above=0)
    """Membrane resistance (ohm)."""
    drive: float = parameter(0.0, "A")
    """Constant injected current (A)."""

    equations: ClassVar[str] = """
        dv/dt = (v_rest - v + resistance*(drive + injected))/tau_m : V (unless refractory)
    """
    constants: ClassVar[str] = """
        to_rest = -expm1(-dt/tau_m)
        v_drive = v_rest + resistance*drive
    """
    update: ClassVar[str] = "v += (v_drive + resistance*injected - v)*to_rest"
    threshold: ClassVar[str] = "v > v_threshold"
    reset: ClassVar[str] = "v = v_reset"
    initial: ClassVar[str] = "v = v_rest"
    receptors: ClassVar[Mapping[str, str]] = {"delta": "v"}
    signed_receptors: ClassVar[frozenset[str]] = frozenset({"delta"})

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_reset(self)


@final
@dataclass(frozen=True)
class AdaptiveLIF(Neuron):
    """Leaky integrate-and-fire neuron with delta synapses and an adapting threshold.

        tau_m dv/dt = v_rest - v + resistance (drive + injected)
        tau_theta dtheta/dt = -theta

    A spike is sent when v > v_threshold + theta, and raises theta by `beta`; theta decays also
    during refractoriness. The rest is as in `DeltaLIF`, which it is with beta = 0. Intrinsic
    plasticity on the scale of a memory needs a tau_theta of seconds, spike-frequency adaptation
    one of some 100 ms (Bellec et al. 2020, Nat. Commun. 11:3625: 2 s in a delayed-decision task).

    >>> AdaptiveLIF(beta=2*mV).beta
    0.002
    """

    tau_m: float = parameter(20 * ms, "s", above=0)
    """Membrane time constant (s)."""
    v_rest: float = parameter(0.0, "V")
    """Resting potential (V)."""
    v_threshold: float = parameter(15 * mV, "V")
    """Threshold of a neuron that has long been silent (V)."""
    v_reset: float = parameter(0.0, "V")
    """Potential after a spike (V); below the threshold."""
    refractory: float = parameter(2 * ms, "s", at_least=0)
    """Absolute refractory period (s)."""
    resistance: float = parameter(100 * Mohm, "ohm", above=0)
    """Membrane resistance (ohm)."""
    drive: float = parameter(0.0, "A")
    """Constant injected current (A)."""
    tau_theta: float = parameter(200 * ms, "s", above=0)
    """Decay of the adaptation (s)."""
    beta: float = parameter(1 * mV, "V", at_least=0)
    """Rise of the threshold at each spike (V)."""

    equations: ClassVar[str] = """
        dv/dt = (v_rest - v + resistance*(drive + injected))/tau_m : V (unless refractory)
        dtheta/dt = -theta/tau_theta : V
    """
    constants: ClassVar[str] = """
        to_rest = -expm1(-dt/tau_m)
        decay_theta = exp(-dt/tau_theta)
        v_drive = v_rest + resistance*drive
    """
    update: ClassVar[str] = """
        v += (v_drive + resistance*injected - v)*to_rest
        theta *= decay_theta
    """
    threshold: ClassVar[str] = "v > v_threshold + theta"
    reset: ClassVar[str] = """
        v = v_reset
        theta += beta
    """
    initial: ClassVar[str] = "v = v_rest"
    receptors: ClassVar[Mapping[str, str]] = {"delta": "v"}
    signed_receptors: ClassVar[frozenset[str]] = frozenset({"delta"})

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_reset(self)


@final
@dataclass(frozen=True)
class FilteredLIF(Neuron):
    """Leaky integrate-and-fire neuron with delta synapses and two low-pass filters of v.

        tau_m dv/dt = v_rest - v + resistance (drive + injected)
        tau_minus du_minus/dt = v - u_minus        tau_plus du_plus/dt = v - u_plus

    The filtered potentials are what voltage-based plasticity reads (`rules.ClopathSTDP`; Clopath
    et al. 2010, Nat. Neurosci. 13:344). Threshold, reset and refractoriness as in `DeltaLIF`; the
    filters go on while v stands still. The neuron has no action potential, so at a spike the
    filters take the step that v at `v_peak` for `spike_width` would give them, at once:

        u += (v_peak - u) (1 - exp(-spike_width/tau))

    (spike_width = 0: none). The exact update over a step, a = dt/tau_m, b = dt/tau, is

        u += (v - u) (1 - exp(-b)) + (v_new - v) (1 - exp(-b) - K)/(1 - exp(-a))

    with K = b exp(-min(a, b)) exprel(-|a - b|), which is without cancellation where a is near b
    (see `LIF`). It holds whether v moves, with v_new the exact potential, or stands still.

    The passive parameters are those of the adaptive exponential neuron with which the rule was
    published (281 pF, 30 nS, -70.6 mV; threshold -50.4 mV), peak and width those of NEST's model
    of it, which clamps v to 33 mV for 2 ms.

    >>> FilteredLIF(tau_minus=0)
    Traceback (most recent call last):
        ...
    ValueError: FilteredLIF.tau_minus must be above 0 s; got 0.0.
    """

    tau_m: float = parameter(9.37 * ms, "s", above=0)
    """Membrane time constant (s)."""
    v_rest: float = parameter(-70.6 * mV, "V")
    """Resting potential (V)."""
    v_threshold: float = parameter(-50.4 * mV, "V")
    """Threshold (V)."""
    v_reset: float = parameter(-60 * mV, "V")
    """Potential after a spike (V); below the threshold."""
    refractory: float = parameter(2 * ms, "s", at_least=0)
    """Absolute refractory period (s)."""
    resistance: float = parameter(33.3 * Mohm, "ohm", above=0)
    """Membrane resistance (ohm)."""
    drive: float = parameter(0.0, "A")
    """Constant injected current (A)."""
    tau_minus: float = parameter(10 * ms, "s", above=0)
    """Time constant of the filter u_minus, read by depression (s)."""
    tau_plus: float = parameter(7 * ms, "s", above=0)
    """Time constant of the filter u_plus, read by potentiation (s)."""
    v_peak: float = parameter(33 * mV, "V")
    """Potential of the action potential that the filters are given (V)."""
    spike_width: float = parameter(2 * ms, "s", at_least=0)
    """Duration of that action potential (s)."""

    equations: ClassVar[str] = """
        dv/dt = (v_rest - v + resistance*(drive + injected))/tau_m : V (unless refractory)
        du_minus/dt = (v - u_minus)/tau_minus : V
        du_plus/dt = (v - u_plus)/tau_plus : V
    """
    constants: ClassVar[str] = """
        a = dt/tau_m
        b_minus = dt/tau_minus
        b_plus = dt/tau_plus
        to_rest = -expm1(-a)
        to_minus = -expm1(-b_minus)
        to_plus = -expm1(-b_plus)
        from_minus = (to_minus - b_minus*exp(-min(a, b_minus))*exprel(-abs(a - b_minus)))/to_rest
        from_plus = (to_plus - b_plus*exp(-min(a, b_plus))*exprel(-abs(a - b_plus)))/to_rest
        v_drive = v_rest + resistance*drive
    """
    update: ClassVar[str] = """
        before = v
        v += (v_drive + resistance*injected - v)*to_rest
        u_minus += (before - u_minus)*to_minus + (v - before)*from_minus
        u_plus += (before - u_plus)*to_plus + (v - before)*from_plus
    """
    threshold: ClassVar[str] = "v > v_threshold"
    reset: ClassVar[str] = """
        v = v_reset
        u_minus -= (v_peak - u_minus)*expm1(-spike_width/tau_minus)
        u_plus -= (v_peak - u_plus)*expm1(-spike_width/tau_plus)
    """
    initial: ClassVar[str] = """
        v = v_rest
        u_minus = v_rest
        u_plus = v_rest
    """
    receptors: ClassVar[Mapping[str, str]] = {"delta": "v"}
    signed_receptors: ClassVar[frozenset[str]] = frozenset({"delta"})

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_reset(self)


def _check_reset(neuron: "LIF | DeltaLIF | AdaptiveLIF | FilteredLIF") -> None:
    if neuron.v_reset >= neuron.v_threshold:
        raise ValueError(
            f"{type(neuron).__name__}.v_reset must be below v_threshold ({neuron.v_threshold!r} V);"
            f" got {neuron.v_reset!r}."
        )


NEURONS: dict[str, type[Neuron]] = {
    kind.__name__: kind for kind in (LIF, DeltaLIF, AdaptiveLIF, FilteredLIF)
}
"""The neuron models by name, for files and the command line."""
