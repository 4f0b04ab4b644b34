"""Recordings as NumPy arrays and pandas tables."""

from typing import Any

import numpy as np
import pandas
import pytest

import neuroflip as nf
from neuroflip import rules
from neuroflip.exchange import to_numpy, to_pandas
from neuroflip.units import ms, mV, pA


@pytest.fixture(scope="module")
def recording() -> nf.Recording:
    """Two trials of a plastic projection, all that can be recorded."""
    circuit = nf.Circuit(
        "plastic",
        [nf.Population("A", nf.DeltaLIF(v_threshold=15 * mV), 2), nf.Population("B", nf.LIF())],
        [
            nf.Projection("in", "A", [[16 * mV, 4 * mV], [1 * mV, 17 * mV], [9 * mV, 9 * mV]],
                          rule=rules.PairSTDP(a_plus=0.1, w_max=20 * mV)),
            nf.Projection("A", "B", 900 * pA, "excitatory"),
        ],
        [nf.SpikeInput("in", 3), nf.CurrentInput("I", "B"), nf.PoissonInput("noise", 50.0, 2)],
        [nf.Readout("bit", "A", "B", window=10 * ms)],
    )  # fmt: skip
    return nf.simulate(
        circuit,
        [
            {"in": [[1 * ms, 20 * ms], [], [20 * ms]], "I": [(5 * ms, 30 * ms, 400 * pA)]},
            {"in": [[], [7 * ms, 8 * ms], []]},
        ],
        duration=50 * ms,
        record=["v", "in->A"],
        record_every=5 * ms,
    )


@pytest.fixture(scope="module")
def single() -> nf.Recording:
    return nf.simulate(
        nf.circuits.sr_latch(), {"S": [50 * ms], "R": [250 * ms]}, duration=0.4, record="Q.v"
    )


def test_rasters_hold_every_spike_and_nothing_else(recording: nf.Recording) -> None:
    rasters = to_numpy(recording)
    assert {name: raster.shape for name, raster in rasters.items()} == {
        "A": (2, 500, 2), "B": (2, 500, 1), "in": (2, 500, 3), "noise": (2, 500, 2),
    }  # fmt: skip
    assert all(raster.dtype == bool for raster in rasters.values())
    for name in ("A", "B"):
        for trial in range(2):
            for neuron, times in enumerate(recording.trains(name, trial)):
                np.testing.assert_allclose(
                    np.flatnonzero(rasters[name][trial, :, neuron]) * 0.1 * ms, times
                )
        assert rasters[name].any()
    assert [tuple(row) for row in np.argwhere(rasters["in"])] == [
        (0, 10, 0), (0, 200, 0), (0, 200, 2), (1, 70, 1), (1, 80, 1),
    ]  # fmt: skip


def test_spikes(recording: nf.Recording) -> None:
    table = to_pandas(recording)["spikes"]
    assert list(table.columns) == ["trial", "population", "neuron", "time"]
    given = table[table.population == "in"]
    assert given.values.tolist() == [
        [0, "in", 0, 0.001], [0, "in", 0, 0.02], [0, "in", 2, 0.02], [1, "in", 1, 0.007],
        [1, "in", 1, 0.008],
    ]  # fmt: skip
    counts = table.groupby(["trial", "population", "neuron"]).size()
    for trial in range(2):
        for neuron, times in enumerate(recording.trains("A", trial)):
            assert counts.get((trial, "A", neuron), 0) == len(times)
    assert (table.groupby("trial").time.apply(lambda t: t.is_monotonic_increasing)).all()


def test_traces_and_weights(recording: nf.Recording) -> None:
    tables = to_pandas(recording)
    traces = tables["traces"]
    assert list(traces.columns) == [
        "trial", "time", "population", "variable", "unit", "neuron", "value"
    ]  # fmt: skip
    assert len(traces) == 2 * 10 * (2 + 1)
    assert set(traces.unit) == {"V"} and set(traces.variable) == {"v"}
    wide = traces[(traces.population == "A") & (traces.trial == 1)].pivot(
        index="time", columns="neuron", values="value"
    )
    np.testing.assert_array_equal(wide.to_numpy(), recording.traces["A.v"][1])
    np.testing.assert_array_equal(wide.index, recording.times)

    weights = tables["weights"]
    assert list(weights.columns) == ["trial", "projection", "synapse", "pre", "post", "weight"]
    matrix = weights[weights.trial == 0].pivot(index="pre", columns="post", values="weight")
    np.testing.assert_array_equal(matrix.to_numpy().ravel(), recording.weights["in->A"][0])
    assert not np.allclose(matrix, [[0.016, 0.004], [0.001, 0.017], [0.009, 0.009]], atol=1e-5)

    history = tables["weight_history"]
    assert list(history.columns) == ["trial", "time", "projection", "synapse", "weight"]
    one = history[(history.trial == 1) & (history.synapse == 3)]
    np.testing.assert_array_equal(one.weight, recording.weight_history["in->A"][1][:, 3])


def test_bits_are_given_by_their_changes(single: nf.Recording) -> None:
    table = to_pandas(single)["bits"]
    times, bits = single.bit("Q")
    assert table.bit.tolist() == [0, 1, 0]
    steps = np.searchsorted(times, table.time - 1e-9)
    spread = np.repeat(table.bit, np.diff(steps, append=len(bits)))
    np.testing.assert_array_equal(spread, bits)


def test_one_trial_has_no_axis_to_lose(single: nf.Recording) -> None:
    tables = to_pandas(single)
    assert to_numpy(single)["Q"].shape == (1, 4000, 1)
    assert len(tables["traces"]) == 4000 and set(tables["traces"].trial) == {0}
    np.testing.assert_array_equal(tables["traces"].value, single.traces["Q.v"][:, 0])


def test_empty_tables_have_columns_of_the_same_types(single: nf.Recording, recording: Any) -> None:
    empty, full = to_pandas(single)["weights"], to_pandas(recording)["weights"]
    assert len(empty) == 0 and list(empty.columns) == list(full.columns)
    assert empty.dtypes.drop("projection").equals(full.dtypes.drop("projection"))
    quiet = nf.simulate(nf.Circuit("c", [nf.Population("A", nf.DeltaLIF())]), duration=1 * ms)
    tables = to_pandas(quiet)
    assert all(len(table) == 0 for table in tables.values())
    assert pandas.concat([tables["spikes"], to_pandas(single)["spikes"]]).time.dtype == float
