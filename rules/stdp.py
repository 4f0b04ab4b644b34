"""Pair-based spike-timing-dependent plasticity."""

import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, final

from neuroflip.errors import nearest
from neuroflip.parameters import choice, parameter
from neuroflip.rules.rule import Declaration, Rule
from neuroflip.units import as_float, ms

# What one pair at interval 0 does to the weight, for a trace of 1; by `base_plus`
_UP = {
    "room": "a_plus*(w_max - w_min)*((w_max - w)/(w_max - w_min))**mu_plus",
    "weight": "a_plus*(w_max - w_min)*((w - w_min)/(w_max - w_min))**mu_plus",
}
_DOWN = "a_minus*(w_max - w_min)*((w - w_min)/(w_max - w_min))**mu_minus"


@final
@dataclass(frozen=True)
class PairSTDP(Rule):
    """Pair STDP, additive to multiplicative or by a power law, with hard bounds; its conventions
    are options.

    Each presynaptic spike raises the trace x by 1, each postsynaptic spike the trace y;
    with W = w_max - w_min,

        dx/dt = -x/tau_plus             dy/dt = -y/tau_minus
        at a presynaptic spike:   w -= a_minus W ((w - w_min)/W)**mu_minus y
        at a postsynaptic spike:  w += a_plus  W ((w_max - w)/W)**mu_plus  x

    and w is clipped to [w_min, w_max]. mu = 0 is the additive rule (Song, Miller & Abbott 2000,
    Nat. Neurosci. 3:919), mu = 1 the multiplicative one, values between interpolate (Guetig et
    al. 2003, J. Neurosci. 23:3697, eq. 3). With base_plus = "weight" potentiation is a power of
    the weight itself,

        at a postsynaptic spike:  w += a_plus  W ((w - w_min)/W)**mu_plus  x

    which with mu_minus = 1 is the power law that Morrison, Aertsen & Diesmann (2007, Neural
    Comput. 19:1437) fitted to data, lambda w0**(1 - mu) w**mu up and alpha lambda w down: there
    w_min = 0, a_plus = lambda (w0/w_max)**(1 - mu), a_minus = alpha lambda, mu_plus = mu = 0.4. It
    settles by itself, so that w_max may lie far above the weights.

    `pairing`, `coincidence`, `order` and `sends` say what simulators do differently under the
    same name; the defaults are Brian2's. `PairSTDP.like` has those of others.

    >>> rule = PairSTDP(w_max=2.0, mu_plus=1.0, mu_minus=1.0)
    >>> round(rule.window(10*ms, weight=1.0), 6)
    0.006065
    >>> PairSTDP(coincidence="depress").window(0.0, weight=0.5)
    -0.0105
    >>> PairSTDP(tau_plus=0)
    Traceback (most recent call last):
        ...
    ValueError: PairSTDP.tau_plus must be above 0 s; got 0.0.
    """

    tau_plus: float = parameter(20 * ms, "s", above=0)
    """Time constant of the presynaptic trace, and of the potentiating window (s)."""
    tau_minus: float = parameter(20 * ms, "s", above=0)
    """Time constant of the postsynaptic trace, and of the depressing window (s)."""
    a_plus: float = parameter(0.01, at_least=0, at_most=1)
    """Potentiation of one pair at interval 0, in fractions of w_max - w_min."""
    a_minus: float = parameter(0.0105, at_least=0, at_most=1)
    """Depression of one pair at interval 0, in fractions of w_max - w_min."""
    mu_plus: float = parameter(0.0, at_least=0)
    """Exponent of the weight dependence of potentiation; 0 additive, 1 multiplicative."""
    mu_minus: float = parameter(0.0, at_least=0)
    """Exponent of the weight dependence of depression; 0 additive, 1 multiplicative."""
    w_min: float = parameter(0.0)
    """Lower bound, in the unit of the weight."""
    w_max: float = parameter(1.0)
    """Upper bound, in the unit of the weight."""
    base_plus: str = choice("room", "weight")
    """What mu_plus is the exponent of: the "room" that is left, w_max - w, or the "weight" itself,
    w - w_min, both as fractions of w_max - w_min."""
    pairing: str = choice("all", "nearest", "presynaptic", "restricted")
    """Which earlier spikes of the other side a spike meets: "all"; the "nearest" one;
    "presynaptic", each presynaptic spike the postsynaptic ones right before and right after it;
    "restricted", the nearest one if no spike of its own side came between (Morrison et al. 2008,
    Biol. Cybern. 98:459, fig. 7A to C)."""
    coincidence: str = choice("potentiate", "depress", "both", "none", "cancel")
    """What a presynaptic and a postsynaptic spike that reach the synapse in one step are to each
    other: a pair that potentiates, depresses, does both, or neither; with "none" each still meets
    earlier spikes, with "cancel" that step changes no weight."""
    order: str = choice("pre", "post", "together")
    """How the changes by two spikes of one step are applied: first those that the presynaptic
    spike brings by itself, clipped, then the rest ("pre"); first potentiation, clipped, then
    depression ("post"); both from the weight before the step, added, clipped once ("together")."""
    sends: str = choice("before", "after")
    """Whether a spike passes on the weight "before" or "after" the depression that it brings; with
    order "post" and coincidence "none" or "depress", potentiation in its step has come before."""
    artefacts: str = choice("none", "nest")
    """Whether to do besides what NEST's "nearest" and "restricted" synapses do: the first
    postsynaptic spikes meet a presynaptic one at time 0 that never was, and with "restricted" a
    postsynaptic spike depresses once more where a coincidence is next."""

    equations: ClassVar[str] = """
        dx/dt = -x/tau_plus
        dy/dt = -y/tau_minus
    """
    on_pre: ClassVar[str] = f"""
        w -= {_DOWN}*y
        x += 1
    """
    on_post: ClassVar[str] = f"""
        w += {_UP["room"]}*x
        y += 1
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.artefacts == "nest" and not (self._post_first and self._nearest):
            raise ValueError(
                "PairSTDP.artefacts 'nest' needs pairing 'nearest' or 'restricted', coincidence "
                f"'none' and order 'post'; got {self.pairing!r}, {self.coincidence!r} and "
                f"{self.order!r}."
            )

    @property
    def _nearest(self) -> bool:
        return self.pairing in ("nearest", "restricted") and self.coincidence == "none"

    @property
    def _post_first(self) -> bool:
        """Whether the postsynaptic spike of a step can run first, as it does not pair with the
        presynaptic one."""
        return self.order == "post" and self.coincidence in ("none", "depress")

    def declare(self) -> Declaration:
        """The text for these options. `met` is exactly 1 if a spike of the side that runs first
        has come in this step: it decays with any time."""
        if self._post_first:
            return self._declare_post_first()
        sent = f"clip(w - {_DOWN}*y, w_min, w_max)" if self.sends == "after" else "w"
        one_up = _UP[self.base_plus]
        chosen = (self.pairing, self.coincidence, self.order)
        if chosen == ("all", "potentiate", "pre"):
            return Declaration(self.equations, self.on_pre, f"w += {one_up}*x\ny += 1", sent)
        sums = self.pairing in ("all", "presynaptic")
        uses_up = self.pairing in ("presynaptic", "restricted")  # a post spike, the pre ones
        restricted = self.pairing == "restricted"
        now = "where(met == 1, 1, 0)"
        y_old = "y0" if restricted else "y"
        y_new = "(y + 1)" if self.pairing == "all" else "1"
        y_used = {"depress": y_new, "both": y_new, "cancel": "0"}.get(self.coincidence, y_old)
        pre_last = self.coincidence in ("depress", "none", "cancel")
        x_used = "x"
        if self.coincidence == "cancel":
            x_used = "where(met == 1, 0, x)"
        elif pre_last:  # without the spike of this step
            x_used = f"(x - {now})" if sums else "where(met == 1, x0, x)"

        up = f"{one_up}*{x_used}"
        restore = "w = where(met == 1, w0, w)"
        down = f"{now}*{_DOWN}*{y_used}"
        if self.order == "pre":
            rest = "" if y_used == y_old else f" - {now}*{_DOWN}*({y_used} - {y_old})"
            changes = [f"w += {up}{rest}"]
        elif self.order == "post":
            changes = [restore, f"w += {up}", f"w -= {down}"]
        else:
            changes = [restore, f"w += {up} - {down}"]
        on_post = [
            *changes,
            "y += 1" if self.pairing == "all" else "y = 1",
            *([f"x = {now if pre_last else 0}"] if uses_up else []),
            *([f"y = 1 - {now}"] if restricted and self.coincidence != "potentiate" else []),
        ]
        before = {"met": "1", "w0": "w", "x0": "x", "y0": "y"}
        kept = {name: value for name, value in before.items() if name in "\n".join(on_post)}
        on_pre = [
            *(f"{name} = {value}" for name, value in kept.items()),
            f"w -= {_DOWN}*y",
            "x += 1" if sums else "x = 1",
            *(["y = 0"] if restricted else []),
        ]
        return Declaration(self._equations(kept), "\n".join(on_pre), "\n".join(on_post), sent)

    def _equations(self, more: Iterable[str]) -> str:
        """Those of the traces, and of more variables."""
        rates = {"met": "-met/tau_plus"}
        return "\n".join([self.equations, *(f"d{v}/dt = {rates.get(v, '0')}" for v in more)])

    def _declare_post_first(self) -> Declaration:
        """Each side meets the other's spikes as they come, but for a `y` that is to be without
        the postsynaptic spike of the step: that is kept as y0."""
        sums, nest = self.pairing in ("all", "presynaptic"), self.artefacts == "nest"
        restricted, none = self.pairing == "restricted", self.coincidence == "none"
        y = "where(met == 1, y0, y)" if none else "y"
        # As it is in NEST: any postsynaptic spike since the last presynaptic one lets the nearest
        # before this one depress
        y = f"fresh*{y}" if nest and restricted else y
        x = "where(seen == 0, exp(-t/tau_plus), x)" if nest else "x"
        on_post = [
            *(["met = 1", "y0 = y"] if none else []),
            f"w += {_UP[self.base_plus]}*{x}",
            "y += 1" if self.pairing == "all" else "y = 1",
            *(["x = 0"] if self.pairing in ("presynaptic", "restricted") else []),
            *(["seen = 1", "fresh = 1"] if nest and restricted else []),
        ]
        on_pre = [
            f"w -= {_DOWN}*{y}",
            "x += 1" if sums else "x = 1",
            *(["fresh = 0" if nest else "y = 0"] if restricted else []),
            *(["seen = 1"] if nest else []),
        ]
        kept = [*(["met", "y0"] if none else []), *(["seen"] if nest else [])]
        kept += ["fresh"] if nest and restricted else []
        sent = f"clip(w - {_DOWN}*{y}, w_min, w_max)" if self.sends == "after" else "w"
        return Declaration(
            self._equations(kept), "\n".join(on_pre), "\n".join(on_post), sent, "post"
        )

    def window(self, interval: float, weight: float) -> float:
        """Change of `weight` by one pair, t_post - t_pre = `interval` (s), as the spikes reach
        the synapse; at interval 0 as `coincidence` says. Not clipped to the bounds.

        Raises NotImplementedError with NEST's artefacts, by which it depends on the time of the
        pair.
        """
        if self.artefacts == "nest":
            raise NotImplementedError("with NEST's artefacts a pair's change depends on its time.")
        span = self.w_max - self.w_min

        def up(w: float) -> float:
            base = self.w_max - w if self.base_plus == "room" else w - self.w_min
            return self.a_plus * span * math.pow(base / span, self.mu_plus)

        def down(w: float) -> float:
            return -self.a_minus * span * math.pow((w - self.w_min) / span, self.mu_minus)

        if interval > 0:
            return up(weight) * math.exp(-interval / self.tau_plus)
        if interval < 0:
            return down(weight) * math.exp(interval / self.tau_minus)
        change = up(weight) if self.coincidence in ("potentiate", "both") else 0.0
        if self.coincidence in ("depress", "both"):
            first = min(weight + change, self.w_max) if self.order == "post" else weight
            change += down(first)
        return change

    @classmethod
    def like(cls, peer: str, **parameters: Any) -> "PairSTDP":
        """The rule with the conventions of another simulator, from parameters in its own names.

        peer: "brian2" (its STDP example), "nest" (stdp_synapse, its nearest-neighbour kin, and the
            power law stdp_pl_synapse_hom), "genn" (STDP), "snntorch", "spikingjelly" (both
            STDPLearner), "bindsnet" (PostPre), "norse" (stdp_step_linear).
        parameters: as the peer calls them, times in s, rates in Hz; `nest` takes its `lambda` as
            `lambda_`. snnTorch and SpikingJelly count time constants in steps, and take functions
            f_pre and f_post: give the number that they return. Those two and Norse decay by
            1 - dt/tau a step; they take `dt` (s), and the rule is theirs when run with it.

        Where a peer sets no bounds, they are w_min and w_max, -1 and 1 by default. NEST's power law
        has no upper one and takes Wmax, 100 by default, and w0, what 1 pA is in the unit of your
        weights, 1 by default. Delays belong to the projection: NEST's is all dendritic, Brian2's
        and GeNN's axonal.

        Raises ValueError for an unknown peer, TypeError for an unknown parameter, both with the
        nearest known name; ValueError for a value out of range.

        >>> PairSTDP.like("norse", tau_pre_inv=100.0, eta_plus=0.1, dt=1*ms).describe()
        'tau_plus 9.49122 ms, tau_minus 49.4983 ms, a_plus 0.01, a_minus 2e-05, mu_plus 0, ...
        >>> PairSTDP.like("nset")
        Traceback (most recent call last):
            ...
        ValueError: PairSTDP.like: unknown peer 'nset'; did you mean 'nest'?
        """
        if peer not in _PEERS:
            raise ValueError(f"PairSTDP.like: unknown peer {peer!r}; {nearest(str(peer), _PEERS)}")
        make = _PEERS[peer]
        if peer == "nest" and parameters.get("synapse_model") == _NEST_POWER_LAW:
            make = _nest_power_law
        known = inspect.signature(make).parameters
        for name in parameters:
            if name not in known:
                raise TypeError(f"{peer} has no parameter {name!r}; {nearest(name, known)}")
        return make(**parameters)


def _brian2(
    taupre: float = 20 * ms,
    taupost: float = 20 * ms,
    dApre: float = 1e-4,
    dApost: float = -1.05e-4,
    gmax: float = 0.01,
) -> PairSTDP:
    return PairSTDP(taupre, taupost, dApre / gmax, -dApost / gmax, w_max=gmax)


_NEST = {
    "stdp_synapse": "all",
    "stdp_nn_symm_synapse": "nearest",
    "stdp_nn_pre_centered_synapse": "presynaptic",
    "stdp_nn_restr_synapse": "restricted",
}
_NEST_POWER_LAW = "stdp_pl_synapse_hom"


def _nest(
    synapse_model: str = "stdp_synapse",
    tau_plus: float = 20 * ms,
    tau_minus: float = 20 * ms,
    lambda_: float = 0.01,
    alpha: float = 1.0,
    mu_plus: float = 1.0,
    mu_minus: float = 1.0,
    Wmax: float = 100.0,
) -> PairSTDP:
    if synapse_model not in _NEST:
        known = nearest(str(synapse_model), [*_NEST, _NEST_POWER_LAW])
        raise ValueError(f"nest: unknown synapse_model {synapse_model!r}; {known}")
    return PairSTDP(
        tau_plus, tau_minus, lambda_, alpha * lambda_, mu_plus, mu_minus, w_max=Wmax,
        pairing=_NEST[synapse_model], coincidence="none", order="post", sends="after",
        artefacts="nest" if _NEST[synapse_model] in ("nearest", "restricted") else "none",
    )  # fmt: skip


def _nest_power_law(
    synapse_model: str,
    tau_plus: float = 20 * ms,
    tau_minus: float = 20 * ms,
    lambda_: float = 0.1,
    alpha: float = 1.0,
    mu: float = 0.4,
    w0: float = 1.0,
    Wmax: float = 100.0,
) -> PairSTDP:
    if not (Wmax > 0 and w0 > 0):
        raise ValueError(f"nest: w0 and Wmax must be above 0; got {w0!r} and {Wmax!r}.")
    return PairSTDP(
        tau_plus, tau_minus, lambda_ * math.pow(w0 / Wmax, 1 - mu), alpha * lambda_, mu, 1.0,
        w_max=Wmax, base_plus="weight", coincidence="none", order="post", sends="after",
    )  # fmt: skip


def _genn(
    tauPlus: float = 20 * ms,
    tauMinus: float = 20 * ms,
    Aplus: float = 0.01,
    Aminus: float = 0.0105,
    Wmin: float = 0.0,
    Wmax: float = 1.0,
) -> PairSTDP:
    span = Wmax - Wmin
    return PairSTDP(
        tauPlus, tauMinus, Aplus / span, Aminus / span, w_min=Wmin, w_max=Wmax,
        pairing="nearest", coincidence="cancel", order="together",
    )  # fmt: skip


def _stepwise(per_step: float, dt: float, name: str) -> float:
    """The time constant (s) of an exponential that decays by 1 - per_step in a step of dt (s)."""
    if not 0 < per_step < 1:
        raise ValueError(f"{name} must be above one step; got a decay by {per_step:g} a step.")
    return -dt / math.log1p(-per_step)


def _snntorch(
    tau_pre: float = 20.0,
    tau_post: float = 20.0,
    f_pre: float = 0.01,
    f_post: float = 0.01,
    scale: float = 1.0,
    w_min: float = -1.0,
    w_max: float = 1.0,
    dt: float = 1 * ms,
) -> PairSTDP:
    dt = as_float(dt, "s", "dt")
    size = scale / (w_max - w_min)
    return PairSTDP(
        _stepwise(1 / tau_pre, dt, "tau_pre"), _stepwise(1 / tau_post, dt, "tau_post"),
        f_post * size, f_pre * size, w_min=w_min, w_max=w_max, coincidence="both",
    )  # fmt: skip


def _bindsnet(
    nu: tuple[float, float] = (1e-4, 1e-2),
    source_tc_trace: float = 20 * ms,
    target_tc_trace: float = 20 * ms,
    traces_additive: bool = False,
    wmin: float = -1.0,
    wmax: float = 1.0,
) -> PairSTDP:
    span = wmax - wmin
    return PairSTDP(
        source_tc_trace, target_tc_trace, nu[1] / span, nu[0] / span, w_min=wmin, w_max=wmax,
        pairing="all" if traces_additive else "nearest", coincidence="both", order="together",
    )  # fmt: skip


_NORSE = ("additive", "multiplicative_pow", "multiplicative_relu")


def _norse(
    a_pre: float = 1.0,
    a_post: float = 1.0,
    tau_pre_inv: float = 1 / 50e-3,
    tau_post_inv: float = 1 / 50e-3,
    w_min: float = 0.0,
    w_max: float = 1.0,
    eta_plus: float = 1e-3,
    eta_minus: float = 1e-3,
    stdp_algorithm: str = "additive",
    mu: float = 0.0,
    dt: float = 1 * ms,
) -> PairSTDP:
    if stdp_algorithm not in _NORSE:
        known = nearest(str(stdp_algorithm), _NORSE)
        raise ValueError(f"norse: no {stdp_algorithm!r} among what PairSTDP can be; {known}")
    exponent = {"additive": 0.0, "multiplicative_pow": mu}.get(stdp_algorithm, 1.0)
    dt = as_float(dt, "s", "dt")
    down, up = dt * tau_post_inv, dt * tau_pre_inv  # a spike raises a trace by these times a
    size = math.pow(w_max - w_min, exponent - 1)
    return PairSTDP(
        _stepwise(up, dt, "1/tau_pre_inv"), _stepwise(down, dt, "1/tau_post_inv"),
        eta_plus * a_pre * up * size, eta_minus * a_post * down * size, exponent, exponent,
        w_min, w_max, coincidence="both", order="together",
    )  # fmt: skip


_PEERS: dict[str, Callable[..., PairSTDP]] = {
    "brian2": _brian2,
    "nest": _nest,
    "genn": _genn,
    "snntorch": _snntorch,
    "spikingjelly": _snntorch,  # the code from which snnTorch's was taken
    "bindsnet": _bindsnet,
    "norse": _norse,
}


@final
@dataclass(frozen=True)
class SymmetricSTDP(Rule):
    """Both orders potentiate alike, and each spike by itself may cost something.

        dx/dt = -x/tau                  dy/dt = -y/tau
        at a presynaptic spike:   w += W (a y - loss_pre);   x += 1
        at a postsynaptic spike:  w += W (a x - loss_post);  y += 1

    with W = w_max - w_min, clipped after each event: a window a exp(-|t_post - t_pre|/tau) plus
    the terms of single spikes of Kempter, Gerstner & van Hemmen 1999 (Phys. Rev. E 59:4498).
    Every pair counts. At CA3-CA3 synapses both orders potentiate, in a window whose width
    at half its height is about 150 ms, and spikes of one side alone do next to nothing (Mishra et
    al. 2016, Nat. Commun. 7:11552): of an exponential, that is tau = 150 ms / (2 ln 2).

    >>> rule = SymmetricSTDP(loss_pre=0.002)
    >>> [round(rule.window(t, weight=0.5), 4) for t in (-75*ms, 0.0, 75*ms)]
    [0.003, 0.008, 0.003]
    """

    tau: float = parameter(108 * ms, "s", above=0)
    """Time constant of both traces, and of the window on either side (s)."""
    a: float = parameter(0.01, at_least=0, at_most=1)
    """Potentiation by one pair at interval 0, in fractions of w_max - w_min."""
    loss_pre: float = parameter(0.0, at_least=0, at_most=1)
    """Depression by each presynaptic spike, in fractions of w_max - w_min."""
    loss_post: float = parameter(0.0, at_least=0, at_most=1)
    """Depression by each postsynaptic spike, in fractions of w_max - w_min."""
    w_min: float = parameter(0.0)
    """Lower bound, in the unit of the weight."""
    w_max: float = parameter(1.0)
    """Upper bound, in the unit of the weight."""

    equations: ClassVar[str] = """
        dx/dt = -x/tau
        dy/dt = -y/tau
    """
    on_pre: ClassVar[str] = """
        w += (w_max - w_min)*(a*y - loss_pre)
        x += 1
    """
    on_post: ClassVar[str] = """
        w += (w_max - w_min)*(a*x - loss_post)
        y += 1
    """

    def window(self, interval: float, weight: float) -> float:
        """Change by one pair, with what its two spikes cost by themselves. Not clipped."""
        pair = self.a * math.exp(-abs(interval) / self.tau)
        return (self.w_max - self.w_min) * (pair - self.loss_pre - self.loss_post)


@final
@dataclass(frozen=True)
class AntiHebbianSTDP(Rule):
    """Pair STDP with its signs reversed: a presynaptic spike before a postsynaptic one depresses.

        dx/dt = -x/tau_minus            dy/dt = -y/tau_plus
        at a presynaptic spike:   w += a_plus W y;    x += 1
        at a postsynaptic spike:  w -= a_minus W x;   y += 1

    with W = w_max - w_min, clipped after each event. Every pair counts; a coincidence depresses.
    Such synapses cancel what can be predicted, in the electrosensory lobe of mormyrid fish (Bell,
    Han, Sugawara & Grant 1997, Nature 387:278).

    >>> rule = AntiHebbianSTDP()
    >>> [round(rule.window(t, weight=0.5), 4) for t in (-20*ms, 20*ms)]
    [0.0037, -0.0039]
    """

    tau_plus: float = parameter(20 * ms, "s", above=0)
    """Time constant of the postsynaptic trace, and of the potentiating window (s)."""
    tau_minus: float = parameter(20 * ms, "s", above=0)
    """Time constant of the presynaptic trace, and of the depressing window (s)."""
    a_plus: float = parameter(0.01, at_least=0, at_most=1)
    """Potentiation by one pair at interval 0, in fractions of w_max - w_min."""
    a_minus: float = parameter(0.0105, at_least=0, at_most=1)
    """Depression by one pair at interval 0, in fractions of w_max - w_min."""
    w_min: float = parameter(0.0)
    """Lower bound, in the unit of the weight."""
    w_max: float = parameter(1.0)
    """Upper bound, in the unit of the weight."""

    equations: ClassVar[str] = """
        dx/dt = -x/tau_minus
        dy/dt = -y/tau_plus
    """
    on_pre: ClassVar[str] = """
        w += a_plus*(w_max - w_min)*y
        x += 1
    """
    on_post: ClassVar[str] = """
        w -= a_minus*(w_max - w_min)*x
        y += 1
    """

    def window(self, interval: float, weight: float) -> float:
        """Change by one pair; depression from interval 0 on. Not clipped to the bounds."""
        span = self.w_max - self.w_min
        if interval >= 0:
            return -self.a_minus * span * math.exp(-interval / self.tau_minus)
        return self.a_plus * span * math.exp(interval / self.tau_plus)
