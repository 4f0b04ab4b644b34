"""Sums of rules: against their parts, by hand, in all engines."""

import math
import pickle
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
import pytest

import neuroflip as nf
from neuroflip import equations as eq
from neuroflip.parameters import parameter
from neuroflip.rules import PairSTDP, Rule, none
from neuroflip.rules.calcium import BistableSynapse
from neuroflip.rules.composition import Sum
from neuroflip.rules.homeostasis import HomeostaticScaling
from neuroflip.rules.reward import MSTDP, RewardSTDP
from neuroflip.rules.short_term import ShortTerm

DT = 1e-4
FORCED = nf.DeltaLIF(tau_m=DT, v_threshold=1e4, refractory=0.0)


def drive(rule: Rule, seed: int = 0, steps: int = 300) -> tuple[nf.Circuit, dict[str, Any]]:
    """Random trains with delays; neurons are forced by a current."""
    rng = np.random.default_rng(seed)
    wave = (rng.random((steps, 2)) < 0.05).astype(float)
    signals = [nf.SignalInput(name) for name in rule.model().signals]
    circuit = nf.Circuit(
        "sum", [nf.Population("post", FORCED, 2)],
        [nf.Projection("pre", "post", rng.uniform(0, 1, (3, 2)), rule=rule, name="w",
                       axonal_delay=rng.integers(0, 20, (3, 2)) * DT,
                       dendritic_delay=rng.integers(0, 20, (3, 2)) * DT)],
        [nf.SpikeInput("pre", 3), nf.CurrentInput("force", "post"), *signals],
    )  # fmt: skip
    trains = [np.flatnonzero(rng.random(steps) < 0.05) * DT for _ in range(3)]
    rewards = {s.name: rng.normal(0, 1, steps) for s in signals}
    return circuit, {"pre": trains, "force": wave, **rewards}


def weights(rule: Rule, engine: str = "numba", **options: Any) -> Any:
    case = drive(rule, **options)
    return nf.simulate(*case, duration=300 * DT, engine=engine).weights["w"]


@final
@dataclass(frozen=True)
class Forget(Rule):
    """Names that clash with those of other rules, one of which another part's name ends like."""

    tau_plus: float = parameter(0.01, "s", above=0)
    x_1: float = parameter(0.5, above=0)
    equations: ClassVar[str] = """
        dx/dt = -x/tau_plus
        dy/dt = x - y/x_1
        dd/dt = 0
        dw/dt = -0.1*w*y
    """
    on_pre: ClassVar[str] = """
        x += 1  # x, not x_1
        w *= 1 - 0.01*x_1
        d = t
    """
    on_post: ClassVar[str] = "w -= 0.1*(t - d)"


STDP = PairSTDP(a_plus=0.1, a_minus=0.08, mu_plus=0.5, mu_minus=1.0)
SUMS = {
    "with scaling": Sum(STDP, HomeostaticScaling(target=100.0, rate=0.1, tau=0.01)),
    "with drift": Sum(STDP, BistableSynapse(drift_up=5.0)),
    "of twins": Sum(STDP, PairSTDP(tau_plus=0.005, a_plus=0.01)),
    "with clashing names": Sum(Forget(), STDP, Forget(tau_plus=0.02)),
    "nested": Sum(Sum(STDP, Forget()), Sum(Forget(x_1=0.1), none)),
    "with transmission": Sum(ShortTerm(tau_rec=0.02), STDP),
    "of sides": Sum(
        PairSTDP.like("nest", Wmax=10.0),
        HomeostaticScaling(target=100.0, rate=0.1),
        replace(
            PairSTDP.like("nest", synapse_model="stdp_nn_restr_synapse", Wmax=10.0), sends="before"
        ),
    ),  # fmt: skip
    "of rewards": Sum(MSTDP(rate=0.1), RewardSTDP(a_plus=30.0, tau_d=0.01)),
}


@pytest.mark.parametrize("name", SUMS)
def test_all_engines_agree(name: str) -> None:
    report = nf.compare(*drive(SUMS[name]), duration=300 * DT, record=["w", "v"])
    assert report.ok, report
    start = report.recordings["numba"].weight_history["w"][0]
    assert np.abs(report.recordings["brian2"].weights["w"] - start).max() > 1e-3


@pytest.mark.parametrize("engine", ["numba", "torch"])
@pytest.mark.parametrize("part", [STDP, BistableSynapse(), RewardSTDP(a_plus=5.0)], ids=repr)
def test_nothing_added_changes_nothing(part: Rule, engine: str) -> None:
    alone = weights(part, engine)
    for rule in (Sum(part), Sum(part, none), Sum(none, part), Sum(Sum(part), none)):
        assert np.abs(weights(rule, engine) - alone).max() < 1e-15
    assert not np.array_equal(alone, weights(none_like(part), engine))


def none_like(part: Rule) -> Rule:
    """The part with nothing to learn from: its amplitudes are 0."""
    zero = dict.fromkeys((n for n in part.parameters() if n.startswith(("a_", "drift"))), 0.0)
    return type(part)(**{**part.parameters(), **zero})


def test_each_part_acts_as_it_does_alone_where_the_others_are_silent() -> None:
    still = HomeostaticScaling(rate=0.0)
    assert np.abs(weights(Sum(still, STDP)) - weights(STDP)).max() < 1e-14
    alone = weights(HomeostaticScaling(target=100.0, rate=0.1))
    silent = PairSTDP(a_plus=0.0, a_minus=0.0, w_max=10.0)
    both = weights(Sum(silent, HomeostaticScaling(target=100.0, rate=0.1)))
    assert np.abs(both - alone).max() < 1e-14


def test_additive_rules_add() -> None:
    """Far from the bounds the changes of two additive rules are the sum of each alone."""
    one = PairSTDP(a_plus=1e-3, a_minus=2e-3, tau_plus=0.005, w_min=-9.0, w_max=9.0)
    two = PairSTDP(a_plus=-0.0, a_minus=1e-3, tau_minus=0.05, w_min=-9.0, w_max=9.0)
    start = weights(PairSTDP(a_plus=0, a_minus=0, w_min=-9.0, w_max=9.0))
    changes = (weights(one) - start) + (weights(two) - start)
    assert np.abs(weights(Sum(one, two)) - start - changes).max() < 1e-13
    assert np.abs(changes).min() > 1e-4


@final
@dataclass(frozen=True)
class Halve(Rule):
    on_pre: ClassVar[str] = "w *= 0.5"


@final
@dataclass(frozen=True)
class Raise(Rule):
    w_min: float = parameter(0.0)
    w_max: float = parameter(1.0)
    on_pre: ClassVar[str] = "w += 0.75"


def test_parts_run_in_the_order_given_and_share_the_bounds() -> None:
    """One presynaptic spike on w = 0.5: each part starts from what the one before left."""
    for rule, expected in (
        (Sum(Halve(), Raise()), 1.0),
        (Sum(Raise(), Halve()), 0.5),  # clipped to 1 in between
        (Sum(Halve(), Halve(), Raise()), 0.875),
    ):
        circuit = nf.Circuit("order", [nf.Population("post", FORCED)],
                             [nf.Projection("pre", "post", 0.5, rule=rule)],
                             [nf.SpikeInput("pre")])  # fmt: skip
        for engine in nf.ENGINES:
            rec = nf.simulate(circuit, {"pre": [1e-3]}, duration=2e-3, engine=engine)
            assert rec.weights["pre->post"].tolist() == [expected]


def test_flows_of_the_weight_are_added() -> None:
    """Drift upwards and scaling of a silent neuron together, by hand."""
    rule = Sum(
        BistableSynapse(drift_up=2.0, w_max=100.0, threshold=0.1),
        HomeostaticScaling(target=4.0, rate=0.5),
    )
    circuit = nf.Circuit("flows", [nf.Population("post", FORCED)],
                         [nf.Projection("pre", "post", 20.0, rule=rule)],
                         [nf.SpikeInput("pre")])  # fmt: skip
    end = nf.simulate(circuit, duration=0.1, dt=1e-3).weights["pre->post"][0]
    w = 20.0
    for _ in range(100):
        w += 1e-3 * (200.0 + 0.5 * w * 4.0)
    assert end == pytest.approx(w, rel=1e-13)


def test_transmission_is_that_of_the_part_that_has_one() -> None:
    rule = Sum(PairSTDP(a_plus=0.0, a_minus=0.0), ShortTerm(utilization=0.5, tau_rec=10.0))
    integrator = nf.DeltaLIF(tau_m=1e9, v_threshold=9.0)
    circuit = nf.Circuit("depress", [nf.Population("post", integrator)],
                         [nf.Projection("pre", "post", 1.0, rule=rule)],
                         [nf.SpikeInput("pre")])  # fmt: skip
    rec = nf.simulate(circuit, {"pre": [0.0, 0.01]}, duration=0.02, record="v")
    second = 0.5 * (1 - 0.5 * math.exp(-0.01 / 10.0))
    assert rec.traces["post.v"][-1, 0] == pytest.approx(0.5 + second, rel=1e-9)


def test_what_a_sum_says_of_itself() -> None:
    rule = Sum(PairSTDP(w_max=2.0), Forget(), RewardSTDP(w_max=2.0))
    assert (rule.w_min, rule.w_max) == (0.0, 2.0)
    assert rule.signals == ("reward",) and rule.reads == ()
    assert rule.parameters()["tau_plus_2"] == 0.01 and rule.parameters()["x_1_2"] == 0.5
    assert "w_max_1" not in rule.parameters() and rule.parameters()["w_max"] == 2.0
    assert {"x_1", "x_2", "d_2", "d_3"} <= set(rule.model().variables)
    assert rule.model().decay["x_2"] == "tau_plus_2"
    assert rule.plastic and rule.model().bounded and not Sum(none).plastic
    assert not hasattr(Sum(Forget()), "w_min") and not Sum(Forget()).model().bounded
    assert rule == Sum(*rule.parts) and hash(rule) == hash(Sum(*rule.parts))
    assert rule != Sum(*rule.parts[::-1])
    assert pickle.loads(pickle.dumps(rule)) == rule
    assert eval(repr(rule), {k.__name__: k for k in (Sum, PairSTDP, Forget, RewardSTDP)}) == rule
    assert rule.describe().startswith("PairSTDP(tau_plus 20 ms") and " + Forget(" in rule.describe()
    assert isinstance(str(drive(rule)[0]), str)
    assert rule.settings() == {"parts": rule.parts}
    with pytest.raises(NotImplementedError):
        rule.window(0.01, 0.5)


def test_what_does_not_go_together_is_refused() -> None:
    for parts, kind, message in [
        ((), ValueError, "expected at least one rule; got none"),
        ((PairSTDP,), TypeError, "expected rules like rules.PairSTDP"),
        ((PairSTDP(w_min=-1.0), BistableSynapse()), ValueError, "bounds; got w_min -1.0 and 0.0"),
        ((ShortTerm(), STDP, ShortTerm()), ValueError, "at most one part .* ShortTerm and ShortT"),
        ((STDP, PairSTDP.like("nest", Wmax=1.0)), ValueError,
         "the same side first in a step; got PairSTDP on_pre and PairSTDP on_post"),
    ]:  # fmt: skip
        with pytest.raises(kind, match=message):
            Sum(*parts)
    with pytest.raises(ValueError, match="weight must be within the bounds of Sum, 0.0 to 0.1"):
        nf.Projection("a", "b", 0.5, rule=Sum(PairSTDP(w_max=0.1)))


def test_the_text_of_a_sum() -> None:
    text = Sum(Forget(), HomeostaticScaling()).declare()
    lines = [line.strip() for line in text.equations.splitlines()]
    assert lines == [
        "dx_1/dt = -x_1/tau_plus_1",
        "dd_1/dt = 0",
        "dy_1/dt = x_1 - y_1/x_1_1",
        "dy_2/dt = -y_2/tau_2",
        "dw/dt = (-0.1*w*y_1) + (rate_2*w*(target_2 - y_2))",
    ]
    eq.parse_system(text.equations, {"w", "tau_plus_1", "x_1_1", "tau_2", "rate_2", "target_2"})
