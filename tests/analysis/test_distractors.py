"""Distractors, against runs of a single circuit, and the threshold of known curves."""

import dataclasses

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.analysis.copies import noisy
from neuroflip.analysis.distractors import DistractorCurve, _falling, distractor_curve
from neuroflip.circuits import edge_triggered_t, jk_flip_flop, not_gate, sr_latch
from neuroflip.units import ms, mV, pA


def curve(strengths: list[float], right: list[int], tried: int = 100) -> DistractorCurve:
    return DistractorCurve(
        "x", "Q", 1, "weight", "R", 0.0, np.array(strengths, float), np.array(right),
        np.full(len(right), tried),
    )  # fmt: skip


def test_threshold_is_interpolated() -> None:
    assert curve([0, 1, 2, 3], [100, 80, 20, 0]).threshold() == pytest.approx((1.5, 1, 2))
    # a point that rises is pooled with the one before: 60 and 70 are 65 twice
    assert curve([0, 1, 2, 3], [100, 60, 70, 20]).threshold()[0] == pytest.approx(2 + 15 / 45)
    # what is not sure widens the interval
    assert curve([0, 1, 2, 3], [10, 6, 4, 0], 10).threshold() == pytest.approx((1.5, 0, 3))
    # the order in which strengths are given does not matter
    assert curve([3, 0, 2, 1], [0, 100, 20, 80]).threshold()[0] == pytest.approx(1.5)


def test_threshold_out_of_sight() -> None:
    at, first, last = curve([0, 1], [100, 99]).threshold()
    assert np.isnan(at) and first == 1 and np.isnan(last)
    at, first, last = curve([0, 1], [3, 1]).threshold()
    assert np.isnan(at) and np.isnan(first) and last == 0


def test_pooling() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        values, weights = rng.random(7), rng.integers(1, 50, 7)
        found = _falling(values, weights)
        assert np.all(np.diff(found) <= 1e-12)
        assert np.sum(found * weights) == pytest.approx(np.sum(values * weights))
        # no other falling sequence is nearer
        for _ in range(20):
            other = np.sort(found + 0.05 * rng.standard_normal(7))[::-1]
            best = np.sum(weights * (found - values) ** 2)
            assert best <= np.sum(weights * (other - values) ** 2) + 1e-12


def alone(weight: float, begins: list[float], noise: float = 0.0) -> int:
    """In how many runs of one latch the bit is right after a pulse at R of this weight."""
    circuit = sr_latch()
    projections = [
        dataclasses.replace(p, weight=p.weight * weight) if p.pre == "R" else p
        for p in circuit.projections
    ]
    weak = noisy(dataclasses.replace(circuit, projections=projections), noise)
    right = 0
    for begin in begins:
        rec = nf.simulate(weak, {"S": [0.5], "R": [begin]}, duration=1.6)
        right += int(rec.bit("Q")[1][-1])
    return right


def test_a_weak_pulse_is_withstood_as_in_runs_of_one_circuit() -> None:
    strengths = [0.1, 0.2, 0.3, 0.5]
    found = distractor_curve(sr_latch(), strengths, noise=0.0, trials=40, seed=1)
    assert found.tried.tolist() == [40] * 4
    begins = (0.99 + np.random.default_rng(5).uniform(0, 0.05, 25)).tolist()
    expected = np.array([alone(strength, begins) for strength in strengths]) / 25
    fraction, *_ = found.fraction()
    assert expected[0] == 1 and expected[-1] == 0
    spread = np.sqrt(np.maximum(expected * (1 - expected), 0.02) * (1 / 40 + 1 / 25))
    assert np.all(np.abs(fraction - expected) < 3.5 * spread)
    assert 0.1 < found.threshold()[0] < 0.5


@pytest.mark.parametrize(
    ("kind", "strengths", "options"),
    [
        ("number", [0, 10], {"weight": 0.2}),
        ("current", [0.0, 2000 * pA], {"width": 100 * ms}),
        ("weight", [0, 1], {"bit": 0}),
        ("current", [0.0, 2000 * pA], {"bit": 0, "width": 100 * ms}),
    ],
)
def test_kinds(kind: str, strengths: list[float], options: dict) -> None:
    found = distractor_curve(sr_latch(), strengths, kind, trials=20, **options)
    assert found.right.tolist() == [20, 0]
    bit = options.get("bit", 1)
    wrong = ("Q" if bit == 0 else "Qbar") if kind == "current" else ("S" if bit == 0 else "R")
    assert found.target == wrong and found.bit == bit
    assert "half are lost at" in str(found)


def test_logic_circuits() -> None:
    found = distractor_curve(jk_flip_flop(), [1, 15], "number", noise=1 * mV, trials=15)
    assert (found.target, found.right.tolist()) == ("K", [15, 0])
    found = distractor_curve(edge_triggered_t(), [0.1, 1], noise=1 * mV, trials=10)
    assert (found.target, found.right.tolist()) == ("T", [10, 0])


def test_refusals() -> None:
    with pytest.raises(ValueError, match="kind: there is no 'wieght'; did you mean 'weight'"):
        distractor_curve(sr_latch(), [1], "wieght")
    with pytest.raises(ValueError, match="strengths must be a list of numbers, at least 0"):
        distractor_curve(sr_latch(), [-1.0])
    with pytest.raises(ValueError, match="whole numbers for kind 'number'"):
        distractor_curve(sr_latch(), [0.5], "number")
    with pytest.raises(ValueError, match="holds no Q = 1"):
        distractor_curve(not_gate(), [0.5])
