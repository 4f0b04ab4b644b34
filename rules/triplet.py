"""Spike-timing-dependent plasticity of triplets of spikes."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

from neuroflip.errors import nearest
from neuroflip.parameters import choice, parameter
from neuroflip.rules.rule import Declaration, Rule
from neuroflip.units import ms


@final
@dataclass(frozen=True)
class TripletSTDP(Rule):
    """Triplet STDP (Pfister & Gerstner 2006, J. Neurosci. 26:9673, eqs. 3 and 4).

    Two presynaptic traces and two postsynaptic ones, with W = w_max - w_min:

        dr1/dt = -r1/tau_plus   dr2/dt = -r2/tau_x   do1/dt = -o1/tau_minus   do2/dt = -o2/tau_y
        at a presynaptic spike:   w -= W o1 (a2_minus + a3_minus r2);  then r1 += 1, r2 += 1
        at a postsynaptic spike:  w += W r1 (a2_plus + a3_plus o2);    then o1 += 1, o2 += 1

    so that r2 and o2 are read as they were before the spike. With pairing="nearest" the traces
    are set to 1 instead. w is clipped to [w_min, w_max] after each event. A presynaptic and a
    postsynaptic spike of one step are taken in that order, as a pair that potentiates.

    The defaults are the full all-to-all set for visual cortex; `preset` has the published ones.

    >>> round(TripletSTDP().window(-10*ms, weight=0.5), 6)
    -0.005203
    """

    tau_plus: float = parameter(16.8 * ms, "s", above=0)
    """Time constant of the fast presynaptic trace, for potentiation (s)."""
    tau_minus: float = parameter(33.7 * ms, "s", above=0)
    """Time constant of the fast postsynaptic trace, for depression (s)."""
    tau_x: float = parameter(101 * ms, "s", above=0)
    """Time constant of the slow presynaptic trace, for triplets that depress (s)."""
    tau_y: float = parameter(125 * ms, "s", above=0)
    """Time constant of the slow postsynaptic trace, for triplets that potentiate (s)."""
    a2_plus: float = parameter(5e-10, at_least=0, at_most=1)
    """Potentiation by a pair at interval 0, in fractions of w_max - w_min."""
    a3_plus: float = parameter(6.2e-3, at_least=0, at_most=1)
    """Potentiation added by an earlier postsynaptic spike, in fractions of w_max - w_min."""
    a2_minus: float = parameter(7e-3, at_least=0, at_most=1)
    """Depression by a pair at interval 0, in fractions of w_max - w_min."""
    a3_minus: float = parameter(2.3e-4, at_least=0, at_most=1)
    """Depression added by an earlier presynaptic spike, in fractions of w_max - w_min."""
    w_min: float = parameter(0.0)
    """Lower bound, in the unit of the weight."""
    w_max: float = parameter(1.0)
    """Upper bound, in the unit of the weight."""
    pairing: str = choice("all", "nearest")
    """Whether a trace sums over all earlier spikes, or knows the last one alone."""

    equations: ClassVar[str] = """
        dr1/dt = -r1/tau_plus
        dr2/dt = -r2/tau_x
        do1/dt = -o1/tau_minus
        do2/dt = -o2/tau_y
    """
    on_pre: ClassVar[str] = """
        w -= (w_max - w_min)*o1*(a2_minus + a3_minus*r2)
        r1 += 1
        r2 += 1
    """
    on_post: ClassVar[str] = """
        w += (w_max - w_min)*r1*(a2_plus + a3_plus*o2)
        o1 += 1
        o2 += 1
    """

    def declare(self) -> Declaration:
        """The text for this pairing."""
        nearest_only = self.pairing == "nearest"
        on_pre, on_post = (
            text.replace("+= 1", "= 1") if nearest_only else text
            for text in (self.on_pre, self.on_post)
        )
        return Declaration(self.equations, on_pre, on_post)

    @classmethod
    def preset(cls, name: str, w_min: float = 0.0, w_max: float = 1.0) -> "TripletSTDP":
        """A published parameter set (Pfister & Gerstner 2006).

        name: "visual" (fitted to Sjoestroem et al. 2001) or "hippocampal" (to Wang et al. 2005),
        "all" or "nearest" (which spikes interact), "full" or "minimal" (without the terms that
        the fit does not need), joined by "_". w_min, w_max: bounds, in the unit of the weight.

        Raises ValueError for an unknown name, with the nearest known one.

        >>> TripletSTDP.preset("hippocampal_nearest_minimal").tau_y
        0.048
        >>> TripletSTDP.preset("visual_all")
        Traceback (most recent call last):
            ...
        ValueError: TripletSTDP.preset: unknown 'visual_all'; did you mean 'visual_all_full'?
        """
        if name not in PRESETS:
            known = nearest(str(name), PRESETS)
            raise ValueError(f"TripletSTDP.preset: unknown {name!r}; {known}")
        a2_plus, a3_plus, a2_minus, a3_minus, tau_x, tau_y = PRESETS[name]
        return cls(
            tau_x=tau_x, tau_y=tau_y, a2_plus=a2_plus, a3_plus=a3_plus, a2_minus=a2_minus,
            a3_minus=a3_minus, w_min=w_min, w_max=w_max,
            pairing="nearest" if "_nearest_" in name else "all",
        )  # fmt: skip

    def window(self, interval: float, weight: float) -> float:
        """Change by one pair at rest, where the triplet terms are silent; potentiation from
        interval 0 on. Not clipped to the bounds."""
        span = self.w_max - self.w_min
        if interval >= 0:
            return self.a2_plus * span * math.exp(-interval / self.tau_plus)
        return -self.a2_minus * span * math.exp(interval / self.tau_minus)


PRESETS: dict[str, tuple[float, float, float, float, float, float]] = {
    "visual_all_full": (5e-10, 6.2e-3, 7e-3, 2.3e-4, 101 * ms, 125 * ms),
    "visual_all_minimal": (0.0, 6.5e-3, 7.1e-3, 0.0, 101 * ms, 114 * ms),
    "visual_nearest_full": (8.8e-11, 5.3e-2, 6.6e-3, 3.1e-3, 714 * ms, 40 * ms),
    "visual_nearest_minimal": (0.0, 5e-2, 8e-3, 0.0, 714 * ms, 40 * ms),
    "hippocampal_all_full": (6.1e-3, 6.7e-3, 1.6e-3, 1.4e-3, 946 * ms, 27 * ms),
    "hippocampal_all_minimal": (5.3e-3, 8e-3, 3.5e-3, 0.0, 946 * ms, 40 * ms),
    "hippocampal_nearest_full": (4.6e-3, 9.1e-3, 3e-3, 7.5e-9, 575 * ms, 47 * ms),
    "hippocampal_nearest_minimal": (4.6e-3, 9.1e-3, 3e-3, 0.0, 575 * ms, 48 * ms),
}
"""The published sets: a2_plus, a3_plus, a2_minus, a3_minus, tau_x and tau_y (s). tau_plus and
tau_minus are 16.8 and 33.7 ms in all. In minimal sets tau_x has no effect, as a3_minus is 0.
The a3_minus of hippocampal_all_full is printed as 1.4e-4 in some code; only 1.4e-3 gives the
pre-post-pre changes that were measured (`python -m neuroflip.sims.triplet_data`)."""
