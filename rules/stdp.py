"""Pair-based spike-timing-dependent plasticity."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

from neuroflip.parameters import parameter
from neuroflip.rules.rule import Rule
from neuroflip.units import ms


@final
@dataclass(frozen=True)
class PairSTDP(Rule):
    """Pair STDP with all-to-all traces, additive to multiplicative, with hard bounds.

    Each presynaptic spike raises the trace x by 1, each postsynaptic spike the trace y;
    with W = w_max - w_min,

        dx/dt = -x/tau_plus             dy/dt = -y/tau_minus
        at a presynaptic spike:   w -= a_minus W ((w - w_min)/W)**mu_minus y
        at a postsynaptic spike:  w += a_plus  W ((w_max - w)/W)**mu_plus  x

    and w is clipped to [w_min, w_max] after each event. mu = 0 is the additive rule (Song,
    Miller & Abbott 2000, Nat. Neurosci. 3:919), mu = 1 the multiplicative one, values between
    interpolate (Guetig et al. 2003, J. Neurosci. 23:3697, eq. 3).

    Every pair of spikes counts. A presynaptic and a postsynaptic spike that reach the synapse in
    the same step potentiate (the presynaptic one is taken first, as in Brian2).

    >>> rule = PairSTDP(w_max=2.0, mu_plus=1.0, mu_minus=1.0)
    >>> round(rule.window(10*ms, weight=1.0), 6)
    0.006065
    >>> PairSTDP(tau_plus=0)
    Traceback (most recent call last):
        ...
    ValueError: PairSTDP.tau_plus must be above 0 s; got 0.0.
    """

    tau_plus: float = parameter(20 * ms, "s", above=0)
    """Time constant of the presynaptic trace, and of the potentiating window (s)."""
    tau_minus: float = parameter(20 * ms, "s", above=0)
    """Time constant of the postsynaptic trace, and of the depressing window (s)."""
    a_plus: float = parameter(0.01, at_least=0)
    """Potentiation of one pair at interval 0, in fractions of w_max - w_min."""
    a_minus: float = parameter(0.0105, at_least=0)
    """Depression of one pair at interval 0, in fractions of w_max - w_min."""
    mu_plus: float = parameter(0.0, at_least=0)
    """Exponent of the weight dependence of potentiation; 0 additive, 1 multiplicative."""
    mu_minus: float = parameter(0.0, at_least=0)
    """Exponent of the weight dependence of depression; 0 additive, 1 multiplicative."""
    w_min: float = parameter(0.0)
    """Lower bound, in the unit of the weight."""
    w_max: float = parameter(1.0)
    """Upper bound, in the unit of the weight."""

    equations: ClassVar[str] = """
        dx/dt = -x/tau_plus
        dy/dt = -y/tau_minus
    """
    on_pre: ClassVar[str] = """
        x += 1
        w = clip(w - a_minus*(w_max - w_min)*((w - w_min)/(w_max - w_min))**mu_minus*y, w_min, w_max)
    """  # noqa: E501
    on_post: ClassVar[str] = """
        y += 1
        w = clip(w + a_plus*(w_max - w_min)*((w_max - w)/(w_max - w_min))**mu_plus*x, w_min, w_max)
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.w_min >= self.w_max:
            raise ValueError(
                f"PairSTDP.w_max must be above w_min ({self.w_min!r}); got {self.w_max!r}."
            )

    def window(self, interval: float, weight: float) -> float:
        """Change of `weight` by one pair, t_post - t_pre = `interval` (s), as the spikes reach
        the synapse; potentiation from interval 0 on. Not clipped to the bounds."""
        span = self.w_max - self.w_min
        if interval >= 0:
            room = math.pow((self.w_max - weight) / span, self.mu_plus)
            return self.a_plus * span * room * math.exp(-interval / self.tau_plus)
        room = math.pow((weight - self.w_min) / span, self.mu_minus)
        return -self.a_minus * span * room * math.exp(interval / self.tau_minus)
