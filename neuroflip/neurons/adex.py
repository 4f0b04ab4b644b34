"""The adaptive exponential integrate-and-fire neuron."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from neuroflip.neurons.checks import check_below
from neuroflip.neurons.neuron import Neuron
from neuroflip.parameters import parameter
from neuroflip.units import ms, mV, nS, pA, pF


@final
@dataclass(frozen=True)
class AdEx(Neuron):
    """Adaptive exponential integrate-and-fire neuron, with current and delta synapses.

        C dv/dt = leak (v_rest - v) + leak slope exp((v - v_threshold)/slope) - w
                  + i_exc - i_inh + drive + injected
        tau_w dw/dt = a (v - v_rest) - w
        tau_e di_exc/dt = -i_exc        tau_i di_inh/dt = -i_inh

    A spike is sent when v > v_peak; then v = v_reset and w grows by b (Brette & Gerstner 2005,
    J. Neurophysiol. 94:3637, whose defaults these are). v stands still for `refractory` (0 in the
    paper), w and the synaptic currents go on. Receptors "excitatory" and "inhibitory" add a weight
    (A, a magnitude) to i_exc and i_inh, "delta" adds one of either sign (V) to v.

    Where v is above v_peak the two equations read v_peak in place of v, so that the last step
    before a spike neither overflows nor carries the upstroke into w. A cut-off 5 slopes above
    threshold sends the spike less than C/leak exp(-5) = 0.06 ms before v would be infinite.

    With a small slope it is a leaky integrate-and-fire neuron with an adaptation current. The
    integrator is the classical Runge-Kutta method.

    >>> AdEx(v_peak=-60*mV)
    Traceback (most recent call last):
        ...
    ValueError: AdEx.v_threshold must be below v_peak (-60 mV); got -50.4 mV.
    """

    capacitance: float = parameter(281 * pF, "F", above=0)
    """Membrane capacitance C (F)."""
    leak: float = parameter(30 * nS, "S", above=0)
    """Leak conductance (S)."""
    v_rest: float = parameter(-70.6 * mV, "V")
    """Resting potential, that of the leak (V)."""
    v_threshold: float = parameter(-50.4 * mV, "V")
    """Effective threshold: where the exponential takes over (V)."""
    slope: float = parameter(2 * mV, "V", above=0)
    """Slope factor of the exponential, Delta_T (V)."""
    v_peak: float = parameter(-40.4 * mV, "V")
    """Potential at which a spike is sent (V); above the threshold."""
    v_reset: float = parameter(-70.6 * mV, "V")
    """Potential after a spike (V); below v_peak. Above the threshold it makes bursts."""
    refractory: float = parameter(0.0, "s", at_least=0)
    """Absolute refractory period (s)."""
    tau_w: float = parameter(144 * ms, "s", above=0)
    """Time constant of the adaptation current w (s)."""
    a: float = parameter(4 * nS, "S")
    """Adaptation below threshold (S)."""
    b: float = parameter(80.5 * pA, "A")
    """Rise of w at each spike (A)."""
    tau_e: float = parameter(5 * ms, "s", above=0)
    """Decay of the excitatory synaptic current (s)."""
    tau_i: float = parameter(20 * ms, "s", above=0)
    """Decay of the inhibitory synaptic current (s)."""
    drive: float = parameter(0.0, "A")
    """Constant injected current (A)."""

    equations: ClassVar[str] = """
        dv/dt = (leak*(v_rest - min(v, v_peak)) + leak*slope*exp((min(v, v_peak) - v_threshold)/slope) - w + i_exc - i_inh + drive + injected)/capacitance : V (unless refractory)
        dw/dt = (a*(min(v, v_peak) - v_rest) - w)/tau_w : A
        di_exc/dt = -i_exc/tau_e : A
        di_inh/dt = -i_inh/tau_i : A
    """  # noqa: E501
    method: ClassVar[str] = "rk4"
    tolerance: ClassVar[float] = 1e-9  # the upstroke enlarges the rounding of the slow part
    threshold: ClassVar[str] = "v > v_peak"
    reset: ClassVar[str] = """
        v = v_reset
        w += b
    """
    initial: ClassVar[str] = "v = v_rest"
    receptors: ClassVar[Mapping[str, str]] = {
        "excitatory": "i_exc",
        "inhibitory": "i_inh",
        "delta": "v",
    }
    signed_receptors: ClassVar[frozenset[str]] = frozenset({"delta"})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_below(self, "v_threshold", "v_peak")
        check_below(self, "v_reset", "v_peak")

    def membrane(self) -> tuple[float, float]:
        """Time constant C/leak (s) and resistance 1/leak (ohm) of the passive membrane.

        >>> tau, resistance = AdEx().membrane()
        >>> round(tau/ms, 2), round(resistance/1e6, 1)
        (9.37, 33.3)
        """
        return self.capacitance / self.leak, 1.0 / self.leak
