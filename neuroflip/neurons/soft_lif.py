"""A leaky integrate-and-fire neuron whose reset is linear in the potential."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from neuroflip.neurons.neuron import Neuron
from neuroflip.parameters import parameter
from neuroflip.units import Mohm, ms, mV


@final
@dataclass(frozen=True)
class SoftLIF(Neuron):
    """Leaky integrate-and-fire neuron with a linear reset and no hold after a spike.

        tau_m dv/dt = -v + resistance (i + drive + injected)        tau_s di/dt = -i

    v is measured from rest. A spike is sent when v > v_threshold; then

        v <- keep v - subtract

    keep = 1: the usual "soft" reset, by subtraction (Rueckauer et al. 2017, Front. Neurosci.
    11:682), or with subtract = 0 none; keep = 0: to -subtract. An arriving spike adds its weight,
    of either sign, to v at once (receptor "delta", V) or to i (receptor "current", A). v never
    stands still, so with keep = 1 what arrives in the step of a spike counts in full: reset and
    arrival commute. `refractory`, 0 by default, only silences.

    It is the neuron of discrete-time networks such as snnTorch's, see `neuroflip.spiking.convert`.
    The exact update over a step is that of `LIF`.

    >>> SoftLIF().keep
    1.0
    >>> SoftLIF(keep=2)
    Traceback (most recent call last):
        ...
    ValueError: SoftLIF.keep must be at most 1; got 2.0.
    """

    tau_m: float = parameter(20 * ms, "s", above=0)
    """Membrane time constant (s)."""
    tau_s: float = parameter(5 * ms, "s", above=0)
    """Decay of the synaptic current (s)."""
    resistance: float = parameter(100 * Mohm, "ohm", above=0)
    """Membrane resistance (ohm)."""
    v_threshold: float = parameter(15 * mV, "V")
    """Threshold (V)."""
    keep: float = parameter(1.0, at_least=0, at_most=1)
    """Share of v that a spike leaves."""
    subtract: float = parameter(15 * mV, "V", at_least=0)
    """What a spike takes from v (V)."""
    refractory: float = parameter(0.0, "s", at_least=0)
    """Absolute refractory period (s)."""
    drive: float = parameter(0.0, "A")
    """Constant injected current (A)."""

    equations: ClassVar[str] = """
        dv/dt = (-v + resistance*(i + drive + injected))/tau_m : V
        di/dt = -i/tau_s : A
    """
    constants: ClassVar[str] = """
        a = dt/tau_m
        b = dt/tau_s
        decay = exp(-b)
        to_end = -expm1(-a)
        from_i = resistance*a*exp(-min(a, b))*exprel(-abs(a - b))
        v_drive = resistance*drive
    """
    update: ClassVar[str] = """
        v += (v_drive + resistance*injected - v)*to_end + from_i*i
        i *= decay
    """
    threshold: ClassVar[str] = "v > v_threshold"
    reset: ClassVar[str] = "v = keep*v - subtract"
    receptors: ClassVar[Mapping[str, str]] = {"delta": "v", "current": "i"}
    signed_receptors: ClassVar[frozenset[str]] = frozenset({"delta", "current"})
