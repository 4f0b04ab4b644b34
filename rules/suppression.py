"""Spike-timing-dependent plasticity in which spikes suppress those after them."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

from neuroflip.parameters import parameter
from neuroflip.rules.rule import Rule
from neuroflip.units import ms


@final
@dataclass(frozen=True)
class FroemkeDanSTDP(Rule):
    """Pair STDP in which each spike is suppressed by the one before it (Froemke & Dan 2002,
    Nature 416:433).

    Spike k of a neuron has the efficacy e_k = 1 - exp(-(t_k - t_(k-1))/tau_s), 1 for the first,
    and every pair of a presynaptic spike i and a postsynaptic spike j adds

        e_i e_j W a_plus exp(-(t_j - t_i)/tau_plus)       where t_j >= t_i
        -e_i e_j W a_minus exp(-(t_i - t_j)/tau_minus)    where t_j < t_i

    with W = w_max - w_min; w is clipped to [w_min, w_max] after each event. So the first spikes
    of a burst decide: pre-post-pre potentiates, post-pre-post depresses.

    The time constants are those commonly quoted from the paper for visual cortex, layer 2/3. Its
    amplitudes are commonly quoted as 1.03 and 0.51 for a whole protocol of pairings; here they
    are a hundredth of that, for a single pair.

    >>> rule = FroemkeDanSTDP()
    >>> [round(rule.window(t, weight=0.5), 5) for t in (-10*ms, 10*ms)]
    [-0.00382, 0.00486]
    """

    tau_plus: float = parameter(13.3 * ms, "s", above=0)
    """Time constant of the potentiating window (s)."""
    tau_minus: float = parameter(34.5 * ms, "s", above=0)
    """Time constant of the depressing window (s)."""
    tau_pre: float = parameter(28 * ms, "s", above=0)
    """Time constant of the recovery of presynaptic efficacy (s)."""
    tau_post: float = parameter(88 * ms, "s", above=0)
    """Time constant of the recovery of postsynaptic efficacy (s)."""
    a_plus: float = parameter(0.0103, at_least=0, at_most=1)
    """Potentiation by one pair at interval 0, in fractions of w_max - w_min."""
    a_minus: float = parameter(0.0051, at_least=0, at_most=1)
    """Depression by one pair at interval 0, in fractions of w_max - w_min."""
    w_min: float = parameter(0.0)
    """Lower bound, in the unit of the weight."""
    w_max: float = parameter(1.0)
    """Upper bound, in the unit of the weight."""

    equations: ClassVar[str] = """
        dx/dt = -x/tau_plus
        dy/dt = -y/tau_minus
        dp/dt = -p/tau_pre    # 1 - p and 1 - q are the efficacies
        dq/dt = -q/tau_post
    """
    on_pre: ClassVar[str] = """
        w -= a_minus*(w_max - w_min)*(1 - p)*y
        x += 1 - p
        p = 1
    """
    on_post: ClassVar[str] = """
        w += a_plus*(w_max - w_min)*(1 - q)*x
        y += 1 - q
        q = 1
    """

    def window(self, interval: float, weight: float) -> float:
        """Change by one pair of first spikes; potentiation from interval 0 on. Not clipped."""
        span = self.w_max - self.w_min
        if interval >= 0:
            return self.a_plus * span * math.exp(-interval / self.tau_plus)
        return -self.a_minus * span * math.exp(interval / self.tau_minus)
