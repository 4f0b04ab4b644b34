"""Yoder's predictions, each against spikes looked at by hand."""

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.analysis.predictions import (
    Interrupted,
    Transitions,
    held_weights,
    interrupted_drive,
    predictions,
    transitions,
)
from neuroflip.circuits import and_gate, jk_flip_flop, level, spike_interval, sr_latch
from neuroflip.rules import PairSTDP, none
from neuroflip.units import ms, mV, nA

D = 4 * ms


def test_the_high_output_falls_before_the_low_one_rises() -> None:
    found = transitions(jk_flip_flop(), cycles=40)
    assert found.right == found.cycles == 40
    assert found.falls_first == 1.0 and found.complementary == 1.0
    assert found.gap.size > 10 and 0 < np.count_nonzero(found.rises) < found.gap.size
    # a neuron of the latch is reached after 0.7 element delays; its level takes a spike to show
    gaps = found.gap / D
    assert np.all((gaps > 0.7) & (gaps < 1.1))
    # one change by hand: a pulse at J
    ones = level(spike_interval(D), (80 * ms, 80 * ms + 3 * D))
    rec = nf.simulate(jk_flip_flop(), {"J": ones}, duration=0.15)
    by_hand = rec.spikes["Q"].min() - rec.spikes["Qbar"].max()
    assert np.abs(found.gap[found.rises] - by_hand).min() < 0.5 * spike_interval(D)


def test_the_two_neuron_latch() -> None:
    found = transitions(sr_latch(), cycles=15, noise=1 * mV)
    assert np.isnan(found.delay)
    assert found.falls_first == 1.0 and found.right == 15
    assert np.all((found.gap > 10 * ms) & (found.gap < 80 * ms))
    high, low = found.rates()
    assert high == pytest.approx(63, abs=3) and low < 1
    assert found.d_prime > 5


def test_d_prime() -> None:
    rng = np.random.default_rng(0)
    high, low = rng.poisson(9, 100_000), rng.poisson(4, 100_000)
    found = Transitions(np.zeros(0), np.zeros(0, bool), high, low, 0.1, 1, 1, np.nan)
    assert found.d_prime == pytest.approx(5 / np.sqrt((9 + 4) / 2), rel=0.02)
    assert found.rates() == pytest.approx((90, 40), rel=0.02)
    assert np.isnan(found.falls_first)


@pytest.mark.parametrize(
    ("circuit", "lengths"), [(sr_latch(), [0, 20 * ms, 1.0]), (jk_flip_flop(), [0, 0.1])],
    ids=["sr_latch", "jk_flip_flop"],
)  # fmt: skip
def test_an_interrupted_drive_destroys_the_memory(circuit, lengths: list[float]) -> None:
    found = interrupted_drive(circuit, lengths, trials=50)
    kept, error = found.remembered()
    assert kept[0] == 1.0
    assert abs(kept[-1]) < 3.5 * error[-1]
    # no bit is favoured by the circuit itself
    assert np.all(np.abs(found.right[:, -1] / 50 - 0.5) < 0.3)


def test_how_much_is_remembered() -> None:
    found = Interrupted(np.array([0.0, 1.0]), np.array([[50, 30], [50, 25]]), 50)
    kept, error = found.remembered()
    assert kept == pytest.approx([1.0, 0.1])
    assert error == pytest.approx([0, np.sqrt((0.6 * 0.4 + 0.25) / 50)])


@pytest.mark.parametrize(
    ("rule", "name", "rows"), [(none, "none", 2), (None, "PairSTDP", 40)], ids=["none", "frozen"]
)
def test_weights_are_the_same_bytes_after_a_hold(rule, name: str, rows: int) -> None:
    found = held_weights(sr_latch(), rule, duration=1.0)
    assert (found.rule, found.unchanged, found.held, found.same_spikes) == (name, True, True, True)
    assert found.samples == rows * 4  # two cross connections, S and R
    assert found.spikes > 60


def test_a_rule_that_learns_is_seen() -> None:
    """The check can fail: with amplitudes, the weights do change while the bit is held."""
    assert not held_weights(sr_latch(), PairSTDP(w_max=10 * nA), duration=0.5).unchanged


@pytest.mark.parametrize(
    ("build", "noise"),
    [(sr_latch, (4 * mV, 8 * mV)), (jk_flip_flop, (4 * mV, 12 * mV))],
    ids=["sr_latch", "jk_flip_flop"],
)
def test_every_prediction(build, noise: tuple[float, ...]) -> None:
    found = predictions(build(), error_noise=noise, cycles=30, trials=30, duration=5.0)
    assert len(found.findings) == 6
    assert found.ok, str(found)
    assert found.to_json()["ok"] and len(found.to_json()["findings"]) == 6
    assert "element delays" in str(found) or build is sr_latch


def test_refusals() -> None:
    with pytest.raises(ValueError, match="no readout 'Q' with a complement"):
        transitions(and_gate())
    with pytest.raises(ValueError, match="lengths must be a list of times"):
        interrupted_drive(sr_latch(), [-1.0])
    passive = nf.Circuit(
        "sr_latch", [nf.Population("Q", nf.LIF())], [], [nf.SpikeInput("S")],
        [nf.Readout("Q", "Q")],
    )  # fmt: skip
    with pytest.raises(ValueError, match="no neuron with a tonic drive"):
        interrupted_drive(passive, [0.1])
