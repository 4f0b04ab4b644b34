"""The reverberating loop: its period, that it holds, sets and resets, and when it cannot."""

import warnings
from typing import Any

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.circuits.delay_loop import delay_loop, loop_faults
from neuroflip.units import ms, mV, pA


@pytest.mark.parametrize("neurons", [2, 3, 5, 17])
@pytest.mark.parametrize("delay", [1 * ms, 5 * ms])
def test_one_spike_goes_round(neurons: int, delay: float) -> None:
    """Neuron k fires (k + n rounds)(delay + dt) after the first, exactly, for 10 s."""
    circuit = delay_loop(neurons, delay=delay)
    rec = nf.simulate(circuit, {"S": [0.05]}, duration=10.0)
    hop = round(delay / 1e-4) + 1
    steps = np.round(rec.spikes["loop"] / 1e-4).astype(int)
    assert steps.tolist() == list(range(501, 100_000, hop))  # S arrives in 500, fires in 501
    assert rec.neurons["loop"].tolist() == [k % neurons for k in range(steps.size)]


@pytest.mark.parametrize("neurons", [2, 3, 5, 12])
@pytest.mark.parametrize("seed", range(2))
def test_random_pulse_programs(neurons: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = 0.1 + np.cumsum(rng.uniform(0.1, 0.4, 20))
    which = rng.choice(["S", "R"], 20)
    duration = float(np.ceil(times[-1] + 0.5))
    rec = nf.simulate(
        delay_loop(neurons), {k: times[which == k] for k in ("S", "R")}, duration=duration
    )
    at, bits = rec.bit("Q")
    assert not bits[at < times[0]].any()
    for start, stop, name in zip(times, [*times[1:], duration], which, strict=True):
        held = bits[(at > start + 0.06) & (at < stop)]
        assert held.size and (held == int(name == "S")).all(), (start, name)


def test_a_pulse_at_every_step_of_a_round() -> None:
    """R ends the round and a second S starts no second spike, whenever they come."""
    trials: list[dict[str, Any]] = []
    steps = range(1000, 1000 + 256, 3)
    for k in steps:
        trials += [{"S": [0.05], "R": [k * 1e-4]}, {"S": [0.05, k * 1e-4]}]
    rec = nf.simulate(delay_loop(), trials, duration=0.5)
    late = rec.spikes["loop"] > 0.2
    counts = np.bincount(rec.trials["loop"][late], minlength=len(trials))
    assert (counts[::2] == 0).all()
    assert np.ptp(counts[1::2]) <= 1  # one spike on its way, as without the second S
    assert abs(counts[1] - 0.3 / 5.1e-3) <= 1


def test_all_engines_agree() -> None:
    report = nf.compare(delay_loop(), {"S": [0.01, 0.12], "R": [0.08]}, duration=0.2)
    assert report.ok and report.spikes["brian2"] > 20, report


@pytest.mark.slow
def test_all_engines_agree_for_five_seconds() -> None:
    rng = np.random.default_rng(1)
    times = np.sort(rng.choice(50_000, 40, replace=False)) * 1e-4
    report = nf.compare(delay_loop(), {"S": times[::2], "R": times[1::2]}, duration=5.0)
    assert report.ok, report


# ------------------------------------------------------------------ the condition


@pytest.mark.parametrize("seed", range(40))
def test_the_condition_predicts_the_circuit(seed: int) -> None:
    """Random rings: one without faults starts with S, goes on, and ends with R whenever that
    comes; one with a fault fails in one of these."""
    rng = np.random.default_rng(seed)
    neurons, delay = int(rng.integers(2, 6)), float(rng.integers(1, 6)) * ms
    neuron = nf.DeltaLIF(
        tau_m=float(rng.choice([3, 10, 30])) * ms,
        refractory=float(np.round(rng.uniform(0, 1.1) * neurons * delay, 4)),
        v_reset=-float(rng.choice([0, 5])) * mV,
        drive=float(rng.choice([0, 50])) * pA,
    )
    excitation, inhibition = rng.choice([9, 13, 17, 22]) * mV, rng.choice([1, 8, 20, 60]) * mV
    faults = loop_faults(neuron, neurons, excitation, inhibition, delay)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        circuit = delay_loop(
            neurons, excitation=excitation, inhibition=inhibition, delay=delay, neuron=neuron
        )
    around = neurons * (round(delay / 1e-4) + 1)
    resets = np.arange(1, around, max(1, around // 60))
    resets = np.concatenate([500 + resets, 4000 + resets])  # in the first round, and in a late one
    trials = [{"S": [0.05]}] + [{"S": [0.05], "R": [k * 1e-4]} for k in resets]
    rec = nf.simulate(circuit, trials, duration=0.6)
    late = np.bincount(rec.trials["loop"][rec.spikes["loop"] > 0.5], minlength=len(trials))
    works = late[0] > 0 and (late[1:] == 0).all()
    assert works == (not faults), faults


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"excitation": 14 * mV}, r"excitation of 14\.0 mV must be above 15\.\d mV"),
        ({"inhibition": 2 * mV}, r"inhibition of 2\.0 mV must be above 8\.2 mV to stop it"),
        ({"neuron": nf.DeltaLIF(refractory=21 * ms)}, "21 ms must be at most 20 ms, a round less"),
        ({"neuron": nf.DeltaLIF(drive=160 * pA)}, r"takes a neuron to 16\.0 mV, above threshold"),
    ],
    ids=["weak", "unstoppable", "refractory", "driven"],
)
def test_warnings(parameters: dict[str, Any], message: str) -> None:
    with pytest.warns(UserWarning, match=f"^delay_loop cannot hold a bit: .*{message}") as caught:
        delay_loop(**parameters)
    assert caught[0].filename == __file__


def test_refusals() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for neurons in (2, 3, 5, 50):
            delay_loop(neurons)
    for wrong in (0, 1, 2.0, True, "5"):
        with pytest.raises(ValueError, match="^delay_loop: neurons must be a whole number"):
            delay_loop(wrong)  # type: ignore[arg-type]
    for name in ("excitation", "inhibition", "delay"):
        with pytest.raises(ValueError, match=f"^delay_loop: {name} must be at least 0"):
            delay_loop(**{name: -1.0})
    with pytest.raises(TypeError, match="^delay_loop: neuron must be a nf.DeltaLIF"):
        delay_loop(neuron=nf.LIF())  # type: ignore[arg-type]
