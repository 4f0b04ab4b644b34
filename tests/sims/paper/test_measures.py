"""Measures, against numbers worked out by hand and closed forms."""

import math

import numpy as np
import pytest

from neuroflip.sims.paper.measures import (
    correlation,
    gini,
    of_curve,
    participation,
    principal,
    thinned,
)


def test_of_a_loss_curve() -> None:
    # differences: -4, +1, -2, +3, -1, -1; the second half: +3, -1, -1 of mean 1/3
    found = of_curve([9.0, 5.0, 6.0, 4.0, 7.0, 6.0, 5.0])
    assert found["final"] == 5 and found["best"] == 4 and found["largest_rise"] == 3
    assert found["roughness"] == pytest.approx(math.sqrt((9 + 1 + 1) / 3 - 1 / 9))
    assert math.isnan(of_curve([1.0])["largest_rise"])


def test_thinning_keeps_the_ends_and_the_order() -> None:
    for length in (1, 79, 80, 81, 500, 5000):
        places = thinned(length)
        assert places[0] == 0 and places[-1] == length - 1 and len(places) <= 80
        assert places == sorted(set(places))


def test_participation_and_gini() -> None:
    assert participation(np.ones(64)) == pytest.approx(64)
    assert participation([5.0, 0, 0, 0]) == 1
    # amounts 1, 1/2, 1/4, ...: 4/(4/3) = 3
    assert participation(0.5 ** np.arange(60)) == pytest.approx(3)
    assert math.isnan(participation([0.0, 0.0])) and math.isnan(gini([0.0, 0.0]))
    # evenly spaced amounts 1 to n have Gini index (n - 1)/(3 n)... of the uniform, plus 1/n of it
    n = 50
    assert gini(np.arange(1, n + 1)) == pytest.approx((n - 1) / (3 * n))
    assert gini(3 * np.arange(1, n + 1)[::-1]) == pytest.approx((n - 1) / (3 * n))


def test_correlation_is_numpys_at_every_lag() -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(size=200)
    output = 5 - 2 * np.roll(target, 4) + 0.5 * rng.normal(size=200)
    lags, r = correlation(output, target, 6)
    assert lags.tolist() == list(range(-6, 7))
    for lag, found in zip(lags, r, strict=True):
        a, b = (output[lag:], target[: 200 - lag]) if lag >= 0 else (output[:lag], target[-lag:])
        assert found == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert lags[np.abs(r).argmax()] == 4 and r.min() == pytest.approx(-0.97, abs=0.02)
    assert np.isnan(correlation(np.ones(9), target[:9], 1)[1]).all()


def test_principal_components_are_those_of_the_covariance() -> None:
    rng = np.random.default_rng(1)
    states = rng.normal(size=(4, 50, 3)) @ np.diag([3.0, 1.0, 0.1]) + 7
    scores, shares = principal(states, 2)
    assert scores.shape == (4, 50, 2)
    values = np.sort(np.linalg.eigvalsh(np.cov(states.reshape(-1, 3).T)))[::-1]
    assert shares == pytest.approx(values[:2] / values.sum())
    assert scores.reshape(-1, 2).var(axis=0, ddof=1) == pytest.approx(values[:2])
    assert np.corrcoef(scores[..., 0].ravel(), states[..., 0].ravel())[0, 1] ** 2 > 0.99
