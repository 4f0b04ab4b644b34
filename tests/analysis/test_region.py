"""Regions where a latch latches, against the notes' table, the closed form and an integration."""

import warnings

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.analysis.region import latch_region, mean_field_latch, phase_plane
from neuroflip.circuits import can_latch, firing_rate, loser_potential, sr_latch
from neuroflip.circuits.mean_field import siegert_rate
from neuroflip.units import ms, mV, pA

NEURON = nf.LIF(tau_e=20 * ms)


def test_points_of_known_rates() -> None:
    """Two that hold and two that do not: 21 and 23 Hz, 40 and 40 Hz (hand-written Brian2)."""
    drives, weights = np.array([200, 300]) * pA, np.array([60, 100, 150, 200]) * pA
    found = latch_region(sr_latch, ("drive", drives), ("inhibition", weights))
    assert found.latches.tolist() == [[False, False], [True, False], [True, True], [True, True]]
    assert found.contrast[0, 0] < 0.3 and found.contrast[3, 1] == 1.0


def test_the_region_is_that_of_the_closed_form_but_for_its_edge() -> None:
    drives, weights = np.linspace(100, 400, 12) * pA, np.linspace(20, 400, 12) * pA
    found = latch_region(sr_latch, ("drive", drives, "A"), ("inhibition", weights, "A"))
    assert found.agreement > 0.95
    for i, w in enumerate(weights):
        for j, drive in enumerate(drives):
            assert found.expected[i, j] == can_latch(NEURON, drive, w)
    for drive, w, expected, contrast in found.disagreements():
        # the mean-field loser leaks close to its threshold only
        assert expected and contrast < 0.5
        assert loser_potential(NEURON, drive, w) > 9 * mV
    assert "agrees at" in str(found) and "100 pA to 400 pA" in str(found)


def test_weights_and_delays_are_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from neuroflip.analysis import region

    runs = []

    def counted(circuit, *args, **kwargs):
        runs.append(circuit.sizes()["Q"])
        return nf.simulate(circuit, *args, **kwargs)

    monkeypatch.setattr(region, "simulate", counted)
    xs, ys = np.array([1, 3]) * ms, np.array([100, 250, 300]) * pA
    found = latch_region(sr_latch, ("delay", xs), ("inhibition", ys))
    assert runs == [6]
    assert found.latches.tolist() == [[False, False], [True, True], [True, True]]
    # and each is what it is alone
    for i, w in enumerate(ys):
        alone = latch_region(sr_latch, ("delay", xs[1:]), ("inhibition", [w]))
        assert alone.contrast[0, 0] == found.contrast[i, 1]


def test_four_neurons_and_circuits_without_a_closed_form() -> None:
    found = latch_region(
        lambda **p: sr_latch(4, **p), ("excitation", [60e-12, 240e-12]), ("pulse", [1.5e-9])
    )
    assert found.expected is None and np.isnan(found.agreement)
    assert found.latches.tolist() == [[False, True]]
    assert found.disagreements() == []
    said = latch_region(
        sr_latch, ("inhibition", [300e-12]), ("pulse", [1.5e-9]), condition=lambda c: False
    )
    assert said.disagreements() == [(300e-12, 1.5e-9, False, 1.0)]
    assert mean_field_latch(nf.circuits.jk_flip_flop()) is None


def test_no_warning_of_points_that_cannot_latch() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        latch_region(sr_latch, ("drive", [300e-12]), ("inhibition", [50e-12]))


def test_refusals() -> None:
    with pytest.raises(TypeError, match=r"x must be \(name of a parameter, values\)"):
        latch_region(sr_latch, "drive", ("inhibition", [1e-10]))
    with pytest.raises(ValueError, match="y: there must be a list of values"):
        latch_region(sr_latch, ("drive", [1e-10]), ("inhibition", []))
    with pytest.raises(TypeError, match="unexpected keyword argument 'dirve'"):
        latch_region(sr_latch, ("dirve", [1e-10]), ("inhibition", [1e-10]))


# ------------------------------------------------------------------ phase plane


@pytest.mark.parametrize("noise", [0.0, 3 * mV])
@pytest.mark.parametrize(("weight", "many"), [(200 * pA, 3), (100 * pA, 1)])
def test_fixed_points(noise: float, weight: float, many: int) -> None:
    found = phase_plane(NEURON, 300 * pA, weight, noise=noise)
    assert len(found.fixed_points) == many
    assert found.bistable == (many == 3)

    def rate(other: float) -> float:
        inward = 300 * pA - weight * NEURON.tau_i * other
        mean = NEURON.resistance * inward
        return siegert_rate(mean, noise, NEURON.tau_m, NEURON.v_threshold, 0, NEURON.refractory)

    for p in found.fixed_points:
        assert (p.first, p.second) == pytest.approx((rate(p.second), rate(p.first)), abs=1e-6)
        # rates that start beside it come back, or go away
        r = np.array([p.first + 0.2, max(p.second - 0.2, 0.0)])
        for _ in range(200):
            r += 0.1 * (np.array([rate(r[1]), rate(r[0])]) - r)
        near = np.abs(r - [p.first, p.second]).max() < 0.1
        assert near == p.stable


def test_the_symmetric_state_is_that_of_the_measured_rates() -> None:
    """Without a latch both fire at 40 Hz (hand-written Brian2, 300 pA and 100 pA)."""
    (point,) = phase_plane(NEURON, 300 * pA, 100 * pA).fixed_points
    assert round(point.first) == round(point.second) == 40


def test_bistable_where_the_latch_condition_holds() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        current, weight = rng.uniform(160, 500) * pA, rng.uniform(20, 400) * pA
        if abs(loser_potential(NEURON, current, weight) - NEURON.v_threshold) < 1 * mV:
            continue
        expected = can_latch(NEURON, current, weight)
        found = phase_plane(NEURON, current, weight, points=801)
        assert found.bistable == expected
        seen.add(expected)
    assert seen == {True, False}


def test_nullclines() -> None:
    found = phase_plane(NEURON, 300 * pA, 200 * pA, points=11)
    assert found.rates.size == found.response.size == 11
    assert found.response[0] == pytest.approx(firing_rate(NEURON, 300 * pA))
    assert np.all(np.diff(found.response) <= 0)
    with pytest.raises(ValueError, match="points must be at least 3"):
        phase_plane(NEURON, 300 * pA, 200 * pA, points=2)
    with pytest.raises(ValueError, match="noise must be at least 0 V"):
        phase_plane(NEURON, 300 * pA, 200 * pA, noise=-1e-3)
