"""Recordings as Neo objects: units, annotations, and what Elephant computes from them."""

import math

import elephant.statistics
import neo
import neo.io
import numpy as np
import pytest
import quantities as pq

import neuroflip as nf
from neuroflip import rules
from neuroflip.exchange import to_neo
from neuroflip.units import Mohm, ms, mV, pA


@pytest.fixture(scope="module")
def recording() -> nf.Recording:
    return nf.simulate(
        nf.circuits.sr_latch(), [{"S": [50 * ms], "R": [250 * ms]}, {"S": [10 * ms]}],
        duration=0.4, record=["v", "Q.i_inh"], record_every=0.5 * ms, seed=3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def block(recording: nf.Recording) -> neo.Block:
    return to_neo(recording)


def test_spike_trains(recording: nf.Recording, block: neo.Block) -> None:
    assert [s.name for s in block.segments] == ["trial 0", "trial 1"]
    for trial, segment in enumerate(block.segments):
        assert [t.name for t in segment.spiketrains] == ["Q[0]", "Qbar[0]"]
        for train, population in zip(segment.spiketrains, ("Q", "Qbar"), strict=True):
            np.testing.assert_array_equal(
                train.rescale("s").magnitude, recording.trains(population, trial)[0]
            )
            assert (train.t_start, train.t_stop) == (0 * pq.s, 0.4 * pq.s)
            assert train.annotations == {"population": population, "neuron": 0, "readouts": "Q"}
    assert [(g.name, len(g.spiketrains)) for g in block.groups] == [("Q", 2), ("Qbar", 2)]


def test_signals(recording: nf.Recording, block: neo.Block) -> None:
    signals = {s.name: s for s in block.segments[1].analogsignals}
    assert set(signals) == {"Q.v", "Qbar.v", "Q.i_inh"}
    assert signals["Q.v"].units == pq.V and signals["Q.i_inh"].units == pq.A
    np.testing.assert_array_equal(signals["Q.v"].magnitude, recording.traces["Q.v"][1])
    np.testing.assert_allclose(signals["Q.v"].times.rescale("s").magnitude, recording.times)
    assert signals["Q.v"].sampling_rate.rescale("Hz").magnitude == pytest.approx(2000)


def test_inputs_and_bits(recording: nf.Recording, block: neo.Block) -> None:
    first, second = block.segments
    assert {e.name: e.times.rescale("ms").magnitude.round(6).tolist() for e in first.events} == {
        "S": [50.0], "R": [250.0]
    }  # fmt: skip
    assert [len(e) for e in second.events] == [1, 0]
    assert first.events[0].labels.tolist() == ["0"]
    (bits,) = first.epochs
    assert bits.name == "Q" and bits.labels.tolist() == ["0", "1", "0"]
    times, values = recording.bit("Q", 0)
    ends = (bits.times + bits.durations).rescale("s").magnitude
    assert ends[-1] == pytest.approx(0.4)
    np.testing.assert_allclose(ends[:-1], bits.times[1:].rescale("s").magnitude)
    share = bits.durations[bits.array_annotations["bit"] == 1].sum().rescale("s").magnitude
    assert share == pytest.approx(values.mean() * 0.4)


def test_annotations_say_what_was_run(block: neo.Block, recording: nf.Recording) -> None:
    found = block.annotations
    assert (found["circuit"], found["engine"], found["seed"], found["dt"]) == (
        "sr_latch", "numba", 3, 0.1 * ms
    )  # fmt: skip
    assert {k: found[f"version {k}"] for k in recording.versions} == recording.versions


def test_currents_signals_and_weights() -> None:
    circuit = nf.Circuit(
        "c",
        [nf.Population("A", nf.DeltaLIF(), 2)],
        [nf.Projection("in", "A", 9 * mV, rule=rules.RewardSTDP(w_max=20 * mV))],
        [nf.SpikeInput("in", 2), nf.CurrentInput("I", "A"), nf.SignalInput("reward")],
    )
    rec = nf.simulate(
        circuit,
        {"in": [[1 * ms, 9 * ms], [2 * ms]], "I": [(5 * ms, 10 * ms, 200 * pA)],
         "reward": [(3 * ms, 4 * ms, 1.0)]},
        duration=20 * ms, record="in->A",
    )  # fmt: skip
    segment = to_neo(rec).segments[0]
    signals = {s.name: s for s in segment.analogsignals}
    assert set(signals) == {"A injected", "reward", "weights in->A"}
    charge = signals["A injected"].sum() * signals["A injected"].sampling_period
    assert float(charge.rescale("A*s").magnitude) == pytest.approx(200 * pA * 5 * ms)
    assert signals["reward"].units == pq.dimensionless
    assert signals["weights in->A"].units == pq.V
    assert signals["weights in->A"].shape == (200, 4)
    np.testing.assert_array_equal(segment.annotations["weights in->A"], rec.weights["in->A"])
    (event,) = segment.events
    assert event.labels.tolist() == ["0", "1", "0"]
    assert event.array_annotations["source"].tolist() == [0, 1, 0]


elephants_own = pytest.mark.filterwarnings("ignore:The 'copy' argument in Quantity")


@elephants_own
def test_elephant_finds_the_rate_of_the_closed_form() -> None:
    """A driven LIF fires every refractory + tau ln((RI - reset)/(RI - threshold))."""
    neuron = nf.DeltaLIF(
        tau_m=20 * ms, resistance=100 * Mohm, drive=200 * pA, v_threshold=15 * mV,
        refractory=2 * ms,
    )  # fmt: skip
    dt = 0.01 * ms
    rec = nf.simulate(nf.Circuit("c", [nf.Population("A", neuron)]), duration=1.0, dt=dt)
    (train,) = to_neo(rec).segments[0].spiketrains
    interval = 2 * ms + 20 * ms * math.log(20 / (20 - 15))
    intervals = elephant.statistics.isi(train).rescale("s").magnitude
    assert len(intervals) == int(1.0 / interval) - 1
    np.testing.assert_allclose(intervals, interval, atol=1.5 * dt)
    rate = elephant.statistics.mean_firing_rate(train).rescale("Hz").magnitude
    assert rate == pytest.approx(len(train) / 1.0)
    assert elephant.statistics.cv(intervals) < 1e-3


@elephants_own
def test_elephant_finds_the_variability_of_a_poisson_process() -> None:
    circuit = nf.Circuit(
        "c",
        [nf.Population("A", nf.DeltaLIF(refractory=0, v_threshold=5 * mV), 20)],
        [nf.Projection("in", "A", 10 * mV, pattern=nf.OneToOne())],
        [nf.PoissonInput("in", 50.0, 20)],
    )
    trains = to_neo(nf.simulate(circuit, duration=10.0)).segments[0].spiketrains
    rates = [elephant.statistics.mean_firing_rate(t).rescale("Hz").magnitude for t in trains]
    assert np.mean(rates) == pytest.approx(50, abs=4 * math.sqrt(50 / 200))
    cvs = [elephant.statistics.cv(elephant.statistics.isi(t)) for t in trains]
    assert np.mean(cvs) == pytest.approx(1, abs=0.05)


def test_neo_writes_and_reads_it(block: neo.Block, tmp_path) -> None:
    path = str(tmp_path / "block.pkl")
    neo.io.PickleIO(path).write(block)
    again = neo.io.PickleIO(path).read_block()
    for a, b in zip(block.segments[0].spiketrains, again.segments[0].spiketrains, strict=True):
        np.testing.assert_array_equal(a.magnitude, b.magnitude)
