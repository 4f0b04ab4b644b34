"""What can be said of the flip-flop neuron with pencil and paper, in numbers.

One unit, h' = J(1 - h) + (1 - K)h, with gates that are given, or fed by the unit itself. Nothing
here is trained and nothing needs torch; `docs/rate.md` has the proofs.

>>> state = 0.0
>>> for J, K in [(1, 0), (0, 0), (1, 1), (1, 1), (0, 1)]:  # set, hold, toggle, toggle, reset
...     state = float(step(J, K, state)); print(state)
1.0
1.0
0.0
1.0
0.0
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from neuroflip.circuit import Array
from neuroflip.units import as_array, as_float

_SUBCRITICAL = -math.log(2)  # below this offset outer fixed points come before 1/2 loses stability


@dataclass(frozen=True)
class ConstantGates:
    """What repeated steps with the same J and K do, see `fixed_points_scalar`.

    kind: "converge", every state goes to fixed_point; "hold", every state is a fixed point;
        "toggle", h and 1 - h alternate.
    fixed_point: J/(J + K); None where every state is one.
    multiplier: 1 - J - K, by which the distance from a fixed point is multiplied in a step.
    """

    kind: Literal["converge", "hold", "toggle"]
    fixed_point: float | None
    multiplier: float


@dataclass(frozen=True)
class FixedPoint:
    """A state that a step leaves as it is, see `fixed_points_self_gated`.

    h: the state. multiplier: the derivative of the step there. stable: whether its absolute value
    is below 1, decided by theory, so also where the multiplier rounds to 1.
    """

    h: float
    multiplier: float
    stable: bool


def step(J: Any, K: Any, h: Any) -> Array:
    """The state after one step, h' = J(1 - h) + (1 - K)h, float64.

    J, K: the set and the reset gate. h: the state. All in [0, 1], numbers or arrays of shapes
    that broadcast; so is the result. Kumari, Chandrasekaran & Chakravarthy 2023, Neural Comput.
    Appl. 35:24543, eq. 2, the characteristic equation of the JK flip-flop made continuous.

    Raises ValueError for values outside [0, 1] or that are no finite numbers, TypeError for what
    is no number.

    >>> step([0, 0, 1, 1], [0, 1, 0, 1], 0.25)
    array([0.25, 0.  , 1.  , 0.75])
    >>> step(1.5, 0, 0)
    Traceback (most recent call last):
        ...
    ValueError: J must be between 0 and 1; got 1.5.
    """
    set_gate, reset_gate, state = _unit(J, "J"), _unit(K, "K"), _unit(h, "h")
    after: Array = set_gate * (1 - state) + (1 - reset_gate) * state
    return after


def fixed_points_scalar(J: float, K: float) -> ConstantGates:
    """Where constant gates lead, from h' - h* = (1 - J - K)(h - h*), h* = J/(J + K).

    J, K: in [0, 1]. Raises ValueError outside, TypeError for what is no number.

    >>> fixed_points_scalar(0.125, 0.375)
    ConstantGates(kind='converge', fixed_point=0.25, multiplier=0.5)
    >>> fixed_points_scalar(0, 0)
    ConstantGates(kind='hold', fixed_point=None, multiplier=1.0)
    >>> fixed_points_scalar(1, 1)
    ConstantGates(kind='toggle', fixed_point=0.5, multiplier=-1.0)
    """
    J, K = float(_unit(as_float(J, "1", "J"), "J")), float(_unit(as_float(K, "1", "K"), "K"))
    if J == K == 0:
        return ConstantGates("hold", None, 1.0)
    return ConstantGates("toggle" if J == K == 1 else "converge", J / (J + K), 1 - J - K)


def hold_time(logit_j: float, logit_k: float) -> float:
    """Steps in which the distance from the fixed point falls to 1/e: -1/ln|1 - J - K|.

    logit_j, logit_k: the arguments of the sigmoids, J = 1/(1 + exp(-logit_j)) and so K. 0 where
    J + K = 1: the state is forgotten in one step. Where J + K > 1 the state also changes sides at
    each step, and this is the time constant of its amplitude. No cancellation: with S the sigmoid
    and s = logit_j + logit_k < 0, 1 - J - K = (1 - exp(s)) S(-logit_j) S(-logit_k).

    Raises ValueError or TypeError for what is no finite number.

    >>> [round(hold_time(logit, logit)) for logit in (-4, -6, -8, -10)]
    [27, 202, 1490, 11013]
    """
    j, k = as_float(logit_j, "1", "logit_j"), as_float(logit_k, "1", "logit_k")
    if j + k > 0:  # |1 - J - K| is the same for -j, -k
        j, k = -j, -k
    if j + k == 0:
        return 0.0
    log_multiplier = math.log(-math.expm1(j + k)) if j + k > -1 else math.log1p(-math.exp(j + k))
    log_multiplier += _log_sigmoid(-j) + _log_sigmoid(-k)
    return -1 / log_multiplier if log_multiplier else math.inf


def toggle_amplitude(logit: float, n: int) -> float:
    """What is left of |h - 1/2| after n toggles with both gates at `logit`: |1 - 2J|**n.

    n: number of steps, at least 0. Raises ValueError for a negative n, TypeError for one that is
    no whole number, and both for a logit as `hold_time` does.

    >>> [round(toggle_amplitude(logit, 512), 3) for logit in (6, 8, 10)]
    [0.079, 0.709, 0.955]
    """
    time = hold_time(as_float(logit, "1", "logit"), logit)
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"n must be a whole number of toggles; got {n!r}.")
    if n < 0:
        raise ValueError(f"n must be at least 0; got {n!r}.")
    if time == 0:
        return float(n == 0)
    return math.exp(-int(n) / time)


def critical_gain(offset: float) -> float:
    """The gain above which the self-gated unit is bistable.

    The unit is J = S(gain(h - 1/2) - offset), K = S(-gain(h - 1/2) - offset), S the sigmoid. With
    x = gain(h - 1/2) its fixed points solve

        phi(x) = 2x/gain,    phi(x) = sinh(x)/(cosh(x) + exp(-offset))

    so this is 2/max(phi(x)/x). For offset >= -ln 2 the maximum is phi'(0) = S(offset), and the
    result 2/S(offset): a supercritical pitchfork at h = 1/2. Below, the maximum is at an x > 0,
    and the two outer states appear, by saddle-nodes, before 1/2 loses its stability at 2/S(offset).

    Raises ValueError or TypeError for what is no finite number.

    >>> critical_gain(0.0)
    4.0
    >>> round(critical_gain(-3.0), 3), round(2 / 0.04742587, 3)  # 1/2 turns unstable at the second
    (12.699, 42.171)
    """
    offset = as_float(offset, "1", "offset")
    return 2 / _slope(_peak(offset), offset)


def is_bistable(gain: float, offset: float) -> bool:
    """Whether the self-gated unit of `critical_gain` has two stable states besides 1/2.

    For offset >= -ln 2, in particular for every unit that holds at rest, that is
    gain S(offset) > 2. Raises ValueError or TypeError for what is no finite number.

    >>> is_bistable(4.1, 0.0), is_bistable(3.9, 0.0)
    (True, False)
    """
    return as_float(gain, "1", "gain") > critical_gain(offset)


def fixed_points_self_gated(gain: float, offset: float) -> tuple[FixedPoint, ...]:
    """All fixed points in [0, 1] of the self-gated unit of `critical_gain`, by increasing h.

    There are 1, 3 or 5, symmetric about h = 1/2, which is always one. The others are found by
    bisection on phi(x)/x - 2/gain, which rises to one maximum and falls: each root has a bracket.
    At a gain below -2/S(-offset) the state 1/2 is unstable by a multiplier below -1: the unit
    oscillates with period 2.

    Raises ValueError or TypeError for what is no finite number.

    >>> for point in fixed_points_self_gated(8.0, 0.0):
    ...     print(f"{point.h:.4f} {point.multiplier:.3f} {point.stable}")
    0.0212 0.166 True
    0.5000 2.000 False
    0.9788 0.166 True
    """
    gain, offset = as_float(gain, "1", "gain"), as_float(offset, "1", "offset")
    hold, off = _sigmoid(offset), _sigmoid(-offset)
    middle_stable = gain * hold < 2 and gain * off > -2
    middle = FixedPoint(0.5, 1 - 2 * off + gain * hold * off, middle_stable)
    outer = []
    if gain > critical_gain(offset):
        peak = _peak(offset)
        outer.append((_root(gain, offset, gain / 2, peak), True))
        if gain * hold < 2:
            outer.append((_root(gain, offset, 0.0, peak), False))
    below, above = [], []
    for x, stable in sorted(outer, reverse=True):
        rate = _sigmoid(x - offset) + _sigmoid(-x - offset)  # J + K
        multiplier = 1 + rate * (gain * _phi_prime(x, offset) / 2 - 1)
        square, weight = math.exp(-2 * x), _weight(x, offset)
        low = (square + weight) / (1 + square + 2 * weight)  # (1 - phi)/2, exact near 0
        below.append(FixedPoint(low, multiplier, stable))
        above.append(FixedPoint(1 - low, multiplier, stable))
    return (*below, middle, *reversed(above))


def _unit(value: Any, name: str) -> Array:
    array = as_array(value, "1", name)
    bad = array[(array < 0) | (array > 1)]
    if bad.size:
        raise ValueError(f"{name} must be between 0 and 1; got {bad.flat[0]}.")
    return array


def _log_sigmoid(x: float) -> float:
    return min(x, 0.0) - math.log1p(math.exp(-abs(x)))


def _sigmoid(x: float) -> float:
    return math.exp(_log_sigmoid(x))


def _slope(x: float, offset: float) -> float:
    """phi(x)/x for x >= 0; phi'(0) at 0."""
    if x == 0:
        return _sigmoid(offset)
    return -math.expm1(-2 * x) / (1 + math.exp(-2 * x) + 2 * _weight(x, offset)) / x


def _phi_prime(x: float, offset: float) -> float:
    """phi'(x) = (1 + m cosh x)/(cosh x + m)**2 for x >= 0, m = exp(-offset)."""
    square, weight = math.exp(-2 * x), _weight(x, offset)
    below = 1 + square + 2 * weight
    return (4 * square + 2 * weight * (1 + square)) / (below * below)


def _weight(x: float, offset: float) -> float:
    """exp(-x - offset), held below overflow, where phi is 0 in any case."""
    return math.exp(min(-x - offset, 300.0))


def _peak(offset: float) -> float:
    """The x >= 0 at which phi(x)/x is largest."""
    if offset >= _SUBCRITICAL:
        return 0.0
    low, high = 0.0, 10 - 2 * offset
    while low < (middle := (low + high) / 2) < high:
        if _phi_prime(middle, offset) > _slope(middle, offset):
            low = middle
        else:
            high = middle
    return high


def _root(gain: float, offset: float, low: float, high: float) -> float:
    """The x between `low`, where phi(x)/x < 2/gain, and `high`, where it is above."""
    while min(low, high) < (middle := (low + high) / 2) < max(low, high):
        if _slope(middle, offset) < 2 / gain:
            low = middle
        else:
            high = middle
    return high
