"""`rules.check_rule`: every rule passes it, and what is wrong does not."""

from dataclasses import dataclass
from typing import ClassVar, final

import pytest

from neuroflip import rules
from neuroflip.parameters import parameter
from neuroflip.rules import Rule
from neuroflip.units import ms


@pytest.mark.parametrize("name", rules.RULES)
def test_every_rule_passes(name: str) -> None:
    report = rules.check_rule(rules.RULES[name]())
    assert report.ok, str(report)


@pytest.mark.parametrize(
    "rule",
    [
        rules.PairSTDP.like("nest", synapse_model="stdp_pl_synapse_hom", Wmax=3.0),
        rules.MSTDP(rate=1.0),
    ],
    ids=["power law", "largest rate"],
)
def test_options_far_from_the_defaults_pass(rule: Rule) -> None:
    report = rules.check_rule(rule)
    assert report.ok, str(report)


@final
@dataclass(frozen=True)
class Misdescribed(Rule):
    """Its closed form has the wrong sign before 0."""

    tau: float = parameter(20 * ms, "s", above=0)
    w_min: float = parameter(0.0)
    w_max: float = parameter(1.0)
    equations: ClassVar[str] = "dx/dt = -x/tau\ndy/dt = -y/tau"
    on_pre: ClassVar[str] = "x += 1\nw -= 0.01*y"
    on_post: ClassVar[str] = "y += 1\nw += 0.01*x"

    def window(self, interval: float, weight: float) -> float:
        return 0.01 * 2.718281828459045 ** (-abs(interval) / self.tau)


@final
@dataclass(frozen=True)
class Exploding(Rule):
    """Without bounds, and dividing by what is 0 for silent synapses."""

    tau: float = parameter(20 * ms, "s", above=0)
    equations: ClassVar[str] = "dx/dt = -x/tau"
    on_pre: ClassVar[str] = "x += 1"
    on_post: ClassVar[str] = "w += 1/x"


def outcomes(rule: Rule) -> dict[str, str]:
    return {row.check: row.outcome for row in rules.check_rule(rule).rows}


def test_a_wrong_closed_form_is_found() -> None:
    found = outcomes(Misdescribed())
    assert found.pop("window") == "FAILED"
    assert set(found.values()) == {"ok"}


def test_weights_that_are_not_finite_are_found() -> None:
    report = rules.check_rule(Exploding())
    assert not report.ok and "FAILS" in str(report)
    [row] = [r for r in report.rows if r.check == "engines agree"]
    assert row.outcome == "FAILED" and "v is nan at the end of the run; a weight left" in row.detail


def test_what_is_no_rule_is_refused() -> None:
    with pytest.raises(
        TypeError, match=r"rule must be a rule object like rules.PairSTDP\(\); got 3"
    ):
        rules.check_rule(3)  # type: ignore[arg-type]
