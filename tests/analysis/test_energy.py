"""Spikes counted by hand, and rates of the closed form."""

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.analysis.energy import energy
from neuroflip.circuits import and_gate, firing_rate, jk_flip_flop, register, sr_latch
from neuroflip.circuits.logic import spike_interval
from neuroflip.units import ms


def test_holding_costs_the_rate_of_the_winner() -> None:
    found = energy(sr_latch())
    neuron = sr_latch().population("Q").neuron
    rate = firing_rate(neuron, neuron.drive)
    for state, (winner, loser) in ((0, ("Qbar", "Q")), (1, ("Q", "Qbar"))):
        assert found.holding()[state][winner] == pytest.approx(rate, abs=1 / found.period)
        assert found.holding()[state][loser] == 0
    kinds = [cost.what for cost in found.costs]
    assert {what: kinds.count(what) for what in kinds} == {"hold": 4, "set": 1, "reset": 1}
    assert all(cost.right == cost.cycles for cost in found.costs)


def test_a_transition_counted_by_hand() -> None:
    """The reset of the latch: what is sent in half a second from the pulse on."""
    (cost,) = (c for c in energy(sr_latch()).costs if c.what == "reset")
    rec = nf.simulate(sr_latch(), {"S": [0.5], "R": [1.0]}, duration=1.5)
    counted = {name: np.count_nonzero(rec.spikes[name] > 1.0 - 0.05 * ms) for name in ("Q", "Qbar")}
    for name, spikes in counted.items():
        assert cost.each[name] == pytest.approx(spikes, abs=1)  # by phase of the winner
    # every spike of Q and Qbar reaches one synapse, and so does the pulse
    assert cost.events == cost.spikes + 1
    assert cost.spikes == sum(cost.each.values())


def test_logic_neurons_fire_at_their_interval() -> None:
    found = energy(jk_flip_flop())
    each = found.period / spike_interval(4 * ms)
    for state, winner in ((0, "Qbar"), (1, "Q")):
        (cost,) = (
            c for c in found.costs if c.state == state and c.what == "hold" and c.events == 380
        )
        for name in ("I1", "I2", winner):
            assert cost.each[name] == pytest.approx(each, abs=1.5)
        # I1, I2 reach one neuron each, Q and Qbar two
        assert cost.events == cost.each["I1"] + cost.each["I2"] + 2 * cost.each[winner]
        assert cost.beyond == 0
    assert found.mean("set") == pytest.approx(found.mean("reset"), abs=2)
    pulse = [c for c in found.costs if c.what == "set" and c.inputs == {"J": 1, "K": 0}]
    assert pulse[0].each["G1"] == pytest.approx(3 * 4 * ms / spike_interval(4 * ms), abs=1)
    assert pulse[0].each["G2"] == 0
    with pytest.raises(ValueError, match="there was no 'toggle'"):
        found.mean("toggle")


def test_circuits_without_a_state() -> None:
    found = energy(and_gate())
    assert [cost.what for cost in found.costs] == ["row"] * 4
    by_row = {tuple(c.inputs.values()): c.each["Q"] for c in found.costs}
    assert by_row[1, 1] > 20 and by_row[0, 0] == by_row[0, 1] == by_row[1, 0] == 0
    assert "A=1 B=1" in str(found)


def test_circuits_with_several_bits() -> None:
    found = energy(register(2), cycles=12)
    assert {cost.what for cost in found.costs} <= {"hold", "change"}
    assert sum(cost.cycles for cost in found.costs) == 12
