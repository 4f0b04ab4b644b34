"""Bistable synapses: the calcium-based one of Graupner and Brunel, and drift alone."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, final

from neuroflip.errors import nearest
from neuroflip.parameters import parameter
from neuroflip.rules.rule import Rule
from neuroflip.units import ms

CALCIUM_DELAY = MappingProxyType(
    {
        "DP": 13.7 * ms,
        "DPD": 4.6 * ms,
        "DPD'": 2.2 * ms,
        "P": 0.0,
        "D": 0.0,
        "D'": 0.0,
        "hippocampal slices": 18.8008 * ms,
        "hippocampal cultures": 10 * ms,
        "cortical slices": 4.6098 * ms,
    }
)
"""The delay D (s) of the presynaptic calcium transient in each set of `GraupnerBrunel.preset`."""

_NAMES = ("tau_ca", "c_pre", "c_post", "theta_p", "gamma_d", "gamma_p", "tau")
_PRESETS = {
    "DP": (20 * ms, 1.0, 2.0, 1.3, 200.0, 321.808, 150.0),
    "DPD": (20 * ms, 0.9, 0.9, 1.3, 250.0, 550.0, 150.0),
    "DPD'": (20 * ms, 1.0, 2.0, 2.5, 50.0, 600.0, 150.0),
    "P": (20 * ms, 2.0, 2.0, 1.3, 160.0, 257.447, 150.0),
    "D": (20 * ms, 0.6, 0.6, 1.3, 500.0, 550.0, 150.0),
    "D'": (20 * ms, 1.0, 2.0, 3.5, 60.0, 600.0, 150.0),
    "hippocampal slices": (48.8373 * ms, 1.0, 0.275865, 1.3, 313.0965, 1645.59, 688.355),
    "hippocampal cultures": (11.9536 * ms, 0.58156, 1.76444, 1.3, 61.141, 113.6545, 33.7596),
    "cortical slices": (22.6936 * ms, 0.5617539, 1.23964, 1.3, 331.909, 725.085, 346.3615),
}


@final
@dataclass(frozen=True)
class GraupnerBrunel(Rule):
    """The calcium-based bistable synapse (Graupner & Brunel 2012, PNAS 109:3991, eq. 1).

    A flip-flop in one synapse: at rest its efficacy rho drifts to one of the two stable states 0
    and 1, away from the unstable rho_star; calcium above the thresholds theta_d and theta_p
    drives it down and up.

        tau drho/dt = -rho (1 - rho)(rho_star - rho) + gamma_p (1 - rho) [c > theta_p]
                      - gamma_d rho [c > theta_d]
        dc/dt = -c/tau_ca,  c += c_pre at a presynaptic, c += c_post at a postsynaptic spike

    The weight itself is the state, rho = (w - w_min)/(w_max - w_min): the paper's
    w = w0 + rho (w1 - w0) with w0 = w_min, w1 = w_max, so that initial weights say where each
    synapse starts. It is integrated by forward Euler, calcium exactly.

    The paper delays the presynaptic calcium by D after the spike: give that as `axonal_delay` of
    the projection (what the spike passes on to the soma is delayed with it). Its noise term is
    left out: engines draw no random numbers. Without noise a synapse that starts at 0 or 1 leaves
    it only by calcium.

    `preset` gives the published parameter sets. Defaults are its "DP".

    >>> GraupnerBrunel() == GraupnerBrunel.preset("DP")
    True
    >>> GraupnerBrunel(tau=0)
    Traceback (most recent call last):
        ...
    ValueError: GraupnerBrunel.tau must be above 0 s; got 0.0.
    """

    tau: float = parameter(150.0, "s", above=0)
    """Time constant of the efficacy (s)."""
    rho_star: float = parameter(0.5, above=0)
    """The unstable fixed point, between 0 and 1, that divides the two basins."""
    gamma_p: float = parameter(321.808, at_least=0)
    """Rate of potentiation, in units of 1/tau."""
    gamma_d: float = parameter(200.0, at_least=0)
    """Rate of depression, in units of 1/tau."""
    theta_p: float = parameter(1.3, above=0)
    """Calcium above which the synapse potentiates."""
    theta_d: float = parameter(1.0, above=0)
    """Calcium above which the synapse depresses."""
    c_pre: float = parameter(1.0, at_least=0)
    """Calcium of a presynaptic spike."""
    c_post: float = parameter(2.0, at_least=0)
    """Calcium of a postsynaptic spike."""
    tau_ca: float = parameter(20 * ms, "s", above=0)
    """Decay of calcium (s)."""
    w_min: float = parameter(0.0)
    """Weight of a synapse that is down (rho = 0)."""
    w_max: float = parameter(1.0)
    """Weight of a synapse that is up (rho = 1)."""

    equations: ClassVar[str] = (
        "dc/dt = -c/tau_ca\n"
        "dw/dt = ((w - w_min)*(w_max - w)/(w_max - w_min)*((w - w_min)/(w_max - w_min) - rho_star)"
        " + where(c > theta_p, gamma_p*(w_max - w), 0)"
        " - where(c > theta_d, gamma_d*(w - w_min), 0))/tau"
    )
    on_pre: ClassVar[str] = "c += c_pre"
    on_post: ClassVar[str] = "c += c_post"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rho_star >= 1:
            raise ValueError(f"GraupnerBrunel.rho_star must be below 1; got {self.rho_star!r}.")

    @classmethod
    def preset(cls, name: str, **changes: Any) -> "GraupnerBrunel":
        """A published parameter set, with `changes` such as w_max.

        "DP", "DPD", "DPD'", "P", "D", "D'": the shapes of window of the paper's Fig. 2 (pairs of
        one pre- and one postsynaptic spike at 1 Hz; D depression, P potentiation, from negative
        to positive interval). "hippocampal slices", "hippocampal cultures", "cortical slices": its
        fits to data. Values as in the authors' published scripts; rho_star is 0.5 and theta_d 1
        in all. `rules.calcium.CALCIUM_DELAY[name]` is the delay D that belongs to a set.

        Raises ValueError for an unknown name.

        >>> GraupnerBrunel.preset("cortical slices", w_max=2.0).gamma_p
        725.085
        """
        if name not in _PRESETS:
            raise ValueError(f"GraupnerBrunel: unknown preset {name!r}; {nearest(name, _PRESETS)}")
        return cls(**{**dict(zip(_NAMES, _PRESETS[name], strict=True)), **changes})


@final
@dataclass(frozen=True)
class BistableSynapse(Rule):
    """Drift of the weight to the nearer of two stable states (Brader, Senn & Fusi 2007).

        dw/dt = (w_max - w_min) drift_up     above   w_min + threshold (w_max - w_min)
        dw/dt = -(w_max - w_min) drift_down  elsewhere

    and w is held within w_min and w_max, which are the two states. It learns nothing by itself;
    added to a rule that does, `rules.Sum(rules.PairSTDP(...), rules.BistableSynapse(...))`, it
    keeps what crossed the threshold and forgets what did not (Neural Comput. 19:2881). The speed,
    3.5/s both ways, and the threshold are commonly quoted from the paper.

    >>> BistableSynapse(threshold=1.5)
    Traceback (most recent call last):
        ...
    ValueError: BistableSynapse.threshold must be between 0 and 1; got 1.5.
    """

    threshold: float = parameter(0.5, above=0)
    """Where the two basins meet, in fractions of w_max - w_min above w_min."""
    drift_up: float = parameter(3.5, at_least=0)
    """Speed above the threshold, in fractions of w_max - w_min a second (1/s)."""
    drift_down: float = parameter(3.5, at_least=0)
    """Speed below the threshold, in fractions of w_max - w_min a second (1/s)."""
    w_min: float = parameter(0.0)
    """The lower stable state, in the unit of the weight."""
    w_max: float = parameter(1.0)
    """The upper stable state, in the unit of the weight."""

    equations: ClassVar[str] = (
        "dw/dt = (w_max - w_min)"
        "*where(w > w_min + threshold*(w_max - w_min), drift_up, -drift_down)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threshold >= 1:
            raise ValueError(
                f"BistableSynapse.threshold must be between 0 and 1; got {self.threshold!r}."
            )
