"""The window of a rule: closed form and simulation, on every engine."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import pytest

import neuroflip as nf
from neuroflip import rule_window as module
from neuroflip import rules
from neuroflip.parameters import parameter
from neuroflip.rule_window import agreement, rule_window, whole_intervals
from neuroflip.units import ms, pA

INTERVALS = np.arange(-50, 51) * 1e-3


@final
@dataclass(frozen=True)
class Counting(rules.Rule):
    """Each event adds its own amount: what is left tells which events came, and how often."""

    on_pre: ClassVar[str] = "w = w + 1"
    on_post: ClassVar[str] = "w = w + 100"


@final
@dataclass(frozen=True)
class Wrong(rules.Rule):
    """A rule whose closed form is twice what it does."""

    rate: float = parameter(0.25)

    on_post: ClassVar[str] = "w = w + rate"

    def window(self, interval: float, weight: float) -> float:
        return 2 * self.rate


@pytest.mark.parametrize("engine", nf.ENGINES)
@pytest.mark.parametrize("mu", [0.0, 1.0])
def test_simulation_is_the_closed_form(engine: str, mu: float) -> None:
    rule = rules.PairSTDP(mu_plus=mu, mu_minus=mu, tau_plus=17 * ms, tau_minus=34 * ms)
    analytic, simulated = rule_window(rule, INTERVALS, 0.4, engine=engine)
    assert analytic is not None
    np.testing.assert_allclose(simulated, analytic, rtol=0, atol=1e-12)
    # written out once more, so that a slip in both would show
    room, held = (0.6, 0.4) if mu else (1.0, 1.0)
    at_10, at_minus_10 = 60, 40
    assert INTERVALS[[at_10, at_minus_10]] == pytest.approx([10 * ms, -10 * ms])
    assert simulated[at_10] == pytest.approx(0.01 * room * math.exp(-10 / 17), abs=1e-12)
    assert simulated[at_minus_10] == pytest.approx(-0.0105 * held * math.exp(-10 / 34), abs=1e-12)


def test_the_sign_turns_at_interval_0() -> None:
    _, simulated = rule_window(rules.PairSTDP(), [-0.1 * ms, 0.0, 0.1 * ms], 0.5)
    assert simulated[0] < 0 < simulated[2] < simulated[1] == pytest.approx(0.01, abs=1e-15)


@pytest.mark.parametrize("intervals", [[20 * ms], [-20 * ms], [0.0], [-3 * ms, 7 * ms, -3 * ms]])
def test_every_synapse_meets_one_pair(intervals: list[float]) -> None:
    analytic, simulated = rule_window(Counting(), intervals, 5.0)
    assert analytic is None  # Counting has no closed form
    assert simulated.tolist() == [101.0] * len(intervals)


def test_large_weights_make_no_neuron_fire() -> None:
    rule = rules.PairSTDP(w_max=5000.0)
    analytic, simulated = rule_window(rule, [-5 * ms, 5 * ms], 4000.0)
    assert analytic is not None
    assert simulated == pytest.approx(analytic, rel=1e-10)
    assert simulated[1] == pytest.approx(50 * math.exp(-0.25))


@pytest.mark.parametrize("dt", [0.1 * ms, 1 * ms, 20 * ms])
def test_intervals_are_rounded_to_steps(dt: float) -> None:
    given = [-41 * ms, -1.26 * ms, 0.04 * ms, 19 * ms]
    rounded = np.round(np.array(given) / dt) * dt
    assert whole_intervals(given, dt).tolist() == rounded.tolist()
    rule = rules.PairSTDP()
    analytic, simulated = rule_window(rule, given, 0.5, dt=dt)
    assert analytic is not None
    assert analytic.tolist() == [rule.window(interval, 0.5) for interval in rounded]
    np.testing.assert_allclose(simulated, analytic, rtol=0, atol=1e-12)


def test_the_formula_is_held_within_the_bounds() -> None:
    analytic, simulated = rule_window(rules.PairSTDP(), [-5 * ms, 5 * ms], 1.0)
    assert analytic is not None
    assert analytic[1] == simulated[1] == 0.0
    assert simulated[0] == pytest.approx(analytic[0], abs=1e-12)
    assert analytic[0] < -0.005


def test_a_rule_that_changes_nothing() -> None:
    analytic, simulated = rule_window(rules.none, [-5 * ms, 5 * ms], 0.5)
    assert analytic is not None
    assert analytic.tolist() == simulated.tolist() == [0.0, 0.0]


def test_weights_in_amperes_are_held_to_their_own_scale() -> None:
    rule = rules.PairSTDP(w_max=600 * pA)
    analytic, simulated = rule_window(rule, INTERVALS, 300 * pA)
    assert analytic is not None
    difference, tolerance = agreement(analytic, simulated, 300 * pA)
    assert difference <= tolerance == 300 * pA * module.TOLERANCE
    assert tolerance < 1e-6 * np.abs(simulated).max()


def test_a_wrong_closed_form_is_found() -> None:
    analytic, simulated = rule_window(Wrong(), [5 * ms], 0.5)
    assert analytic is not None
    difference, tolerance = agreement(analytic, simulated, 0.5)
    assert difference == 0.25
    assert difference > tolerance == 5e-13


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rule": "PairSTDP"}, TypeError, r"rule must be a rule object like .*; got 'PairSTDP'"),
        ({"intervals": []}, ValueError, r"at least one; got shape \(0,\)"),
        ({"intervals": 5 * ms}, ValueError, r"got shape \(\)"),
        ({"intervals": [math.nan]}, ValueError, r"intervals must be finite numbers in s; got nan"),
        ({"weight": 2.0}, ValueError, "within the bounds of PairSTDP, 0.0 to 1.0"),
        ({"weight": "1"}, TypeError, "weight must be one number"),
        ({"dt": 0.0}, ValueError, "dt must be above 0 s; got 0.0"),
        ({"engine": "nmuba"}, ValueError, "did you mean 'numba'"),
    ],
)
def test_refusals(change: dict[str, object], error: type[Exception], message: str) -> None:
    arguments = {"rule": rules.PairSTDP(), "intervals": [5 * ms], "weight": 0.5} | change
    with pytest.raises(error, match=message):
        rule_window(**arguments)  # type: ignore[arg-type]
