"""Copies side by side do what each does alone; their bits are those of the recording."""

import dataclasses

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.analysis.copies import bit_at, flips, noisy, side_by_side, spikes_for
from neuroflip.circuits import jk_flip_flop, sr_latch
from neuroflip.units import ms, mV, pA


def trains(rec: nf.Recording, population: str) -> list[list[float]]:
    return [train.tolist() for train in rec.trains(population)]


def test_each_copy_does_what_it_does_alone() -> None:
    circuits = [
        sr_latch(inhibition=w * pA, delay=d * ms, pulse=1000 * pA) for w, d in ((200, 1), (250, 2))
    ]
    # what a latch starts from depends on the inhibition too, and is taken over
    given = [{"S": [50 * ms]}, {"S": [80 * ms], "R": [300 * ms]}]
    both = nf.simulate(side_by_side(circuits), spikes_for(circuits[0], given), duration=0.6)
    for k, (circuit, inputs) in enumerate(zip(circuits, given, strict=True)):
        alone = nf.simulate(circuit, inputs, duration=0.6)
        for name in ("Q", "Qbar"):
            assert trains(both, name)[k] == trains(alone, name)[0]
        changes = flips(both, "Q", 2)[k]
        assert changes.tolist() == flips(alone, "Q")[0].tolist()
        assert changes.size == len(inputs)


def test_populations_of_several_neurons() -> None:
    pool = nf.Circuit(
        "pool",
        [nf.Population("A", nf.LIF(drive=300 * pA), 3, {"v": [0.0, 5e-3, 10e-3]})],
        [nf.Projection("A", "A", 30 * pA, "inhibitory", nf.Random(0.5, 1), axonal_delay=1 * ms)],
        [nf.SpikeInput("in", 2)],
    )
    alone = nf.simulate(pool, duration=0.2)
    both = nf.simulate(side_by_side([pool] * 2), duration=0.2)
    assert trains(both, "A") == trains(alone, "A") * 2
    assert both.circuit.sizes() == {"A": 6, "in": 4}


@pytest.mark.parametrize("build", [sr_latch, jk_flip_flop, nf.circuits.not_gate])
def test_bits_are_those_of_the_recording(build) -> None:
    circuit = noisy(build(), 15 * mV)
    rec = nf.simulate(circuit, duration=2.0, trials=2, seed=3)
    seen = 0
    for trial in range(2):
        changes = flips(rec, "Q", trial=trial)[0]
        times, bit = rec.bit("Q", trial)
        assert np.array_equal(bit_at(changes, np.arange(times.size)), bit)
        seen += changes.size
    assert seen > 1


def test_noise_adds_up_as_variance() -> None:
    circuit = sr_latch()
    with_noise = dataclasses.replace(
        circuit, inputs=[*circuit.inputs, nf.NoiseInput("own", "Q", 3 * mV)]
    )
    found = {i.target: i for i in noisy(with_noise, 4 * mV).inputs if hasattr(i, "sd")}
    assert found["Q"].sd == pytest.approx(5 * mV) and found["Q"].name == "own"
    assert found["Qbar"].sd == pytest.approx(4 * mV)
    assert noisy(circuit, 0) is circuit


def test_copies_have_noise_of_their_own() -> None:
    group = noisy(side_by_side([sr_latch()] * 3), 5 * mV)
    rec = nf.simulate(group, duration=0.3)
    a, b, c = trains(rec, "Qbar")
    assert a != b and b != c and a != c


def test_refusals() -> None:
    with pytest.raises(ValueError, match="at least one circuit"):
        side_by_side([])
    with pytest.raises(ValueError, match="differ in weights, delays and initial values only"):
        side_by_side([sr_latch(), sr_latch(drive=250 * pA)])
    with pytest.raises(ValueError, match="sd must be at least 0 V; got -0.001"):
        noisy(sr_latch(), -1 * mV)
    rec = nf.simulate(sr_latch(), duration=0.1)
    with pytest.raises(ValueError, match="no readout 'q'; known: Q"):
        flips(rec, "q")
    with pytest.raises(ValueError, match="'Q' is not made of 2 copies"):
        flips(rec, "Q", 2)
