"""Measures, against numbers worked out by hand and closed forms."""

import math

import numpy as np
import pytest

from neuroflip.sims.paper.measures import (
    apart,
    breadth,
    correlation,
    fast_power,
    gini,
    gone,
    of_curve,
    participation,
    principal,
    saturated,
    spectrum_match,
    thinned,
    way,
    within_between,
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


def test_the_way_of_something_that_slows_down() -> None:
    """Points at 1 - exp(-e/20) on a line, so that the way to an epoch is known in closed form."""
    epochs = np.arange(0, 101, 5)
    direction = np.array([[2.0, 0.0], [1.0, 2.0]])  # of length 3
    points = (1 - np.exp(-epochs / 20))[:, None, None] * direction
    moved, told = way(epochs, points)
    assert moved == pytest.approx(3 * (np.exp(-epochs[:-1] / 20) - np.exp(-epochs[1:] / 20)))
    whole = 1 - math.exp(-5)
    assert told["first_tenth"] == pytest.approx((1 - math.exp(-0.5)) / whole)
    assert told["first_fifth"] == pytest.approx((1 - math.exp(-1)) / whole)
    assert told["last_to_first"] == pytest.approx(math.exp(-4.5))
    assert gone(epochs, moved, 1) == pytest.approx(1)
    # a way there and back is as long as both, and one piece is the least that is told of
    assert way([0, 1, 2], [[0.0], [3.0], [0.0]])[1] == pytest.approx(
        {"first_tenth": 0.5, "first_fifth": 0.5, "last_to_first": 1}
    )


def test_distance_of_arrays_from_each_other() -> None:
    a = np.array([[3.0, 0.0], [0.0, 4.0]])
    assert apart(a, a) == 0 and apart(a, -a) == pytest.approx(math.sqrt(2))
    assert apart(a, a[::-1]) == pytest.approx(1)
    assert apart(a, 2 * a) == pytest.approx(1 / math.sqrt(5)) == apart(2 * a, a)


def test_the_share_of_a_gate_that_is_saturated() -> None:
    values = np.linspace(0, 1, 1001)
    assert saturated(values) == pytest.approx(0.1, abs=2e-3)
    assert saturated(0.051 + 0.898 * values) == 0
    assert saturated(np.round(values)) == 1


def test_breadth_of_states() -> None:
    """Two units that turn in a circle of radius 2, one that stands still, one that is silent."""
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False).reshape(2, 200)
    states = np.stack(
        [2 * np.cos(angle), 2 * np.sin(angle), np.full(angle.shape, -3.0), np.zeros(angle.shape)],
        -1,
    )
    found = breadth(states)
    assert found["mean"] == pytest.approx([4 / np.pi, 4 / np.pi, 3, 0], abs=1e-4)
    assert found["deviation"] == pytest.approx([math.sqrt(2), math.sqrt(2), 0, 0])
    assert found["of deviation"] == pytest.approx(2) == found["dimensions"]
    assert found["gini of deviation"] == pytest.approx(0.5)
    assert found["of mean"] == participation(found["mean"])
    assert found["gini of mean"] == gini(found["mean"])


def test_variance_within_and_between_classes() -> None:
    rng = np.random.default_rng(2)
    classes = np.array([[0.0, 1, 2], [4.0, 1, 2], [8.0, 1, 2]])  # between: 32/3, at one step
    outputs = classes + 0.5 * rng.normal(size=(20000, 3, 3))  # within: 1/4, at each of three
    assert within_between(outputs) == pytest.approx(0.75 / (32 / 3), rel=0.02)
    assert within_between(np.repeat(classes[None], 4, axis=0)) == 0


def test_spectra() -> None:
    step = np.arange(64)
    slow, fast = np.cos(2 * np.pi * 4 * step / 64), np.cos(2 * np.pi * 20 * step / 64)
    target = np.stack([slow + fast, slow - 2 * fast])
    output = np.stack([slow + 0.5 * fast + 7, slow])
    assert fast_power(output, target) == pytest.approx(0.25 / 5)
    assert fast_power(3 * target, target) == pytest.approx(9)
    assert fast_power(np.roll(target, 5, axis=1), target) == pytest.approx(1)
    # amplitudes (1, 0.5) and (1, 1) in 2 of 32 places: by Pearson's formula
    amplitude = np.zeros((2, 32))
    amplitude[:, 3], amplitude[:, 19] = 1, [1, 0.5]
    expected = np.corrcoef(*amplitude)[0, 1]
    assert spectrum_match(output[:1], target[:1]) == pytest.approx([expected])
