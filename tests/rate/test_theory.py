"""The closed forms of the flip-flop neuron, against iteration, brute force and exact values."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroflip.rate.theory import (
    ConstantGates,
    critical_gain,
    fixed_points_scalar,
    fixed_points_self_gated,
    hold_time,
    is_bistable,
    step,
    toggle_amplitude,
)

UNIT = st.floats(0, 1)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def self_gated(h, gain: float, offset: float):
    """One step of the self-gated unit, as it is defined."""
    J, K = sigmoid(gain * (h - 0.5) - offset), sigmoid(-gain * (h - 0.5) - offset)
    return J * (1 - h) + (1 - K) * h


def settle(h, gain: float, offset: float, steps: int = 200_000):
    for _ in range(steps):
        before, h = h, self_gated(h, gain, offset)
        if np.array_equal(before, h):
            break
    return h


# One step


def test_the_jk_truth_table_is_exact() -> None:
    J, K, h = (np.array(bits) for bits in zip(*np.ndindex(2, 2, 2), strict=True))
    expected = [0, 1, 0, 0, 1, 1, 1, 0]  # hold hold, reset reset, set set, toggle toggle
    assert step(J, K, h).tolist() == expected


@given(UNIT, UNIT, UNIT)
def test_the_state_stays_in_the_unit_interval(J: float, K: float, h: float) -> None:
    assert 0 <= step(J, K, h) <= 1


def test_a_step_predicts_a_two_state_markov_chain() -> None:
    rng = np.random.default_rng(0)
    chains, h = 40_000, 0.3
    bit = rng.random(chains) < h
    for _ in range(5):
        J, K = rng.random(2)
        bit = np.where(bit, rng.random(chains) >= K, rng.random(chains) < J)
        h = float(step(J, K, h))
        assert abs(bit.mean() - h) < 4 * math.sqrt(h * (1 - h) / chains)


def test_a_step_broadcasts() -> None:
    assert step(np.zeros((3, 1)), 0.5, np.ones(2)).tolist() == [[0.5, 0.5]] * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.5, 0, 0), r"J must be between 0 and 1; got 1\.5"),
        ((0, [0.5, -0.1], 0), r"K must be between 0 and 1; got -0\.1"),
        ((0, 0, 2), r"h must be between 0 and 1; got 2\.0"),
        ((0, 0, math.nan), r"h must be finite numbers"),
    ],
)
def test_a_step_refuses_what_is_no_probability(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        step(*arguments)


# Constant gates


@given(UNIT, UNIT, UNIT)
def test_constant_gates_do_what_their_kind_says(J: float, K: float, h: float) -> None:
    found = fixed_points_scalar(J, K)
    once = float(step(J, K, h))
    if found.fixed_point is None:
        assert found.kind == "hold" and once == h
        return
    assert step(J, K, found.fixed_point) == pytest.approx(found.fixed_point, abs=1e-15)
    away = found.multiplier * (h - found.fixed_point)
    assert once - found.fixed_point == pytest.approx(away, abs=1e-15)


def test_the_two_cases_that_do_not_converge() -> None:
    assert fixed_points_scalar(0, 0) == ConstantGates("hold", None, 1.0)
    assert fixed_points_scalar(1, 1) == ConstantGates("toggle", 0.5, -1.0)
    assert fixed_points_scalar(1, 0) == ConstantGates("converge", 1.0, 0.0)
    assert fixed_points_scalar(0, 1e-300).kind == "converge"
    with pytest.raises(ValueError, match="K must be between 0 and 1; got 2.0"):
        fixed_points_scalar(0, 2)
    with pytest.raises(TypeError, match="J must be one number"):
        fixed_points_scalar([0, 1], 0)  # type: ignore[arg-type]


# Input-driven gates: how long they hold, how long they toggle


@pytest.mark.parametrize(("logit", "steps"), [(-4, 27), (-6, 202), (-8, 1490), (-10, 11013)])
def test_hold_times(logit: float, steps: int) -> None:
    assert round(hold_time(logit, logit)) == steps


@given(st.floats(-12, 12), st.floats(-12, 12))
def test_hold_time_is_the_decay_of_the_distance(logit_j: float, logit_k: float) -> None:
    multiplier = 1 - sigmoid(logit_j) - sigmoid(logit_k)
    if abs(multiplier) > 1e-6:  # the plain form cancels near 0
        expected = -1 / math.log(abs(multiplier))
        assert hold_time(logit_j, logit_k) == pytest.approx(expected, rel=1e-8)
    assert hold_time(logit_j, logit_k) == hold_time(-logit_j, -logit_k)


def test_hold_time_where_the_plain_form_has_no_digits_left() -> None:
    assert hold_time(-50, -50) == pytest.approx(math.exp(50) / 2, rel=1e-14)
    assert hold_time(60, -50) == hold_time(50, -60) == pytest.approx(1 / 50, rel=1e-3)
    assert hold_time(3, -3) == hold_time(0, 0) == 0
    assert hold_time(-1e-9, 0) == pytest.approx(-1 / math.log(1e-9 / 4), rel=1e-8)
    assert hold_time(800, 800) == hold_time(-800, -800) == math.inf


@pytest.mark.parametrize(("logit", "left"), [(6, 0.079), (8, 0.71), (10, 0.95)])
def test_what_512_toggles_leave(logit: float, left: float) -> None:
    J = sigmoid(logit)
    h = 1.0
    for _ in range(512):
        h = float(step(J, J, h))
    assert toggle_amplitude(logit, 512) == pytest.approx(abs(2 * h - 1), rel=1e-10)
    assert toggle_amplitude(logit, 512) == pytest.approx(left, abs=0.005)


def test_toggle_amplitude_at_the_ends() -> None:
    assert toggle_amplitude(5, 0) == toggle_amplitude(0, 0) == toggle_amplitude(800, 10**6) == 1
    assert toggle_amplitude(0, 1) == 0
    with pytest.raises(ValueError, match="n must be at least 0; got -1"):
        toggle_amplitude(5, -1)
    with pytest.raises(TypeError, match=r"n must be a whole number of toggles; got 1\.5"):
        toggle_amplitude(5, 1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="logit must be a finite number"):
        toggle_amplitude(math.inf, 1)


# The self-gated unit


@pytest.mark.parametrize("offset", [0.0, 2.0, 4.0])
def test_the_pitchfork_seen_by_iteration(offset: float) -> None:
    """Below the critical gain both starts meet at 1/2, above it they stay apart."""
    critical = 2 / sigmoid(offset)
    assert critical_gain(offset) == pytest.approx(critical, rel=1e-15)
    starts = np.array([0.01, 0.99])

    assert not is_bistable(0.97 * critical, offset)
    assert settle(starts, 0.97 * critical, offset) == pytest.approx([0.5, 0.5], abs=1e-9)
    [middle] = fixed_points_self_gated(0.97 * critical, offset)
    assert middle.stable and 0 < middle.multiplier < 1

    assert is_bistable(1.03 * critical, offset)
    points = fixed_points_self_gated(1.03 * critical, offset)
    assert [point.stable for point in points] == [True, False, True]
    low, high = settle(starts, 1.03 * critical, offset)
    assert (low, high) == pytest.approx((points[0].h, points[2].h), abs=1e-9)
    assert high - low > 0.1


@pytest.mark.parametrize("offset", [-2.0, 0.0, 2.0, 4.0])
def test_the_multiplier_at_one_half(offset: float) -> None:
    hold, off = sigmoid(offset), sigmoid(-offset)
    middle = [p for p in fixed_points_self_gated(3.0, offset) if p.h == 0.5]
    assert middle[0].multiplier == pytest.approx(1 - 2 * off + 3 * hold * off, rel=1e-13)


def test_a_unit_with_a_very_low_offset_is_bistable_before_the_pitchfork() -> None:
    """Below offset -ln 2, gain S(offset) > 2 is sufficient and no longer necessary."""
    gain, offset = 20.0, -3.0
    assert gain * sigmoid(offset) < 2 and is_bistable(gain, offset)
    points = fixed_points_self_gated(gain, offset)
    assert [p.stable for p in points] == [True, False, True, False, True]
    low, middle, high = settle(np.array([0.05, 0.5 + 1e-3, 0.95]), gain, offset)
    assert (low, middle, high) == pytest.approx((points[0].h, 0.5, points[4].h), abs=1e-12)
    assert critical_gain(-math.log(2)) == pytest.approx(6.0, rel=1e-12)
    for offset in (-0.7, -1.0, -3.0, -8.0):
        assert critical_gain(offset) < 2 / sigmoid(offset)
        assert len(fixed_points_self_gated(critical_gain(offset) * (1 - 1e-6), offset)) == 1
        assert len(fixed_points_self_gated(critical_gain(offset) * (1 + 1e-6), offset)) == 5


@settings(max_examples=60, deadline=None)
@given(
    offset=st.floats(-5, 5),
    scale=st.sampled_from([-1.5, 0.0, 0.5, 0.97, 1.03, 1.5, 2.5]),
    pitchfork=st.booleans(),
)
def test_all_fixed_points_are_found(offset: float, scale: float, pitchfork: bool) -> None:
    """Against the sign changes of J(1 - h) - Kh on a grid of 400,000 states below 1/2."""
    gain = scale * (2 / sigmoid(offset) if pitchfork else critical_gain(offset))
    h = sigmoid(np.linspace(-400, -1e-4, 400_001))
    J, K = sigmoid(gain * (h - 0.5) - offset), sigmoid(-gain * (h - 0.5) - offset)
    side = np.sign(J * (1 - h) - K * h)
    below = h[:-1][side[:-1] * side[1:] < 0]
    points = fixed_points_self_gated(gain, offset)
    assert [p.h for p in points if p.h < 0.5] == pytest.approx(below.tolist(), rel=2e-3, abs=0)
    assert [p.h for p in points] == pytest.approx([1 - p.h for p in reversed(points)], abs=1e-15)
    assert is_bistable(gain, offset) == (sum(p.stable for p in points if p.h != 0.5) == 2)
    for point in points:
        near = point.h + np.array([-1e-6, 1e-6])
        slope = float(np.diff(self_gated(near, gain, offset))[0]) / 2e-6
        assert point.multiplier == pytest.approx(slope, abs=1e-6 * max(1.0, abs(gain)))
        if abs(abs(slope) - 1) > 1e-4 * max(1.0, abs(gain)):
            assert point.stable == (abs(slope) < 1)


def test_a_negative_gain_oscillates_with_period_two() -> None:
    critical = -2 / sigmoid(-1.0)
    [calm] = fixed_points_self_gated(0.97 * critical, 1.0)
    assert calm.stable and calm.multiplier > -1
    [loud] = fixed_points_self_gated(1.03 * critical, 1.0)
    assert not loud.stable and loud.multiplier < -1
    h = 0.6
    for _ in range(5000):
        h = self_gated(h, 1.03 * critical, 1.0)
    assert self_gated(h, 1.03 * critical, 1.0) == pytest.approx(1 - h, abs=1e-9)
    assert abs(h - 0.5) > 0.05


def test_extreme_parameters_give_numbers() -> None:
    points = fixed_points_self_gated(1e6, 700.0)
    assert [p.h for p in points] == [0, 0.5, 1]
    assert [p.stable for p in points] == [True, False, True]
    assert critical_gain(1e300) == 2 and critical_gain(-1e6) == pytest.approx(2e6, rel=1e-4)
    assert fixed_points_self_gated(0, -1e6)[0].multiplier == -1
    with pytest.raises(ValueError, match="gain must be a finite number"):
        is_bistable(math.nan, 0.0)
    with pytest.raises(TypeError, match="offset must be one number"):
        critical_gain("2")  # type: ignore[arg-type]
