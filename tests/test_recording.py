"""What a run returns: bits, trains, inputs, files."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuroflip as nf
from neuroflip.circuit import Readout
from neuroflip.inputs import Drive

DT = 1e-3


def recording(
    trains: dict[str, list[list[tuple[int, int]]]],
    steps: int,
    readouts: list[Readout],
    dt: float = DT,
) -> nf.Recording:
    """A recording in which population -> trial -> (step, neuron) spiked."""
    size = 1 + max((n for t in trains.values() for tr in t for _, n in tr), default=0)
    circuit = nf.Circuit(
        "c", [nf.Population(name, nf.LIF(), size) for name in trains], readouts=readouts
    )
    count = len(next(iter(trains.values())))
    flat = {
        p: [(b, k, n) for b, tr in enumerate(t) for k, n in sorted(tr)] for p, t in trains.items()
    }

    def column(i: int, kind: Any) -> dict[str, Any]:
        return {p: np.array([row[i] for row in rows], dtype=kind) for p, rows in flat.items()}

    return nf.Recording(
        circuit=circuit, drives=[Drive({}, {}, {})] * count, duration=steps * dt, dt=dt,
        engine="numba", options={}, seed=0, versions={},
        spikes={p: k * dt for p, k in column(1, np.int64).items()},
        neurons=column(2, np.int64), trials=column(0, np.int64), times=np.zeros(0), traces={},
        weights={}, weight_history={}, threshold_margin=0.0,
    )  # fmt: skip


def slow_bit(high: list[int], low: list[int] | None, steps: int, window: int) -> list[int]:
    """The definition in `nf.Readout`, one step and one spike at a time.

    In the window that ends with step k are the steps k - window + 1 to k.
    """
    bit, bits = 0, []
    for k in range(steps):
        highs = sum(1 for s in high if k - window < s <= k)
        if low is None:
            bit = 1 if highs > 0 else 0
        else:
            lows = sum(1 for s in low if k - window < s <= k)
            if highs > lows:
                bit = 1
            elif highs < lows:
                bit = 0
        bits.append(bit)
    return bits


trains = st.lists(st.tuples(st.integers(0, 39), st.integers(0, 2)), max_size=25, unique=True)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.tuples(trains, trains), min_size=1, max_size=3),
    st.integers(1, 50),
    st.sampled_from([1e-3, 1e-4, 1 / 3 * 1e-3]),
)
def test_bits_follow_their_definition(spikes: list[Any], window: int, dt: float) -> None:
    steps = 40
    readouts = [Readout("two", "H", "L", window * dt), Readout("one", "H", window=window * dt)]
    rec = recording(
        {"H": [h for h, _ in spikes], "L": [low for _, low in spikes]}, steps, readouts, dt
    )
    for trial, (high, low) in enumerate(spikes):
        highs, lows = [k for k, _ in high], [k for k, _ in low]
        times, bits = rec.bit("two", trial)
        assert bits.tolist() == slow_bit(highs, lows, steps, window)
        assert times.tolist() == [k * dt for k in range(steps)]
        assert rec.bit("one", trial)[1].tolist() == slow_bit(highs, None, steps, window)
        assert bits.dtype == np.int64


@pytest.mark.parametrize(
    ("high", "low", "window", "expected"),
    [
        ([3], [6], 2, [0, 0, 0, 1, 1, 1, 0, 0, 0, 0]),  # holds between spikes
        ([3], [4], 2, [0, 0, 0, 1, 1, 0, 0, 0, 0, 0]),  # a tie at 4 changes nothing
        ([0], [0], 1, [0] * 10),  # a tie from the start is 0
        ([], [], 3, [0] * 10),
        ([], [2], 3, [0] * 10),
        ([9], [], 5, [0] * 9 + [1]),
        ([0], [], 1, [1] * 10),
        ([1, 5], None, 2, [0, 1, 1, 0, 0, 1, 1, 0, 0, 0]),
        ([1, 5], None, 100, [0] + [1] * 9),
    ],
)
def test_bits_by_hand(
    high: list[int], low: list[int] | None, window: int, expected: list[int]
) -> None:
    readout = Readout("Q", "H", None if low is None else "L", window * DT)
    rec = recording(
        {"H": [[(k, 0) for k in high]], "L": [[(k, 0) for k in low or []]]}, 10, [readout]
    )
    assert rec.bit("Q")[1].tolist() == expected


def test_a_window_shorter_than_a_step_is_one_step() -> None:
    rec = recording({"H": [[(2, 0)]]}, 5, [Readout("Q", "H", window=DT / 10)])
    assert rec.bit("Q")[1].tolist() == [0, 0, 1, 0, 0]


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.lists(trains, min_size=1, max_size=3))
def test_trains(spikes: list[Any]) -> None:
    rec = recording({"H": spikes}, 40, [])
    size = rec.circuit.population("H").size
    for trial, train in enumerate(spikes):
        expected = [[k * DT for k, n in sorted(train) if n == i] for i in range(size)]
        assert [t.tolist() for t in rec.trains("H", trial)] == expected


def test_refusals() -> None:
    rec = recording({"H": [[(0, 0)], []]}, 5, [Readout("Q", "H")])
    with pytest.raises(
        ValueError,
        match="^there is no readout 'q'; did you mean|^there is no readout 'q'; known: Q",
    ):
        rec.bit("q")
    with pytest.raises(ValueError, match="^there is no population 'Q'; known: H"):
        rec.trains("Q")
    for trial in (-1, 2):
        with pytest.raises(ValueError, match=f"^trial must be 0 to 1; got {trial}"):
            rec.bit("Q", trial)
        with pytest.raises(ValueError, match=f"^trial must be 0 to 1; got {trial}"):
            rec.trains("H", trial)
    no_readouts = recording({"H": [[]]}, 5, [])
    with pytest.raises(ValueError, match="^there is no readout 'Q'; there are none"):
        no_readouts.bit("Q")


# ------------------------------------------------------------------ files


@pytest.fixture(scope="module")
def full() -> nf.Recording:
    """Every field filled: two trials, plastic and recorded weights, currents, Poisson."""
    circuit = nf.Circuit(
        "full",
        [nf.Population("A", nf.DeltaLIF(), 2), nf.Population("B", nf.LIF(drive=2e-10))],
        [
            nf.Projection("noise", "A", 0.02),
            nf.Projection("noise", "A", 0.5e-3, name="plastic", rule=nf.rules.PairSTDP(w_max=1e-3)),
        ],
        [nf.PoissonInput("noise", 100.0, 3), nf.CurrentInput("i", "A"), nf.CurrentInput("j", "A")],
        [Readout("Q", "A", "B")],
    )
    return nf.simulate(
        circuit, {"i": [(0, 0.01, 1e-10)], "j": np.ones((300, 2)) * 1e-11}, duration=0.03, trials=2,
        record=["v", "plastic"], record_every=1e-3, seed=3,
    )  # fmt: skip


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_files_give_back_an_equal_recording(
    full: nf.Recording, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"r{suffix}"
    full.save(path)
    again = nf.Recording.load(path)
    assert again == full
    assert full.spikes["A"].size > 5 and again.spikes["A"].tobytes() == full.spikes["A"].tobytes()
    for field in dataclasses.fields(nf.Recording):
        assert type(getattr(again, field.name)) is type(getattr(full, field.name)), field.name
    again.save(other := tmp_path / f"s{suffix}")
    assert other.read_bytes() == path.read_bytes()
    assert again.bit("Q", 1)[1].tolist() == full.bit("Q", 1)[1].tolist()


@pytest.mark.parametrize("margin", [math.nan, math.inf, 0.0])
@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_any_margin_comes_back_equal(
    full: nf.Recording, suffix: str, margin: float, tmp_path: Path
) -> None:
    """NaN is what an engine gives that cannot tell."""
    rec = dataclasses.replace(full, threshold_margin=margin)
    rec.save(tmp_path / f"r{suffix}")
    again = nf.Recording.load(tmp_path / f"r{suffix}")
    assert again == rec
    assert again != dataclasses.replace(full, threshold_margin=-1.0)


def test_a_recording_differs_where_one_number_does(full: nf.Recording) -> None:
    changed = {k: v.copy() for k, v in full.traces.items()}
    changed["A.v"].flat[7] = np.nextafter(changed["A.v"].flat[7], 1)
    assert dataclasses.replace(full, traces=changed) != full
    assert dataclasses.replace(full, seed=4) != full
    assert dataclasses.replace(full) == full


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_truncated_recordings_are_refused(full: nf.Recording, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"r{suffix}"
    full.save(path)
    content = path.read_bytes()
    for length in [0, 10, *range(100, len(content), len(content) // 40), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="damaged or no neuroflip file"):
            nf.Recording.load(path)


def test_corrupted_recordings_are_refused(full: nf.Recording, tmp_path: Path) -> None:
    path = tmp_path / "r.npz"
    full.save(path)
    content = path.read_bytes()
    refused = 0
    for position in range(0, len(content), len(content) // 400):
        damaged = bytearray(content)
        damaged[position] ^= 0x55
        path.write_bytes(damaged)
        try:
            assert nf.Recording.load(path) == full
        except ValueError:
            refused += 1
    assert refused > 100


def test_foreign_files_are_refused(full: nf.Recording, tmp_path: Path) -> None:
    full.circuit.save(tmp_path / "circuit.json")
    full.save(tmp_path / "rec.json")
    data = json.loads((tmp_path / "rec.json").read_text())
    for name, changed in {
        "newer": {**data, "recording": 2},
        "extra": {**data, "more": 1},
        "other": {"x": 1},
        **{f"no {key}": {k: v for k, v in data.items() if k != key} for key in data},
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(changed))
    (tmp_path / "rec.json").unlink()
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match="holds no recording of format 1"):
            nf.Recording.load(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("circuit", {}), ("circuit", None), ("circuit", {"format": 1}), ("drives", None),
        ("drives", [1]), ("drives", [{}]), ("drives", [{"events": 3, "currents": {}}]),
    ],
)  # fmt: skip
def test_damaged_recordings_are_refused(
    full: nf.Recording, key: str, value: Any, tmp_path: Path
) -> None:
    full.save(path := tmp_path / "rec.json")
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, key: value}))
    with pytest.raises(ValueError, match="rec.json"):
        nf.Recording.load(path)


# ------------------------------------------------------------------ inputs as drawn


def test_inputs_are_given_back_as_drawn(full: nf.Recording) -> None:
    for trial, given_back in enumerate(full.inputs):
        assert set(given_back) == {"noise", "i"}  # currents that share a target: under the first
        steps, sources = full.drives[trial].events["noise"]
        assert len(given_back["noise"]) == 3
        for i, times in enumerate(given_back["noise"]):
            assert times.tolist() == (steps[sources == i] * full.dt).tolist()
        expected = np.where(np.arange(300) < 100, 1e-10, 0.0)[:, None] + np.full((300, 2), 1e-11)
        assert np.allclose(given_back["i"], expected, rtol=1e-15)
