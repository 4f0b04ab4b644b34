"""The rate cell and the spiking flip-flop: one program, one sequence of bits."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.analysis import scaled, vary
from neuroflip.analysis.rate_twin import RateTwin, _fit, noisy_twins, rate_twin
from neuroflip.analysis.truth import behaviour_of
from neuroflip.circuits.behaviour import Behaviour
from neuroflip.units import ms, mV

TWINS = ["jk_flip_flop", "t_flip_flop", "edge_triggered_jk", "edge_triggered_t"]


@pytest.fixture(scope="module")
def jk() -> RateTwin:
    return rate_twin(nf.circuits.jk_flip_flop())


@pytest.fixture(scope="module")
def noisy() -> RateTwin:
    return rate_twin(nf.circuits.jk_flip_flop(), noise=5 * mV, steps=200)


@pytest.mark.parametrize("name", TWINS)
def test_a_thousand_steps_agree(name: str) -> None:
    twin = rate_twin(nf.circuits.CIRCUITS[name](), seed=1)
    assert twin.steps == 1000 and twin.ok and twin.agreement == 1.0
    assert twin.first_disagreement is None
    assert min(twin.correlations.values()) > 0.99
    assert twin.r2 > 0.9


def test_the_program_is_random_and_the_rate_cell_a_jk_flip_flop(jk: RateTwin) -> None:
    """Every row of the truth table comes up, and the states are those of the table."""
    rows = list(zip(jk.J.tolist(), jk.K.tolist(), strict=True))
    assert all(200 < rows.count((j, k)) < 300 for j in (0, 1) for k in (0, 1))
    bit = 0
    for n, row in enumerate(rows):
        before = bit
        bit = {(0, 0): bit, (1, 0): 1, (0, 1): 0, (1, 1): 1 - bit}[row]
        assert jk.h[n] == bit == jk.bits[n]
        assert jk.terms["G1"][n] == (row[0] == 1 and before == 0)
        assert jk.terms["G2"][n] == (row[1] == 1 and before == 1)
    assert rate_twin(nf.circuits.jk_flip_flop(), steps=30, seed=1).J.tolist() != jk.J[:30].tolist()


def test_spikes_are_counted_in_the_clock_step_that_sent_them() -> None:
    """Against a run of its own, driven by pulses written here."""
    circuit = nf.circuits.jk_flip_flop()
    twin = rate_twin(circuit, steps=12, seed=3)
    period, width = 76 * ms, 12 * ms
    spacing = behaviour_of(circuit).interval
    pulse = np.arange(0, width - spacing / 2, spacing)
    inputs = {
        name: np.concatenate([[], *((n + 1) * period + pulse for n in np.flatnonzero(on))])
        for name, on in (("J", twin.J), ("K", twin.K))
    }
    rec = nf.simulate(circuit, inputs, duration=1.2)
    for gate in ("G1", "G2"):
        step = np.floor(rec.spikes[gate] / period + 1e-9).astype(int) - 1
        counts = np.bincount(step, minlength=12)[:12]
        assert counts.tolist() == twin.spikes[gate].tolist()


def test_brian2_finds_the_same() -> None:
    circuit = nf.circuits.jk_flip_flop()
    fast, reference = (rate_twin(circuit, steps=4, engine=e) for e in ("numba", "brian2"))
    assert reference.bits.tolist() == fast.bits.tolist()
    assert all((reference.spikes[g] == fast.spikes[g]).all() for g in ("G1", "G2"))
    assert (reference.rate == fast.rate).all()


def test_correlations_are_pearsons(noisy: RateTwin) -> None:
    for gate in ("G1", "G2"):
        x, y = noisy.spikes[gate] - noisy.spikes[gate].mean(), noisy.terms[gate]
        y = y - y.mean()
        expected = (x * y).sum() / math.sqrt((x * x).sum() * (y * y).sum())
        assert noisy.correlations[gate] == pytest.approx(expected)
        assert noisy.correlations[gate] < 0.9999
        on = noisy.terms[gate] == 1
        assert noisy.normalised(gate)[on].mean() == pytest.approx(1)


def test_the_share_of_variance_is_that_of_the_integrated_equation(jk: RateTwin) -> None:
    """tau dh/dt = j(1 - h) - k h by small Euler steps, its gates open from the lag on."""
    dt = 0.005 * ms
    samples = np.rint(jk.phase / dt).astype(int)

    def relaxed(h: float, j: float, k: float) -> np.ndarray:
        trace = []
        for i in range(samples[-1] + 1):
            trace.append(h)
            if i * dt >= jk.lag:
                h += dt / jk.tau * (j * (1 - h) - k * h)
        return np.array(trace)[samples]

    before = np.concatenate([[0], jk.h[:-1]])
    steps = list(zip(before, jk.terms["G1"], jk.terms["G2"], strict=True))
    curves = {step: relaxed(*step) for step in set(steps)}
    half = jk.steps // 2
    expected = np.array([curves[step] for step in steps[half:]])
    found = jk.rate[half:] / jk.held_rate
    r2 = 1 - ((found - expected) ** 2).sum() / ((found - found.mean()) ** 2).sum()
    assert jk.r2 == pytest.approx(r2, abs=1e-4)
    assert jk.held_rate == pytest.approx(1250, rel=0.01)  # one spike each 0.8 ms


def test_the_fit_finds_lag_and_tau_again() -> None:
    rng = np.random.default_rng(0)
    bits = np.concatenate([[0], rng.integers(0, 2, 60)])
    change = np.stack([bits[:-1], bits[1:]], axis=1)
    phase = np.arange(0, 76, 0.8) * ms
    lag, tau = 13.7 * ms, 2.9 * ms
    late = np.clip(phase - lag, 0, None)
    rate = change[:, 1:] + (change[:, :1] - change[:, 1:]) * np.exp(-late / tau)
    assert _fit(phase, rate, change) == pytest.approx((lag, tau, 1.0), rel=1e-3)
    noise = rng.normal(0, 0.1, rate.shape)
    expected = 1 - noise[30:].var() / (rate + noise)[30:].var()
    assert _fit(phase, rate + noise, change)[2] == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("name", ["jk_flip_flop", "edge_triggered_jk"])
def test_varied_circuits_agree(name: str) -> None:
    for seed in range(3):
        twin = rate_twin(vary(nf.circuits.CIRCUITS[name](), 0.1, seed), steps=100, seed=seed)
        assert twin.ok and min(twin.correlations.values()) > 0.99


def test_a_circuit_that_holds_nothing_disagrees() -> None:
    twin = rate_twin(scaled(nf.circuits.jk_flip_flop(), "inhibition", 0.1), steps=60)
    assert not twin.ok and twin.agreement < 1
    first = next(n for n in range(60) if twin.bits[n] != twin.h[n])
    assert twin.first_disagreement == first
    assert f"first not at step {first}" in str(twin)


def test_noise_is_drawn_from_the_seed_and_undoes_agreement(noisy: RateTwin) -> None:
    again = rate_twin(nf.circuits.jk_flip_flop(), noise=5 * mV, steps=200)
    assert (again.spikes["G1"] == noisy.spikes["G1"]).all()
    assert "noise of 5 mV" in str(noisy)
    found = noisy_twins(nf.circuits.jk_flip_flop(), [0, 12 * mV], seeds=2, steps=60)
    assert (found.agreement[0] == 1).all() and (found.agreement[1] < 0.9).all()
    assert (found.correlations["G1"][1] < 0.5).all()
    assert "12 mV" in str(found)


def test_noise_of_no_spread_is_no_noise() -> None:
    circuit = nf.circuits.jk_flip_flop()
    found = noisy_twins(circuit, [0.0], seeds=1, steps=20)
    twin = rate_twin(circuit, steps=20)
    assert found.agreement[0, 0] == twin.agreement
    assert "1.0000" in str(found)


def test_a_slower_clock_of_ones_own() -> None:
    circuit = nf.circuits.jk_flip_flop()
    usual = behaviour_of(circuit)
    slow = Behaviour(
        usual.on, usual.outputs, usual.step, 2 * usual.period, usual.read, usual.interval, start=0
    )
    twin = rate_twin(circuit, slow, steps=10)
    assert twin.ok and twin.phase[-1] > usual.period


def test_what_never_changes_has_no_correlation() -> None:
    twin = rate_twin(nf.circuits.jk_flip_flop(), steps=2, seed=_seed_without_reset())
    assert twin.ok and math.isnan(twin.correlations["G2"])
    assert twin.to_json()["correlations"]["G2"] is None


def _seed_without_reset() -> int:
    return next(
        s for s in range(100) if not np.random.default_rng(s).integers(0, 2, (2, 2))[1].any()
    )


def test_the_report_is_json_and_a_table(jk: RateTwin) -> None:
    data = json.loads(json.dumps(jk.to_json(), allow_nan=False))
    assert data["ok"] and data["steps"] == 1000 and data["agreement"] == 1.0
    text = str(jk)
    assert "1000 of 1000 steps agree" in text and "J(1-h)" in text and "R2" in text


def test_both_figures_are_written(noisy: RateTwin, tmp_path: Path) -> None:
    figure = noisy.plot(tmp_path / "twin.png")
    assert (tmp_path / "twin.png").read_bytes().startswith(b"\x89PNG")
    titles = [axes.get_title() for axes in figure.axes]
    assert f"G1: r = {noisy.correlations['G1']:.4f}" in titles
    scatter = next(a for a in figure.axes if a.get_title().startswith("G2: r"))
    (points,) = (line for line in scatter.lines if line.get_marker() == "o")
    assert points.get_ydata() == pytest.approx(noisy.normalised("G2"))
    found = noisy_twins(nf.circuits.jk_flip_flop(), [0, 1 * mV], seeds=2, steps=10)
    found.plot(tmp_path / "noise.svg")
    assert (tmp_path / "noise.svg").exists()
    for twin in (noisy, found):
        with pytest.raises(ValueError, match="must end in"):
            twin.plot(tmp_path / "twin.bmp")


def test_what_is_no_twin_is_refused() -> None:
    with pytest.raises(ValueError, match="'sr_latch' has no G1, no G2, no inputs J and K, or T"):
        rate_twin(nf.circuits.sr_latch())
    with pytest.raises(ValueError, match="no behaviour of a circuit called 'mine'"):
        circuit = nf.circuits.jk_flip_flop()
        rate_twin(nf.Circuit("mine", circuit.populations))
    jk = nf.circuits.jk_flip_flop()
    for arguments, message in (
        ({"steps": 1}, "steps must be a whole number, at least 2; got 1"),
        ({"steps": 10.0}, "steps must be a whole number"),
        ({"seed": -1}, "seed must be a whole number, at least 0; got -1"),
        ({"noise": -1e-3}, "noise must be at least 0 V; got -0.001"),
        ({"dt": 0.0}, "dt must be above 0 s"),
        ({"engine": "numbra"}, "unknown engine 'numbra'; did you mean 'numba'"),
    ):
        with pytest.raises(ValueError, match=message):
            rate_twin(jk, **arguments)
    with pytest.raises(ValueError, match="seeds must be a whole number, at least 1"):
        noisy_twins(jk, [0.0], seeds=0)
    with pytest.raises(ValueError, match="at least one standard deviation"):
        noisy_twins(jk, [])
