"""Estimates against likelihoods maximised by search, numpy's fits, and samples of known law."""

import numpy as np
import pytest

from neuroflip.analysis.statistics import (
    exponential_p,
    mean_lifetime,
    proportion_interval,
    weighted_line,
)


def censored(rng: np.random.Generator, mean: float, end: float, size: int) -> tuple:
    times = rng.exponential(mean, size)
    return np.minimum(times, end), times < end


def test_mean_lifetime_maximises_the_likelihood() -> None:
    times, lost = censored(np.random.default_rng(0), 3.0, 2.0, 80)
    mean, error = mean_lifetime(times, lost)
    grid = np.linspace(0.5, 12, 200_001)
    log_likelihood = -lost.sum() * np.log(grid) - times.sum() / grid
    assert mean == pytest.approx(grid[log_likelihood.argmax()], abs=1e-4)
    # the standard error from the curvature at the maximum
    h = 1e-3
    at = np.array([mean - h, mean, mean + h])
    bent = np.diff(-lost.sum() * np.log(at) - times.sum() / at, 2)[0] / h**2
    assert error == pytest.approx(1 / np.sqrt(-bent), rel=1e-3)


def test_the_standard_error_is_the_spread_of_estimates() -> None:
    rng = np.random.default_rng(1)
    found = np.array([mean_lifetime(*censored(rng, 2.0, 3.0, 200)) for _ in range(400)])
    assert found[:, 0].mean() == pytest.approx(2.0, rel=0.02)
    assert found[:, 0].std() == pytest.approx(found[:, 1].mean(), rel=0.12)


def test_nothing_lost() -> None:
    assert mean_lifetime(np.ones(5), np.zeros(5, bool)) == (np.inf, np.inf)


def test_p_exponential_is_even_for_exponential_lifetimes() -> None:
    rng = np.random.default_rng(2)
    found = np.array([exponential_p(*censored(rng, 1.0, 1.5, 60), 1.5, 200) for _ in range(80)])
    assert 0.4 < found.mean() < 0.6
    assert 0.01 < np.mean(found < 0.1) < 0.2


@pytest.mark.parametrize("shape", [4.0, 0.3])
def test_p_exponential_is_small_for_others(shape: float) -> None:
    times = np.random.default_rng(3).gamma(shape, 1 / shape, 200)
    assert exponential_p(np.minimum(times, 3.0), times < 3.0, 3.0) < 0.01


def test_p_exponential_of_few_is_unknown() -> None:
    assert np.isnan(exponential_p(np.ones(4) * 0.5, np.ones(4, bool), 1.0))


@pytest.mark.parametrize(
    ("right", "tried", "low", "high"),
    [(8, 10, 0.490, 0.943), (0, 10, 0.0, 0.278), (50, 100, 0.404, 0.596)],
)
def test_wilson(right: int, tried: int, low: float, high: float) -> None:
    found = proportion_interval(right, tried)
    assert [float(f) for f in found] == pytest.approx([low, high], abs=5e-4)


def test_weighted_line_is_that_of_numpy() -> None:
    rng = np.random.default_rng(4)
    x, error = np.linspace(0, 3, 8), rng.uniform(0.5, 2, 8)
    y = 1 + 2 * x + 0.2 * error * rng.standard_normal(8)  # scatters less than its errors
    line = weighted_line(x, y, error)
    (b, a), covariance = np.polyfit(x, y, 1, w=1 / error, cov="unscaled")
    assert line is not None
    assert (line.a, line.b) == pytest.approx((a, b))
    assert (line.b_error, line.a_error) == pytest.approx(np.sqrt(np.diag(covariance)))
    y = 1 + 2 * x + 5 * error * rng.standard_normal(8)  # and more: numpy scales by it
    raised = weighted_line(x, y, error)
    _, covariance = np.polyfit(x, y, 1, w=1 / error, cov=True)
    assert raised is not None
    assert (raised.b_error, raised.a_error) == pytest.approx(np.sqrt(np.diag(covariance)))
    assert weighted_line(x[:2], y[:2], error[:2]) is None
