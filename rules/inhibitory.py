"""Plasticity of inhibitory synapses."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

from neuroflip.parameters import parameter
from neuroflip.rules.rule import Rule
from neuroflip.units import ms


@final
@dataclass(frozen=True)
class InhibitorySTDP(Rule):
    """Inhibitory plasticity that brings neurons to a target rate (Vogels, Sprekeler, Zenke,
    Clopath & Gerstner 2011, Science 334:1569, supplement).

    Both orders potentiate, and each presynaptic spike depresses; with W = w_max - w_min,

        dx/dt = -x/tau                  dy/dt = -y/tau
        at a presynaptic spike:   x += 1;  w += rate W (y - alpha)
        at a postsynaptic spike:  y += 1;  w += rate W x

    clipped to [w_min, w_max] after each event, and alpha = 2 target tau. For spikes that are
    independent, the mean change is rate W r_pre 2 tau (r_post - target): an inhibitory synapse
    grows while its neuron fires above the target. Every pair counts; those of one step once.

    >>> InhibitorySTDP(target=5.0).alpha
    0.2
    >>> [round(InhibitorySTDP().window(t, weight=0.5), 6) for t in (-20*ms, 20*ms)]
    [0.000248, 0.000248]
    """

    tau: float = parameter(20 * ms, "s", above=0)
    """Time constant of both traces, and of the window on either side (s)."""
    rate: float = parameter(1e-3, at_least=0, at_most=1)
    """Potentiation by one pair at interval 0, in fractions of w_max - w_min."""
    target: float = parameter(3.0, "Hz", at_least=0)
    """Rate of the postsynaptic neuron at which the weight stays (Hz)."""
    w_min: float = parameter(0.0)
    """Lower bound, in the unit of the weight."""
    w_max: float = parameter(1.0)
    """Upper bound, in the unit of the weight."""

    equations: ClassVar[str] = """
        dx/dt = -x/tau
        dy/dt = -y/tau
    """
    on_pre: ClassVar[str] = """
        x += 1
        w += rate*(w_max - w_min)*(y - 2*target*tau)
    """
    on_post: ClassVar[str] = """
        y += 1
        w += rate*(w_max - w_min)*x
    """

    @property
    def alpha(self) -> float:
        """The depression by a presynaptic spike, in units of what a pair at interval 0 adds."""
        return 2 * self.target * self.tau

    def window(self, interval: float, weight: float) -> float:
        """Change by one pair, its presynaptic spike's depression included. Not clipped."""
        pair = math.exp(-abs(interval) / self.tau)
        return self.rate * (self.w_max - self.w_min) * (pair - self.alpha)
