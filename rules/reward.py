"""Plasticity that a reward gates: the third factor is the signal "reward" of a run."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

from neuroflip.parameters import parameter
from neuroflip.rules.rule import Rule
from neuroflip.units import ms


@final
@dataclass(frozen=True)
class RewardSTDP(Rule):
    """STDP linked to dopamine by an eligibility trace (Izhikevich 2007, Cereb. Cortex 17:2443).

    Pairs of spikes change not the weight but the eligibility c, as additive pair STDP would;
    reward releases dopamine d; both decay, and their product changes the weight:

        dx/dt = -x/tau_plus     dy/dt = -y/tau_minus      traces, raised by 1 at each spike
        at a presynaptic spike: c -= a_minus y     at a postsynaptic spike: c += a_plus x
        dc/dt = -c/tau_c        dd/dt = -d/tau_d + reward
        dw/dt = (w_max - w_min) c d

    So a reward that comes seconds after a pair still reaches the synapse that caused it. w is held
    within w_min and w_max. d and w are integrated by forward Euler, the other decays exactly.

    reward: the signal of the run, dopamine released a second; one step of dt with amplitude 1/dt
    releases 1. It may be negative.

    Time constants as in the paper (tau_c 1 s, tau_d 200 ms) and 20 ms for both traces, with
    a_minus = 1.5 a_plus as in NEST's `stdp_dopamine_synapse`.

    >>> RewardSTDP().model().signals
    ('reward',)
    >>> RewardSTDP(tau_c=0)
    Traceback (most recent call last):
        ...
    ValueError: RewardSTDP.tau_c must be above 0 s; got 0.0.
    """

    tau_plus: float = parameter(20 * ms, "s", above=0)
    """Time constant of the presynaptic trace (s)."""
    tau_minus: float = parameter(20 * ms, "s", above=0)
    """Time constant of the postsynaptic trace (s)."""
    tau_c: float = parameter(1.0, "s", above=0)
    """Decay of the eligibility (s)."""
    tau_d: float = parameter(200 * ms, "s", above=0)
    """Decay of dopamine (s)."""
    a_plus: float = parameter(0.1, at_least=0)
    """Eligibility by a pair at interval 0, pre before post (fractions of w_max - w_min, per
    dopamine and second)."""
    a_minus: float = parameter(0.15, at_least=0)
    """Eligibility taken by a pair at interval 0, post before pre (in the same unit)."""
    w_min: float = parameter(0.0)
    """Lower bound, in the unit of the weight."""
    w_max: float = parameter(1.0)
    """Upper bound, in the unit of the weight."""

    equations: ClassVar[str] = """
        dx/dt = -x/tau_plus
        dy/dt = -y/tau_minus
        dc/dt = -c/tau_c
        dd/dt = -d/tau_d + reward
        dw/dt = (w_max - w_min)*c*d
    """
    on_pre: ClassVar[str] = """
        x += 1
        c -= a_minus*y
    """
    on_post: ClassVar[str] = """
        y += 1
        c += a_plus*x
    """
    signals: ClassVar[tuple[str, ...]] = ("reward",)


@final
@dataclass(frozen=True)
class MSTDP(Rule):
    """Modulated STDP (Florian 2007, Neural Comput. 19:1468): the reward of the moment scales STDP.

    With traces x and y as in `PairSTDP`, and the reward of the step in which a spike arrives,

        at a presynaptic spike:   w -= rate (w_max - w_min) reward a_minus y
        at a postsynaptic spike:  w += rate (w_max - w_min) reward a_plus x

    and w is held within w_min and w_max. (Florian's A_plus is a_plus, his A_minus is -a_minus,
    his gamma is rate.) A negative reward turns the window over. The time constants are commonly
    quoted from the paper.

    reward: the signal of the run.

    >>> MSTDP(rate=-1)
    Traceback (most recent call last):
        ...
    ValueError: MSTDP.rate must be at least 0; got -1.0.
    """

    tau_plus: float = parameter(20 * ms, "s", above=0)
    """Time constant of the presynaptic trace (s)."""
    tau_minus: float = parameter(20 * ms, "s", above=0)
    """Time constant of the postsynaptic trace (s)."""
    a_plus: float = parameter(1.0, at_least=0)
    """Potentiation of a pair at interval 0, relative."""
    a_minus: float = parameter(1.0, at_least=0)
    """Depression of a pair at interval 0, relative."""
    rate: float = parameter(0.01, at_least=0, at_most=1)
    """Change by a pair at unit reward, in fractions of w_max - w_min."""
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
        w -= rate*(w_max - w_min)*reward*a_minus*y
    """
    on_post: ClassVar[str] = """
        y += 1
        w += rate*(w_max - w_min)*reward*a_plus*x
    """
    signals: ClassVar[tuple[str, ...]] = ("reward",)

    def window(self, interval: float, weight: float) -> float:
        """Change of `weight` by one pair, t_post - t_pre = `interval` (s), at reward 1, as the
        spikes reach the synapse; potentiation from interval 0 on. Not clipped to the bounds."""
        scale = self.rate * (self.w_max - self.w_min)
        if interval >= 0:
            return scale * self.a_plus * math.exp(-interval / self.tau_plus)
        return -scale * self.a_minus * math.exp(interval / self.tau_minus)


@final
@dataclass(frozen=True)
class MSTDPET(Rule):
    """Modulated STDP with eligibility trace (Florian 2007, Neural Comput. 19:1468).

    What `MSTDP` would do at unit reward and rate enters a trace z instead, which the reward reads:

        at a presynaptic spike:   z -= a_minus y/tau_z
        at a postsynaptic spike:  z += a_plus x/tau_z
        dz/dt = -z/tau_z          dw/dt = rate (w_max - w_min) reward z

    and w is held within w_min and w_max. Under a constant reward a pair changes w in the end by
    as much as with `MSTDP`. w is integrated by forward Euler, with z and the reward of the start
    of the step, z exactly. tau_z = 25 ms is commonly quoted from the paper.

    reward: the signal of the run.

    >>> MSTDPET(tau_z=0)
    Traceback (most recent call last):
        ...
    ValueError: MSTDPET.tau_z must be above 0 s; got 0.0.
    """

    tau_plus: float = parameter(20 * ms, "s", above=0)
    """Time constant of the presynaptic trace (s)."""
    tau_minus: float = parameter(20 * ms, "s", above=0)
    """Time constant of the postsynaptic trace (s)."""
    tau_z: float = parameter(25 * ms, "s", above=0)
    """Decay of the eligibility (s)."""
    a_plus: float = parameter(1.0, at_least=0)
    """Potentiation of a pair at interval 0, relative."""
    a_minus: float = parameter(1.0, at_least=0)
    """Depression of a pair at interval 0, relative."""
    rate: float = parameter(0.01, at_least=0, at_most=1)
    """Change by a pair at constant unit reward, in fractions of w_max - w_min."""
    w_min: float = parameter(0.0)
    """Lower bound, in the unit of the weight."""
    w_max: float = parameter(1.0)
    """Upper bound, in the unit of the weight."""

    equations: ClassVar[str] = """
        dx/dt = -x/tau_plus
        dy/dt = -y/tau_minus
        dz/dt = -z/tau_z
        dw/dt = rate*(w_max - w_min)*reward*z
    """
    on_pre: ClassVar[str] = """
        x += 1
        z -= a_minus*y/tau_z
    """
    on_post: ClassVar[str] = """
        y += 1
        z += a_plus*x/tau_z
    """
    signals: ClassVar[tuple[str, ...]] = ("reward",)
