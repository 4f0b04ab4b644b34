"""A leaky integrate-and-fire neuron whose threshold adapts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from neuroflip.neurons.neuron import Neuron, check_reset
from neuroflip.parameters import parameter
from neuroflip.units import Mohm, ms, mV


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
        check_reset(self)
