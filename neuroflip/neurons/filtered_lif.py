"""A leaky integrate-and-fire neuron that filters its potential, for voltage-based plasticity."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from neuroflip.neurons.neuron import Neuron, check_reset
from neuroflip.parameters import parameter
from neuroflip.units import Mohm, ms, mV


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
        check_reset(self)
