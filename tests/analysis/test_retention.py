"""How long a bit is held: against a simulation written out in numpy, and Brian2."""

from typing import Any

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.analysis.copies import noisy, side_by_side, spikes_for
from neuroflip.analysis.holding import hold
from neuroflip.analysis.retention import Retention, retention
from neuroflip.circuits import edge_triggered_d, jk_flip_flop, sr_latch
from neuroflip.units import ms, mV, pA


def latch() -> nf.Circuit:
    """The SR latch with less inhibition than by default: it flips sooner."""
    return sr_latch(drive=300 * pA, inhibition=200 * pA)


def by_hand(sd: float, duration: float, trials: int, seed: int) -> np.ndarray[Any, Any]:
    """Times for which `latch` holds a 1 (s): two LIF neurons, Euler-Maruyama, the bit
    by the spikes of the last 50 ms; lost when it is wrong for 100 ms."""
    dt, tau, r, threshold = 1e-4, 20e-3, 100e6, 15e-3
    drive, w, delay, refractory = 300e-12, 200e-12, 11, 20  # delay: 10 steps, and 1 to arrive
    rng = np.random.default_rng(seed)
    steps = round((duration + 0.35) / dt)
    v = np.zeros((2, trials))
    inhibition = np.zeros((2, trials))
    inhibition[1] = 2 * w  # neuron 0, Q, wins
    last = np.full((2, trials), -(10**6))
    spikes = np.zeros((steps, 2, trials), bool)
    for k in range(steps):
        free = k - last >= refractory
        mean = (r * (drive - inhibition) - v) * dt / tau
        kick = sd * np.sqrt(2 * dt / tau) * rng.standard_normal(v.shape)
        v = np.where(free, v + mean + kick, v)
        inhibition *= np.exp(-dt / tau)
        fired = free & (v > threshold)
        v[fired] = 0.0
        last[fired] = k
        spikes[k] = fired
        if k >= delay:
            inhibition += w * spikes[k - delay, ::-1]
    recent = np.cumsum(spikes, axis=0, dtype=np.int32)
    recent[500:] -= recent[:-500].copy()
    sign = np.sign(recent[:, 0] - recent[:, 1])
    start = round(0.15 / dt)  # 150 ms to come to rest
    found = np.full(trials, duration)
    for n in range(trials):
        decided = np.where(sign[:, n] != 0, np.arange(steps), 0)
        bit = sign[np.maximum.accumulate(decided), n][start:] > 0
        edges = np.flatnonzero(np.diff(bit)) + 1
        for a, b in zip(edges, np.append(edges[1:], bit.size), strict=False):
            if not bit[a] and b - a >= 1000 and a * dt < duration:
                found[n] = a * dt
                break
    return found


def test_the_mean_is_that_of_a_simulation_by_hand() -> None:
    sd = 4.5 * mV
    found = retention(latch(), [sd], 2.0, trials=200, seed=1)
    (mean,), (error,) = found.lifetime()
    expected = by_hand(sd, 2.0, 200, seed=2)
    losses = np.count_nonzero(expected < 2.0)
    other = expected.sum() / losses
    assert found.losses[0] > 120
    assert abs(mean - other) < 3.5 * np.hypot(error, other / np.sqrt(losses))


@pytest.mark.parametrize("bit", [0, 1])
def test_without_noise_the_latch_holds_for_10_s(bit: int) -> None:
    found = retention(sr_latch(), [0.0], 10.0, trials=1, bit=bit)
    assert (found.losses[0], found.failed[0], found.times[0, 0]) == (0, 0, 10.0)
    assert np.isinf(found.lifetime()[0][0]) and np.isinf(found.lifetime()[1][0])


def test_noise_shortens_it_as_the_law_says() -> None:
    sds = np.array([0, 2.5, 3, 4, 5]) * mV
    found = retention(latch(), sds, 3.0, trials=100)
    mean, error = found.lifetime()
    assert found.losses[0] == 0 and np.all(found.failed == 0)
    assert found.alike.tolist() == [True, False, False, False, False]
    assert found.at_least()[0] == 3.0  # a hundred times the same trial is one
    assert np.all(np.diff(mean[2:]) < 0)
    assert np.allclose(error[1:], mean[1:] / np.sqrt(found.losses[1:]))
    line = found.arrhenius()
    assert line is not None and line.r_squared > 0.9 and line.b > 5 * line.b_error
    assert np.all(found.at_least()[1:] < mean[1:])
    data = found.to_json()
    assert data["lost"].tolist() == found.losses.tolist() and data["arrhenius"]["b"] == line.b
    text = str(found)
    assert "3, all alike" in text and "R²" in text and f"{mean[4]:.3g} ±" in text


def test_a_shorter_look_gives_the_same_mean() -> None:
    """Censoring does not bias the estimate."""
    (long,), (e1,) = retention(latch(), [4 * mV], 4.0, trials=150, seed=5).lifetime()
    (short,), (e2,) = retention(latch(), [4 * mV], 1.0, trials=150, seed=6).lifetime()
    assert abs(long - short) < 3.5 * np.hypot(e1, e2)


def test_survival() -> None:
    found = Retention(
        "x", "Q", 1, "numba", 0, 4.0, 0.1, np.array([1e-3]),
        np.array([[1.0, 4.0, 3.0, np.nan, 4.0]]), np.array([[True, False, True, False, False]]),
        np.array([False]),
    )  # fmt: skip
    times, alive, se = found.survival(0)
    assert (times.tolist(), alive.tolist()) == ([0, 1, 3], [1, 0.75, 0.5])
    assert se == pytest.approx([0, np.sqrt(0.75 * 0.25 / 4), 0.25])
    assert found.failed.tolist() == [1] and found.losses.tolist() == [2]
    assert found.lifetime()[0].tolist() == [6.0]  # 1 + 4 + 3 + 4 over 2
    assert [e.tolist() for e in found.errors()] == [[0.2], [0.4]]
    # 2 sum/chi2: the 95 % point of chi2 with 6 degrees of freedom is 12.592
    assert found.at_least()[0] == pytest.approx(24 / 12.592, rel=2e-3)
    assert found.arrhenius() is None


def test_a_stray_wrong_spike_is_no_loss() -> None:
    now = retention(latch(), [5 * mV], 1.0, trials=50, lasting=0.0)
    later = retention(latch(), [5 * mV], 1.0, trials=50, lasting=0.3)
    assert now.losses[0] > later.losses[0]


def test_a_pulse_too_weak_never_sets() -> None:
    found = retention(sr_latch(pulse=50 * pA), [0.0], 0.5, trials=3)
    assert found.failed[0] == 3 and found.losses[0] == 0
    assert np.isnan(found.times).all()


@pytest.mark.parametrize("build", [jk_flip_flop, edge_triggered_d])
def test_other_circuits(build) -> None:
    found = retention(build(), [2 * mV, 20 * mV], 0.3, trials=20)
    assert found.losses[0] == 0
    assert found.losses[1] + found.failed[1] > 15


def test_the_way_to_a_bit() -> None:
    assert hold(jk_flip_flop(), 1).rows == ({"J": 1, "K": 0},)
    assert hold(sr_latch(), 0).rows == ()
    with pytest.raises(ValueError, match="holds no Q = 1 by itself"):
        hold(nf.circuits.and_gate(), 1)
    with pytest.raises(ValueError, match="no output 'P'"):
        hold(sr_latch(), 1, "P")
    with pytest.raises(ValueError, match="bit must be 0 or 1; got 2"):
        hold(sr_latch(), 2)


def test_one_seed_one_result() -> None:
    def times(**options: Any) -> Any:
        return retention(latch(), [4 * mV, 4 * mV], 0.5, trials=70, **options).times

    first = times(seed=3)
    assert np.array_equal(first, times(seed=3, threads=2))
    assert not np.array_equal(first, times(seed=4))
    assert not np.array_equal(first[0], first[1])  # each sd has noise of its own
    assert first.shape == (2, 70)


def test_refusals() -> None:
    for sds, message in (([-1e-3], "sds must be at least 0 V"), ([], "sds must be a list")):
        with pytest.raises(ValueError, match=message):
            retention(sr_latch(), sds, 1.0)
    with pytest.raises(ValueError, match="duration must be above 0 s; got 0"):
        retention(sr_latch(), [0.0], 0.0)
    with pytest.raises(ValueError, match="trials must be a whole number"):
        retention(sr_latch(), [0.0], 1.0, trials=0)
    with pytest.raises(ValueError, match="no behaviour of a circuit called 'mine'"):
        retention(nf.Circuit("mine", [nf.Population("A", nf.LIF())]), [0.0], 1.0)


# ------------------------------------------------------------------ Brian2


def test_brian2_sends_the_same_spikes() -> None:
    """Noise included: the same seed is the same noise in every engine."""
    group = noisy(side_by_side([latch()] * 5), 5 * mV)
    inputs = spikes_for(sr_latch(), [{"S": [50 * ms], "R": []}] * 5)
    runs = [
        nf.simulate(group, inputs, duration=0.4, seed=1, engine=engine)
        for engine in ("numba", "brian2")
    ]
    for name in ("Q", "Qbar"):
        assert runs[0].spikes[name].size > 10
        assert np.array_equal(runs[0].spikes[name], runs[1].spikes[name])
        assert np.array_equal(runs[0].neurons[name], runs[1].neurons[name])


@pytest.mark.slow
@pytest.mark.parametrize("sd", [3.5 * mV, 4 * mV, 5 * mV])
def test_brian2_has_the_same_curve(sd: float) -> None:
    """With another seed, so that noise and all are drawn anew: within sampling error."""
    numba = retention(latch(), [sd], 2.0, trials=200, seed=1)
    brian2 = retention(latch(), [sd], 2.0, trials=50, seed=2, engine="brian2")
    (a,), (e,) = numba.lifetime()
    (b,), (f,) = brian2.lifetime()
    assert brian2.losses[0] > 15
    assert abs(np.log(a / b)) < 3.5 * np.hypot(e / a, f / b)
