"""A leaky integrate-and-fire neuron with alpha synapses."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from neuroflip.neurons.neuron import Neuron, check_reset
from neuroflip.parameters import parameter
from neuroflip.units import Mohm, ms, mV

_SERIES = (2.0, 3.0, 8.0, 30.0, 144.0, 840.0, 5760.0, 45360.0, 403200.0, 3991680.0, 43545600.0,
           518918400.0, 6706022400.0)  # fmt: skip


def _coupling(a: str, b: str, name: str) -> str:
    """Constants that carry a synapse of rate b to a membrane of rate a (rates times dt).

    from_`name`: of the current, as in `LIF`. ramp_`name`: of the variable behind it,

        a b int_0^1 x exp(-a (1 - x) - b x) dx
          = a b exp(-min(a, b)) times phi where a < b, exprel(-d) - phi where not,

    with d = |a - b|, phi = int_0^1 x exp(-d x) dx = (exprel(-d) - exp(-d))/d, and where d is
    small its series, sum (-d)^n/(n! (n + 2)): the difference would cancel.
    """
    series = "0"
    for coefficient in reversed(_SERIES):
        series = f"1/{coefficient} - gap_{name}*({series})"
    return f"""
        gap_{name} = abs({a} - {b})
        wide_{name} = max(gap_{name}, 0.25)
        mean_{name} = exprel(-gap_{name})
        quotient_{name} = (exprel(-wide_{name}) - exp(-wide_{name}))/wide_{name}
        phi_{name} = where(gap_{name} < 0.25, {series}, quotient_{name})
        near_{name} = {a}*exp(-min({a}, {b}))
        from_{name} = resistance*near_{name}*mean_{name}
        share_{name} = where({a} < {b}, phi_{name}, mean_{name} - phi_{name})
        ramp_{name} = resistance*exp(1)*{b}*near_{name}*share_{name}
        rise_{name} = exp(1)*{b}
    """


@final
@dataclass(frozen=True)
class AlphaLIF(Neuron):
    """Leaky integrate-and-fire neuron with alpha current synapses.

        tau_m dv/dt = v_rest - v + resistance (i_exc - i_inh + drive + injected)
        tau_e di_exc/dt = e x_exc - i_exc        tau_e dx_exc/dt = -x_exc
        tau_i di_inh/dt = e x_inh - i_inh        tau_i dx_inh/dt = -x_inh

    with e = exp(1). A spike that arrives adds its weight (A, a magnitude) to x_exc or x_inh, so
    the current is weight (t/tau) exp(1 - t/tau): it peaks at `weight` after one tau, and its
    charge is e tau weight, e times that of `LIF` with the same numbers. (The weight of NEST's
    iaf_psc_alpha and of PyNN's IF_curr_alpha, too, is the peak.) All else is as in `LIF`.

    The update is the exact solution (Rotter & Diesmann 1999, Biol. Cybern. 81:381),
    written without the differences of rates that cancel where tau_m is near tau_e or tau_i.

    >>> AlphaLIF(tau_e=3*ms).tau_e
    0.003
    """

    tau_m: float = parameter(20 * ms, "s", above=0)
    """Membrane time constant (s)."""
    tau_e: float = parameter(2 * ms, "s", above=0)
    """Time from arrival to peak of the excitatory synaptic current (s)."""
    tau_i: float = parameter(5 * ms, "s", above=0)
    """Time from arrival to peak of the inhibitory synaptic current (s)."""
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
        di_exc/dt = (exp(1)*x_exc - i_exc)/tau_e : A
        di_inh/dt = (exp(1)*x_inh - i_inh)/tau_i : A
        dx_exc/dt = -x_exc/tau_e : A
        dx_inh/dt = -x_inh/tau_i : A
    """  # noqa: E501
    constants: ClassVar[str] = f"""
        a = dt/tau_m
        b_exc = dt/tau_e
        b_inh = dt/tau_i
        decay_exc = exp(-b_exc)
        decay_inh = exp(-b_inh)
        to_rest = -expm1(-a)
        v_drive = v_rest + resistance*drive
        {_coupling("a", "b_exc", "exc")}
        {_coupling("a", "b_inh", "inh")}
    """
    update: ClassVar[str] = """
        v += (v_drive + resistance*injected - v)*to_rest + (from_exc*i_exc + ramp_exc*x_exc) - (from_inh*i_inh + ramp_inh*x_inh)
        i_exc = (i_exc + rise_exc*x_exc)*decay_exc
        i_inh = (i_inh + rise_inh*x_inh)*decay_inh
        x_exc *= decay_exc
        x_inh *= decay_inh
    """  # noqa: E501
    threshold: ClassVar[str] = "v > v_threshold"
    reset: ClassVar[str] = "v = v_reset"
    initial: ClassVar[str] = "v = v_rest"
    receptors: ClassVar[Mapping[str, str]] = {"excitatory": "x_exc", "inhibitory": "x_inh"}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_reset(self)
