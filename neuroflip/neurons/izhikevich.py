"""The quadratic neuron of Izhikevich (2003)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from neuroflip.neurons.checks import check_below
from neuroflip.neurons.neuron import Neuron
from neuroflip.parameters import parameter
from neuroflip.units import Mohm, ms, mV


@final
@dataclass(frozen=True)
class Izhikevich(Neuron):
    """Izhikevich's neuron of two variables, with current and delta synapses.

        1 ms dv/dt = 0.04/mV v^2 + 5 v + 140 mV - u
                     + resistance (i_exc - i_inh + drive + injected)
        du/dt = a (b v - u)
        tau_e di_exc/dt = -i_exc        tau_i di_inh/dt = -i_inh

    A spike is sent when v > v_peak; then v = c and u grows by d (Izhikevich 2003, IEEE Trans.
    Neural Netw. 14:1569). The numbers of the papers are read so: a published `a` is per ms (0.02
    is `0.02/ms`), `b` has no unit, `c`, `d` and u are in mV, and an input current of 1 is
    1 mV/resistance, 10 pA by default. v stands still for `refractory` (0 in the paper), all else
    goes on. Receptors "excitatory" and "inhibitory" add a weight (A, a magnitude) to i_exc and
    i_inh, "delta" adds one of either sign (V) to v.

    Where v is above v_peak the equation of u reads v_peak in its place: the last step before a
    spike may carry v far beyond. The integrator is the classical Runge-Kutta method, not the
    half steps of Euler in the paper's listing, which fire at other times.

    The model has no passive membrane, so `nf.NoiseInput` does not apply; a noise current is a
    `nf.CurrentInput`. The defaults are its regular spiking neuron, at rest.

    >>> chattering = Izhikevich(a=0.02/ms, b=0.2, c=-50*mV, d=2*mV)
    >>> chattering.a
    20.0
    """

    a: float = parameter(0.02 / ms, "Hz", above=0)
    """Rate of the recovery variable u (Hz)."""
    b: float = parameter(0.2)
    """Sensitivity of u to v."""
    c: float = parameter(-65 * mV, "V")
    """Potential after a spike (V); below v_peak."""
    d: float = parameter(8 * mV, "V")
    """Rise of u at each spike (V)."""
    v_peak: float = parameter(30 * mV, "V")
    """Potential at which a spike is sent (V)."""
    refractory: float = parameter(0.0, "s", at_least=0)
    """Absolute refractory period (s)."""
    resistance: float = parameter(100 * Mohm, "ohm", above=0)
    """Volts of the equation for each ampere of current (ohm)."""
    tau_e: float = parameter(5 * ms, "s", above=0)
    """Decay of the excitatory synaptic current (s)."""
    tau_i: float = parameter(20 * ms, "s", above=0)
    """Decay of the inhibitory synaptic current (s)."""
    drive: float = parameter(0.0, "A")
    """Constant injected current (A)."""

    equations: ClassVar[str] = """
        dv/dt = (40*v*v + 5*v + 0.14 - u + resistance*(i_exc - i_inh + drive + injected))/0.001 : V (unless refractory)
        du/dt = a*(b*min(v, v_peak) - u) : V
        di_exc/dt = -i_exc/tau_e : A
        di_inh/dt = -i_inh/tau_i : A
    """  # noqa: E501
    method: ClassVar[str] = "rk4"
    tolerance: ClassVar[float] = 1e-6  # a slow passage by threshold enlarges rounding 10^10-fold
    threshold: ClassVar[str] = "v > v_peak"
    reset: ClassVar[str] = """
        v = c
        u += d
    """
    initial: ClassVar[str] = """
        v = c
        u = b*c
    """
    receptors: ClassVar[Mapping[str, str]] = {
        "excitatory": "i_exc",
        "inhibitory": "i_inh",
        "delta": "v",
    }
    signed_receptors: ClassVar[frozenset[str]] = frozenset({"delta"})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_below(self, "c", "v_peak")
