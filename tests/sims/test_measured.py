"""Rules beside published measurements, against sums over pairs by hand."""

import math

import numpy as np

from neuroflip import rules
from neuroflip.sims.measured import BI_POO, SJOESTROEM_20_HZ, measured
from neuroflip.sims.triplet_data import HIPPOCAMPAL, VISUAL
from neuroflip.units import ms

RULE = rules.PairSTDP(tau_plus=16.8 * ms, tau_minus=33.7 * ms, a_plus=0.013, a_minus=0.005)


def pair_sum(pre: np.ndarray, post: np.ndarray) -> float:
    """Of additive pair STDP; coincidences potentiate."""
    apart = np.round(np.subtract.outer(post, pre), 9)
    up = np.where(apart >= 0, np.exp(-np.abs(apart) / RULE.tau_plus), 0.0).sum()
    down = np.where(apart < 0, np.exp(-np.abs(apart) / RULE.tau_minus), 0.0).sum()
    return float(RULE.a_plus * up - RULE.a_minus * down)


def test_pair_stdp_by_hand() -> None:
    rates, windows, triplets = measured(RULE)
    for curve, interval in zip(rates.curves, (10 * ms, -10 * ms), strict=True):
        for rate, found in zip(curve.at, curve.rule, strict=True):
            pre = np.arange(60) / rate
            assert math.isclose(found, pair_sum(pre, pre + interval), abs_tol=1e-9)
    for curve, rate in zip(windows.curves, (20.0, 1.0), strict=True):
        assert curve.line is not None
        for at, found in zip(
            np.concatenate([curve.at, curve.line[0]]),
            np.concatenate([curve.rule, curve.line[1]]),
            strict=True,
        ):
            pre = np.arange(60) / rate
            assert math.isclose(found, pair_sum(pre, pre + at * ms), abs_tol=1e-9)
    [curve] = triplets.curves
    for protocol, found in zip(HIPPOCAMPAL, curve.rule, strict=True):
        pre, post = protocol.trains()
        assert math.isclose(found, pair_sum(pre, post), abs_tol=1e-9)


def test_the_data_are_those_published() -> None:
    rates, windows, triplets = measured(rules.TripletSTDP())
    assert [c.error is None for p in (rates, windows, triplets) for c in p.curves] == [
        False, False, False, True, False,
    ]  # fmt: skip
    assert np.concatenate([c.measured for c in rates.curves]).tolist() == [p.change for p in VISUAL]
    assert windows.curves[0].measured.tolist() == [m for _, m, _ in SJOESTROEM_20_HZ]
    assert windows.curves[1].measured.tolist() == [m for _, m in BI_POO]
    # The two tables of Sjoestroem et al. have the pairs 10 ms apart at 20 Hz in common
    by_rate = {c.label: dict(zip(c.at, c.measured, strict=True)) for c in rates.curves}
    by_interval = dict(zip(windows.curves[0].at, windows.curves[0].measured, strict=True))
    assert by_interval[10.0] == by_rate["+10 ms"][20.0] + -0.001
    assert abs(by_interval[-10.0] - by_rate["-10 ms"][20.0]) < 0.02


def test_the_visual_set_is_near_the_window_at_20_hz_and_rules_without_data_have_none() -> None:
    curve = measured(rules.TripletSTDP.preset("visual_all_full"))[1].curves[0]
    assert curve.error is not None
    off = np.abs(curve.rule - curve.measured) / curve.error
    assert off[[1, 3]].max() < 1  # 10 ms either way
    assert measured(rules.InhibitorySTDP()) == []
