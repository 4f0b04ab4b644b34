"""Leaky integrate-and-fire neurons, with current synapses and with delta synapses."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from neuroflip.neurons.neuron import Neuron, check_reset
from neuroflip.parameters import parameter
from neuroflip.units import Mohm, ms, mV


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
        check_reset(self)


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
        check_reset(self)
