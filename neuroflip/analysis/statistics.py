"""Estimates and their errors: proportions, censored lifetimes, a weighted line."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroflip.circuit import Array


def proportion_interval(right: Any, tried: Any, z: float = 1.96) -> tuple[Array, Array]:
    """The interval of a proportion, of 95 % with z = 1.96 (Wilson 1927, J. Am. Stat. Assoc.
    22:209).

    >>> low, high = proportion_interval(10, 10)
    >>> round(float(low), 3), float(high)
    (0.722, 1.0)
    """
    right, tried = np.asarray(right, np.float64), np.asarray(tried, np.float64)
    p = right / tried
    middle = (p + z**2 / (2 * tried)) / (1 + z**2 / tried)
    half = z / (1 + z**2 / tried) * np.sqrt(p * (1 - p) / tried + z**2 / (4 * tried**2))
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def mean_lifetime(times: Array, lost: Any) -> tuple[float, float]:
    """Mean of exponential lifetimes and its standard error, some of them censored.

    T = sum(times)/losses, the maximum of the likelihood, with standard error T/sqrt(losses)
    (Lawless 2003, Statistical Models and Methods for Lifetime Data, 4.1). times: until the loss
    or the end of the observation. lost: which were lost. Without a loss both are infinite.

    >>> mean_lifetime(np.array([1.0, 2.0, 5.0, 5.0]), [True, True, False, False])
    (6.5, 4.596194077712559)
    """
    losses = int(np.count_nonzero(lost))
    if losses == 0:
        return np.inf, np.inf
    mean = float(np.sum(times)) / losses
    return mean, mean / float(np.sqrt(losses))


def exponential_p(times: Array, lost: Any, end: float, draws: int = 500, seed: int = 0) -> float:
    """How often exponential lifetimes would look at least as little exponential as these.

    The largest distance between the observed distribution up to `end`, where all are censored,
    and the exponential one of the estimated mean, against the same of samples drawn from the
    latter, with their own estimated means (Lilliefors 1969, J. Am. Stat. Assoc. 64:387, censored).
    NaN with fewer than 5 losses.
    """
    times, lost = np.asarray(times), np.asarray(lost, bool)
    if np.count_nonzero(lost) < 5:
        return float("nan")

    def distance(sample: Array) -> float:
        ended = np.sort(sample[sample < end])
        if ended.size == 0:
            return 0.0
        mean = (ended.sum() + (sample.size - ended.size) * end) / ended.size
        expected = -np.expm1(-ended / mean)
        before = np.arange(ended.size) / sample.size
        return float(np.max(np.maximum(expected - before, before + 1 / sample.size - expected)))

    observed = np.where(lost, times, np.inf)  # beyond any end
    mean, _ = mean_lifetime(times, lost)
    rng = np.random.default_rng(seed)
    found = distance(observed)
    drawn = [distance(rng.exponential(mean, times.size)) for _ in range(draws)]
    return float((1 + np.count_nonzero(np.array(drawn) >= found)) / (1 + draws))


@dataclass(frozen=True)
class Line:
    """y = a + b x, fitted: the errors of a and b are standard errors."""

    a: float
    b: float
    a_error: float
    b_error: float
    r_squared: float


def weighted_line(x: Array, y: Array, error: Array) -> Line | None:
    """The line through points with known standard errors, by weighted least squares.

    Where the points scatter more than their errors, the errors of a and b are raised to match.
    None with fewer than 3 points.

    >>> line = weighted_line(np.array([0.0, 1, 2]), np.array([1.0, 3, 5]), np.ones(3))
    >>> round(line.a, 9), round(line.b, 9), round(line.r_squared, 9)
    (1.0, 2.0, 1.0)
    """
    if x.size < 3:
        return None
    design = np.stack([np.ones_like(x), x], axis=1) / error[:, None]
    covariance = np.linalg.inv(design.T @ design)
    a, b = covariance @ design.T @ (y / error)
    residual = float(np.sum(((y - a - b * x) / error) ** 2))
    middle = np.sum(y / error**2) / np.sum(1 / error**2)
    total = float(np.sum(((y - middle) / error) ** 2))
    raised = max(1.0, residual / (x.size - 2))
    a_error, b_error = np.sqrt(np.diag(covariance) * raised)
    return Line(float(a), float(b), float(a_error), float(b_error), 1 - residual / total)
