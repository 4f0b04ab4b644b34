"""Cells that are simulated side by side: each is what `nf.simulate` gives for it alone."""

import dataclasses
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from pandas.testing import assert_frame_equal

import neuroflip as nf
from neuroflip import rules
from neuroflip.sweep import read_sweep, sweep, together, workers
from neuroflip.sweep.design import cells_of
from neuroflip.sweep.task import Task
from neuroflip.units import ms, mV, nA, nS, pA

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not find tests


def latch(inhibition: float = 300 * pA, drive: float = 400 * pA, sd: float = 1 * mV) -> nf.Circuit:
    circuit = nf.circuits.sr_latch(inhibition=inhibition, drive=drive)
    noise = [nf.NoiseInput(f"noise/{p.name}", p.name, sd) for p in circuit.populations if sd]
    return dataclasses.replace(circuit, inputs=[*circuit.inputs, *noise])


def values(count: int) -> list[float]:
    return [250 * pA + k * 2 * pA for k in range(count)]


LATCH: dict[str, Any] = {"inputs": {"S": [20 * ms], "R": [60 * ms]}, "duration": 100 * ms}


def learning(rule: Any, weight: float, delay: float, late: float, seed: int) -> nf.Circuit:
    """Poisson and given spikes onto two populations of one model and one of another."""
    rng = np.random.default_rng(seed)
    n = 3 + seed % 2
    delays = delay * rng.integers(0, 4, (8, n))
    projection = nf.Projection
    return nf.Circuit(
        "learning",
        [
            nf.Population("A", nf.LIF(drive=130 * pA), n),
            nf.Population("B", nf.ConductanceLIF(), 2),
            nf.Population("C", nf.LIF(tau_m=(10 + seed % 7) * ms), 3, {"v": np.arange(3) * mV}),
        ],
        [
            projection("in", "A", weight * rng.random((8, n)), "excitatory", rule=rule,
                       axonal_delay=delays, dendritic_delay=late),
            projection("A", "C", 0.4 * nA, "excitatory", nf.Random(0.6, seed % 100)),
            projection("C", "A", 0.2 * nA, "inhibitory", axonal_delay=2 * delay),
            projection("given", "C", weight, "excitatory", rule=rule),
            projection("A", "B", 50 * nS, "ampa", axonal_delay=delay),
        ],
        [
            nf.PoissonInput("in", 150.0, 8), nf.SpikeInput("given", 2), nf.CurrentInput("I", "C"),
            nf.NoiseInput("noise", "C", 1 * mV),
            *(nf.SignalInput(s) for s in rule.model().signals),
        ],
        [nf.Readout("bit", "A", "C")],
    )  # fmt: skip


W_MAX = 1 * nA
RULES = {
    "pair": rules.PairSTDP(w_max=W_MAX, a_plus=0.01 * nA, a_minus=0.01 * nA),
    "nearest": rules.PairSTDP(w_max=W_MAX, a_plus=0.02 * nA, a_minus=0.01 * nA, pairing="nearest"),
    "triplet": rules.TripletSTDP(w_max=W_MAX, a3_plus=0.01 * nA, a2_minus=0.01 * nA),
    "reward": rules.RewardSTDP(w_max=W_MAX, a_plus=0.1 * nA, a_minus=0.1 * nA),
    "calcium": rules.GraupnerBrunel(w_max=W_MAX, tau=1.0),
    "short": rules.ShortTerm(),
    "sum": rules.Sum(rules.PairSTDP(w_max=W_MAX, a_plus=0.01 * nA), rules.ShortTerm()),
    "scaling": rules.HomeostaticScaling(rate=1.0),
}


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many cells were in each run that was side by side."""
    found: list[int] = []
    engine = together._engine("numba")

    def run(job: Any) -> Any:
        found.append(1 + max(job.cells.values()))
        return engine(job)

    monkeypatch.setattr(together, "_engine", lambda name: run)
    monkeypatch.setattr(together, "_PATIENCE", 1e9)  # no matter how slow the machine
    return found


def _same(a: Any, b: Any, where: str) -> None:
    """Equal bit for bit, and laid out alike in memory, on which sums may depend."""
    assert type(a) is type(b), where
    if isinstance(a, np.ndarray):
        assert (a.dtype, a.shape, a.strides) == (b.dtype, b.shape, b.strides), where
        assert a.tobytes() == b.tobytes(), where
    elif isinstance(a, Mapping):
        assert list(a) == list(b), where
        for name in a:
            _same(a[name], b[name], f"{where}[{name!r}]")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            _same(x, y, f"{where}[{i}]")
    elif dataclasses.is_dataclass(a) and not isinstance(a, nf.Circuit):
        for field in dataclasses.fields(a):
            _same(getattr(a, field.name), getattr(b, field.name), f"{where}.{field.name}")
    else:
        assert a == b, where


def _check(build: Any, design: Any, repeats: int = 1, **settings: Any) -> list[nf.Recording]:
    """Sweep, hold every recording against a run of its own, and return them."""
    seen: list[nf.Recording] = []

    def measure(recording: nf.Recording) -> dict[str, Any]:
        seen.append(recording)
        return {"spikes": sum(s.size for s in recording.spikes.values())}

    table = sweep(build, design, measure=measure, repeats=repeats, n_jobs=1, **settings)
    assert table["error"].isna().all()
    recordings = {recording.seed: recording for recording in seen}
    cells = cells_of(design, repeats, 0)
    assert len(recordings) == len(seen) == len(cells)
    extra = [{"seed": cell.seed} if "seed" in build.__annotations__ else {} for cell in cells]
    for cell, more in zip(cells, extra, strict=True):
        alone = nf.simulate(build(**cell.parameters, **more), seed=cell.seed, **settings)
        _same(recordings[cell.seed], alone, f"cell {cell.index}")
    assert table["spikes"].nunique() > 1 or len(table) < 9
    return seen


def test_latches_of_other_drive_weights_and_noise(runs: list[int]) -> None:
    grid = {
        "inhibition": [200 * pA, 400 * pA],
        "drive": [350 * pA, 500 * pA],
        "sd": [1 * mV, 3 * mV],
    }
    seen = _check(latch, grid, repeats=2, record=["v", "Q.i_inh"], record_every=1 * ms, **LATCH)
    assert runs == [16]
    assert len({recording.threshold_margin for recording in seen}) == 16


@pytest.mark.parametrize("trials", [None, 3])
@pytest.mark.parametrize("name", [
    name if name in ("pair", "reward", "short") else pytest.param(name, marks=pytest.mark.slow)
    for name in RULES
])  # fmt: skip
def test_learning_networks(name: str, trials: int | None, runs: list[int]) -> None:
    rule = RULES[name]
    others = [
        dataclasses.replace(rule, **{field: 1.5 * getattr(rule, field)})
        for field in ("tau_plus", "tau", "tau_rec")
        if hasattr(rule, field)
    ]
    steps = 1 + np.arange(2000) % 7
    signal_of = {"reward": [(20 * ms, 50 * ms, 1.0)]} if name == "reward" else {}
    seen = _check(
        learning,
        {"rule": [rule, *others], "weight": [0.5 * nA, 0.9 * nA], "delay": [0.0, 0.3 * ms],
         "late": [0.2 * ms, 1 * ms]},
        inputs={"given": [[5 * ms, 30 * ms], [20 * ms]], "I": steps * 20 * pA, **signal_of},
        duration=200 * ms, trials=trials,
        record=["v", "i_exc", "in->A", "given->C"], record_every=0.7 * ms,
    )  # fmt: skip
    assert runs == [len(seen)] and len(seen) >= 8
    changed = [np.ptp(recording.weight_history["in->A"], axis=-2).max() for recording in seen]
    assert max(changed) > 0 or name == "short"


def test_shapes_are_sorted(runs: list[int]) -> None:
    """Other sizes share a run; other neuron models, rules and kinds of delay do not."""

    def build(kind: str, weight: float) -> nf.Circuit:
        delta = kind == "delta"
        size = 2 if kind == "large" else 1
        neuron = nf.DeltaLIF(drive=120 * pA) if delta else nf.LIF(drive=120 * pA)
        rule = RULES["pair"] if kind in ("plastic", "late") else rules.none
        late = 1 * ms if kind in ("late", "static, late") else 0.0
        projection = nf.Projection(
            "in", "A", weight * (10 * mV if delta else 1 * nA),
            None if delta else "excitatory", rule=rule, dendritic_delay=late,
        )  # fmt: skip
        noise = [nf.NoiseInput("noise", "A", 1 * mV)] if kind == "noisy" else []
        return nf.Circuit(
            kind, [nf.Population("A", neuron, size)], [projection],
            [nf.PoissonInput("in", 300.0), *noise],
        )  # fmt: skip

    kinds = ["plain", "delta", "large", "plastic", "late", "static, late", "noisy"]
    _check(build, {"weight": [0.3, 0.9], "kind": kinds}, duration=100 * ms, record="v")
    assert sorted(runs) == [2, 2, 2, 2, 6]


def test_groups_are_bounded(runs: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    _check(latch, {"inhibition": values(70)}, **LATCH)
    assert runs == [64, 6]
    runs.clear()
    _check(latch, {"inhibition": values(7)}, trials=400, **LATCH)
    assert runs == [5, 2]
    runs.clear()
    many = {"record": "v", "record_every": 0.1 * ms}
    monkeypatch.setattr(together, "_LIMITS", together._LIMITS * [1, 1, 1, 1, 1, 6000 / 2**22])
    _check(latch, {"inhibition": values(7)}, **many, **LATCH)
    assert runs == [3, 3]
    runs.clear()
    monkeypatch.setattr(together, "_PATIENCE", 0.0)
    _check(latch, {"inhibition": values(3)}, **LATCH)
    assert runs == []


@pytest.mark.parametrize("settings", [{"engine": "torch"}, {"threads": 1}, {"duration": 10.0}])
def test_other_settings_run_alone(settings: dict[str, Any], runs: list[int]) -> None:
    if "duration" in settings:
        settings = {"duration": 0.01, "trials": 3000}
    sweep(latch, {"inhibition": values(2)}, n_jobs=1, **{"duration": 0.01, **settings})
    assert runs == []


def unruly(a: int) -> nf.Circuit:
    if a == 1:
        raise ArithmeticError("no one")
    weight = 1.7e308 if a == 3 else 1 * nA
    inputs = [nf.PoissonInput("in", {3: 3000.0, 5: 2e4}.get(a, 300.0))]
    return nf.Circuit(
        "unruly", [nf.Population("A", nf.LIF(drive=a * 40 * pA))],
        [nf.Projection("in", "A", weight, "excitatory")], inputs,
    )  # fmt: skip


def refusing(recording: nf.Recording) -> dict[str, Any]:
    if recording.circuit.populations[0].neuron.drive == 4 * 40 * pA:
        raise LookupError("not this")
    return {"spikes": recording.spikes["A"].size, "margin": recording.threshold_margin}


def test_what_fails_fails_alone_with_the_same_words(
    runs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    run: dict[str, Any] = {"measure": refusing, "duration": 100 * ms}
    table = sweep(unruly, {"a": range(8)}, n_jobs=1, **run)
    kinds = [
        None if e is None else e.partition(":")[0] for e in table["error"].replace({np.nan: None})
    ]
    assert kinds == [None, "ArithmeticError", None, "FloatingPointError", "LookupError",
                     "ValueError", None, None]  # fmt: skip
    assert "Population 'A': " in table["error"][3]
    assert 'raise ArithmeticError("no one")' in table["traceback"][1]
    assert runs == [4, 2]  # and the first four then each by itself
    monkeypatch.setattr(together, "possible", lambda task: False)
    assert_frame_equal(sweep(unruly, {"a": range(8)}, n_jobs=1, **run), table, check_exact=True)
    assert runs == [4, 2]


def test_processes_change_nothing(tmp_path: Path) -> None:
    grid = {"inhibition": values(30), "drive": [400 * pA, 500 * pA]}
    one = sweep(latch, grid, repeats=2, n_jobs=1, path=tmp_path / "one", **LATCH)
    two = sweep(latch, grid, repeats=2, n_jobs=2, path=tmp_path / "two", **LATCH)
    assert_frame_equal(one, two, check_exact=True)
    assert_frame_equal(read_sweep(tmp_path / "two"), two, check_exact=True)
    for k in (3, 50, 51, 119):
        (tmp_path / "two" / "cells" / f"{k}.json").unlink()
    (tmp_path / "two" / "table.parquet").unlink()
    assert_frame_equal(sweep(latch, grid, repeats=2, n_jobs=2, path=tmp_path / "two", **LATCH), one)


@pytest.mark.parametrize("once", [True, False])
def test_a_cell_that_kills_its_process_takes_no_other_with_it(once: bool, tmp_path: Path) -> None:
    marker = tmp_path / "killed"

    def deadly(inhibition: float) -> nf.Circuit:
        if round((inhibition - 250 * pA) / (2 * pA)) == 13 and not (once and marker.exists()):
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return nf.circuits.sr_latch(inhibition=inhibition)

    grid = {"inhibition": values(40)}
    calm = sweep(nf.circuits.sr_latch, grid, n_jobs=1, **LATCH)
    table = sweep(deadly, grid, n_jobs=2, path=tmp_path / "s", **LATCH)
    assert marker.exists()
    assert table["error"].notna().tolist() == [k == 13 and not once for k in range(40)]
    kept = [k for k in range(40) if k != 13]
    columns = ["rate_Q", "bit_Q", "threshold_margin", "seed"]
    same = calm.iloc[kept][columns]
    assert_frame_equal(table.iloc[kept][columns], same, check_exact=True, check_dtype=False)


def test_what_is_wrong_with_the_call_ends_the_sweep_after_what_was_before(tmp_path: Path) -> None:
    def build(a: int) -> Any:
        return 3 if a == 4 else latch()

    for n_jobs in (1, 2):
        path = tmp_path / str(n_jobs)
        with pytest.raises(TypeError, match="is for functions that return a Circuit"):
            sweep(build, {"a": range(8)}, n_jobs=n_jobs, path=path, **LATCH)
        assert {0, 1, 2, 3} <= set(read_sweep(path)["cell"]) or n_jobs == 2


def test_a_slow_function_is_written_cell_by_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "_PATIENCE", 0.0)
    calls: list[int] = []

    def build(a: int) -> nf.Circuit:
        calls.append(a)
        return latch(drive=(300 + a) * pA)

    task = Task(build, lambda recording: {}, {"duration": 0.01})
    cells = cells_of({"a": range(5)}, 1, 0)
    rows = workers.here(task, cells)
    next(rows)
    assert calls == [0]
    assert [row["cell"] for row in together.some(task, cells[2:])] == [2]
    assert calls == [0, 2]
