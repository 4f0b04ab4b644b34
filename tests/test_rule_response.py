"""How rules without a window respond, against their equations by hand."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from neuroflip import rules
from neuroflip.rule_response import (
    kind_of_response,
    rate_response,
    response_axis,
    transmission,
)
from neuroflip.units import ms

Y = np.array([0.0, 0.5, 1.0, 2.0])


def test_rates() -> None:
    assert_allclose(rate_response(rules.Hebb(rate=0.1, decay=0.05), Y, 0.4), 0.1 * Y - 0.02)
    assert_allclose(rate_response(rules.Oja(rate=0.1), Y, 0.4), 0.1 * Y * (1 - 0.4 * Y))


def test_the_sliding_threshold_has_settled_at_the_square_of_the_rate_before() -> None:
    found = rate_response(rules.BCM(rate=0.1), Y, 0.4)
    assert_allclose(found, 0.1 * Y * (Y - 1), atol=1e-4)


@pytest.mark.parametrize("tau_facil", [0.01 * ms, 300 * ms])
def test_transmission(tau_facil: float) -> None:
    rule = rules.ShortTerm(utilization=0.3, tau_rec=400 * ms, tau_facil=tau_facil)
    u, r, sent = 0.0, 1.0, []
    for _ in range(6):
        u += 0.3 * (1 - u)
        sent.append(u * r)
        r -= u * r
        r = 1 - (1 - r) * math.exp(-0.05 / 0.4)
        u *= math.exp(-0.05 / tau_facil)
    assert_allclose(transmission(rule, spikes=6), sent, rtol=1e-11)  # differences of a growing sum


def test_a_running_mean_has_settled_at_input_0_and_output_1() -> None:
    found = rate_response(rules.Covariance(rate=0.1), Y, 0.4)
    assert_allclose(found, 0.1 * (Y - 1), atol=1e-4)


def test_eprop_shows_its_pseudo_derivative_over_the_potential() -> None:
    """A triangle around the threshold, of the height that the rule is given."""
    rule = rules.EProp(rate=0.1, threshold=2.0, height=0.5, beta=0.3)
    label, v = response_axis(rule)
    assert label == "membrane potential" and v.max() == 6.0
    wanted = -0.1 * 0.5 / 2 * np.maximum(0, 1 - abs(v - 2) / 2)
    assert_allclose(rate_response(rule, v, 0.4), wanted, atol=1e-15)
    assert wanted.min() == -0.025


def test_flip_flop_eprop_shows_the_slope_of_its_gate() -> None:
    rule = rules.FlipFlopEProp(rate=0.1)
    label, gate = response_axis(rule)
    assert label == "gates J and K" and gate.max() == 1.0
    assert_allclose(rate_response(rule, gate, 0.4), -0.1 * gate * (1 - gate), atol=1e-15)


def test_no_response_is_flat() -> None:
    """Every rule of rates or layers does something, and not the same everywhere, but for those
    whose change is not about the postsynaptic rate: PES of the error, normalisation of the sum."""
    flat = {
        name
        for name, kind in rules.RULES.items()
        if kind_of_response(kind()) == "rates"
        and np.ptp(rate_response(kind(), response_axis(kind())[1][::6], 0.4)) < 1e-12
    }
    assert flat == {"PES", "WeightNormalisation"}


def test_kinds() -> None:
    assert kind_of_response(rules.none) == "window"
    kinds = {name: kind_of_response(kind()) for name, kind in rules.RULES.items() if name != "none"}
    assert kinds["PairSTDP"] == kinds["TripletSTDP"] == "window"
    assert kinds["Oja"] == kinds["RLS"] == kinds["Sanger"] == "rates"
    assert kinds["ShortTerm"] == "transmission"
