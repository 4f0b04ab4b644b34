"""The multi-quadratic integrate-and-fire neuron."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from neuroflip.neurons.checks import check_below
from neuroflip.neurons.neuron import Neuron
from neuroflip.parameters import parameter
from neuroflip.units import ms, mV, pA, pF, uS


@final
@dataclass(frozen=True)
class MQIF(Neuron):
    """Multi-quadratic integrate-and-fire neuron, with current and delta synapses.

        C dv/dt = g_f (v - v_f0)^2 - g_s (v_s - v_s0)^2 - g_u (v_u - v_u0)^2
                  + i_exc - i_inh + drive + injected
        tau_s dv_s/dt = v - v_s        tau_u dv_u/dt = v - v_u
        tau_e di_exc/dt = -i_exc       tau_i di_inh/dt = -i_inh

    A spike is sent when v > v_threshold; then v = v_f0, v_s = v_sr and v_u grows by dv_u
    (Van Pottelbergh, Drion & Sepulchre 2018, Neural Comput. 30:987; ModelDB 235138). g_f is the
    fast positive feedback, g_s the slow one, restorative where v_s > v_s0 and regenerative below,
    g_u the ultraslow one. Receptors "excitatory" and "inhibitory" add a weight (A, a magnitude) to
    i_exc and i_inh, "delta" adds one of either sign (V) to v. v stands still for `refractory` (0
    in the paper), all else goes on.

    The published numbers have no units but mV and ms: C is 1, g_f 1, I 0.23. They stand here
    multiplied by 100 pF, 100 pA/mV^2 and 100 pA, which leaves the potential what it is. The
    defaults are the bistable neuron of the paper: silent or firing at one and the same drive.

    Where v is above v_threshold the slow equations read v_threshold in its place: the last step
    before a spike may carry v far beyond. The integrator is the classical Runge-Kutta method.
    The model has no passive membrane, so `nf.NoiseInput` does not apply; a noise current is a
    `nf.CurrentInput`.

    >>> MQIF(drive=0).drive
    0.0
    """

    capacitance: float = parameter(100 * pF, "F", above=0)
    """Membrane capacitance C (F)."""
    g_f: float = parameter(100 * uS, "S/V", above=0)
    """Fast quadratic conductance (S/V = A/V^2)."""
    g_s: float = parameter(20 * uS, "S/V", at_least=0)
    """Slow quadratic conductance (S/V)."""
    g_u: float = parameter(0.0, "S/V", at_least=0)
    """Ultraslow quadratic conductance (S/V)."""
    v_f0: float = parameter(-40 * mV, "V")
    """Balance of the fast feedback, and potential after a spike (V); below the threshold."""
    v_s0: float = parameter(-35 * mV, "V")
    """Balance of the slow feedback (V)."""
    v_u0: float = parameter(-40 * mV, "V")
    """Balance of the ultraslow feedback (V)."""
    tau_s: float = parameter(10 * ms, "s", above=0)
    """Time constant of v_s (s)."""
    tau_u: float = parameter(100 * ms, "s", above=0)
    """Time constant of v_u (s)."""
    v_threshold: float = parameter(-30 * mV, "V")
    """Threshold (V)."""
    v_sr: float = parameter(-30 * mV, "V")
    """v_s after a spike (V)."""
    dv_u: float = parameter(0.0, "V")
    """Rise of v_u at each spike (V)."""
    refractory: float = parameter(0.0, "s", at_least=0)
    """Absolute refractory period (s)."""
    tau_e: float = parameter(5 * ms, "s", above=0)
    """Decay of the excitatory synaptic current (s)."""
    tau_i: float = parameter(20 * ms, "s", above=0)
    """Decay of the inhibitory synaptic current (s)."""
    drive: float = parameter(23 * pA, "A")
    """Constant injected current (A)."""

    equations: ClassVar[str] = """
        dv/dt = (g_f*(v - v_f0)*(v - v_f0) - g_s*(v_s - v_s0)*(v_s - v_s0) - g_u*(v_u - v_u0)*(v_u - v_u0) + i_exc - i_inh + drive + injected)/capacitance : V (unless refractory)
        dv_s/dt = (min(v, v_threshold) - v_s)/tau_s : V
        dv_u/dt = (min(v, v_threshold) - v_u)/tau_u : V
        di_exc/dt = -i_exc/tau_e : A
        di_inh/dt = -i_inh/tau_i : A
    """  # noqa: E501
    method: ClassVar[str] = "rk4"
    tolerance: ClassVar[float] = 1e-9  # the upstroke enlarges the rounding of the slow part
    threshold: ClassVar[str] = "v > v_threshold"
    reset: ClassVar[str] = """
        v = v_f0
        v_s = v_sr
        v_u += dv_u
    """
    initial: ClassVar[str] = """
        v = v_f0
        v_s = v_f0
        v_u = v_f0
    """
    receptors: ClassVar[Mapping[str, str]] = {
        "excitatory": "i_exc",
        "inhibitory": "i_inh",
        "delta": "v",
    }
    signed_receptors: ClassVar[frozenset[str]] = frozenset({"delta"})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_below(self, "v_f0", "v_threshold")
