"""A leaky integrate-and-fire neuron with AMPA, GABA_A and NMDA receptors."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from neuroflip.neurons.neuron import Neuron, check_reset
from neuroflip.parameters import parameter
from neuroflip.units import ms, mV, nF, nS


@final
@dataclass(frozen=True)
class ConductanceLIF(Neuron):
    """Leaky integrate-and-fire neuron with conductance synapses.

        C dv/dt = leak (v_rest - v) + (g_ampa + B(v) g_nmda) (e_exc - v) + g_gaba (e_inh - v)
                  + drive + injected
        B(v) = 1/(1 + magnesium/3.57 exp(-62 v/V))
        tau_ampa dg_ampa/dt = -g_ampa             tau_gaba dg_gaba/dt = -g_gaba
        dg_nmda/dt = x_nmda/tau_rise - g_nmda/tau_nmda        tau_rise dx_nmda/dt = -x_nmda

    B is the magnesium block of Jahr & Stevens (1990, J. Neurosci. 10:3178), magnesium in mM. A
    spike is sent when v > v_threshold; v is then set to v_reset and stands still for `refractory`,
    while the conductances go on. Weights are conductances (S, magnitudes): an arriving spike adds
    its weight to g_ampa ("ampa"), g_gaba ("gaba") or g_nmda ("nmda"), at once. At "nmda_slow" it
    adds it to x_nmda, from where it passes into g_nmda with the rise time of the receptor:

        weight tau_nmda/(tau_nmda - tau_rise) (exp(-t/tau_nmda) - exp(-t/tau_rise))

    The defaults are the pyramidal cell of Brunel & Wang (2001, J. Comput. Neurosci. 11:63) and
    Wang (2002, Neuron 36:955), whose interneuron has 0.2 nF, 20 nS and refractory 1 ms. They let
    the gate s of a presynaptic cell saturate, ds/dt = -s/tau_nmda + alpha x (1 - s). With a rise
    much faster than the decay each spike takes s to s + U (1 - s), U = 1 - exp(-alpha tau_rise)
    (0.63 for 0.5/ms and 2 ms). That is what a depressing synapse sends: a projection to "nmda"
    with the rule `rules.ShortTerm(utilization=U, tau_rec=tau_nmda)` gives exactly
    g_nmda = weight s, since the used fraction of its resources obeys the equation of s.

    The integrator is the classical Runge-Kutta method; B(v) leaves no exact solution.

    >>> interneuron = ConductanceLIF(capacitance=0.2*nF, leak=20*nS, refractory=1*ms)
    >>> round(interneuron.block(-0.055), 3)
    0.106
    """

    capacitance: float = parameter(0.5 * nF, "F", above=0)
    """Membrane capacitance C (F)."""
    leak: float = parameter(25 * nS, "S", above=0)
    """Leak conductance (S)."""
    v_rest: float = parameter(-70 * mV, "V")
    """Resting potential, that of the leak (V)."""
    v_threshold: float = parameter(-50 * mV, "V")
    """Threshold (V)."""
    v_reset: float = parameter(-55 * mV, "V")
    """Potential after a spike (V); below the threshold."""
    refractory: float = parameter(2 * ms, "s", at_least=0)
    """Absolute refractory period (s)."""
    e_exc: float = parameter(0.0, "V")
    """Reversal potential of AMPA and NMDA receptors (V)."""
    e_inh: float = parameter(-70 * mV, "V")
    """Reversal potential of GABA_A receptors (V)."""
    tau_ampa: float = parameter(2 * ms, "s", above=0)
    """Decay of g_ampa (s)."""
    tau_gaba: float = parameter(5 * ms, "s", above=0)
    """Decay of g_gaba (s)."""
    tau_nmda: float = parameter(100 * ms, "s", above=0)
    """Decay of g_nmda (s)."""
    tau_rise: float = parameter(2 * ms, "s", above=0)
    """Rise of g_nmda for the receptor "nmda_slow" (s)."""
    magnesium: float = parameter(1.0, at_least=0)
    """Extracellular magnesium (mM); without it NMDA receptors are not blocked."""
    drive: float = parameter(0.0, "A")
    """Constant injected current (A)."""

    equations: ClassVar[str] = """
        dv/dt = (leak*(v_rest - v) + (g_ampa + g_nmda/(1 + magnesium/3.57*exp(-62*v)))*(e_exc - v) + g_gaba*(e_inh - v) + drive + injected)/capacitance : V (unless refractory)
        dg_ampa/dt = -g_ampa/tau_ampa : S
        dg_gaba/dt = -g_gaba/tau_gaba : S
        dg_nmda/dt = x_nmda/tau_rise - g_nmda/tau_nmda : S
        dx_nmda/dt = -x_nmda/tau_rise : S
    """  # noqa: E501
    method: ClassVar[str] = "rk4"
    threshold: ClassVar[str] = "v > v_threshold"
    reset: ClassVar[str] = "v = v_reset"
    initial: ClassVar[str] = "v = v_rest"
    receptors: ClassVar[Mapping[str, str]] = {
        "ampa": "g_ampa",
        "gaba": "g_gaba",
        "nmda": "g_nmda",
        "nmda_slow": "x_nmda",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        check_reset(self)

    def membrane(self) -> tuple[float, float]:
        """Time constant C/leak (s) and resistance 1/leak (ohm) without synaptic conductances.

        >>> ConductanceLIF().membrane()
        (0.02, 40000000.0)
        """
        return self.capacitance / self.leak, 1.0 / self.leak

    def block(self, v: float) -> float:
        """The fraction B of g_nmda that is not blocked at potential v (V)."""
        return 1.0 / (1.0 + self.magnesium / 3.57 * math.exp(-62.0 * v))
