"""Sweeps: results, workers, failing cells, refusal of wrong calls."""

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import neuroflip as nf
from neuroflip.rules import PairSTDP, TripletSTDP
from neuroflip.sweep import read_sweep, sweep
from neuroflip.sweep.workers import here
from neuroflip.units import ms, mV, pA


def noisy_latch(inhibition: float, sd: float = 2 * mV) -> nf.Circuit:
    circuit = nf.circuits.sr_latch(inhibition=inhibition)
    noise = [nf.NoiseInput(f"noise of {p.name}", p.name, sd) for p in circuit.populations]
    return nf.Circuit(
        "noisy", circuit.populations, circuit.projections, [*circuit.inputs, *noise],
        circuit.readouts,
    )  # fmt: skip


RUN: dict[str, Any] = {"inputs": {"S": [20 * ms], "R": [60 * ms]}, "duration": 100 * ms}


def test_a_cell_is_the_simulation_by_hand() -> None:
    table = sweep(noisy_latch, {"inhibition": [200 * pA, 400 * pA]}, repeats=2, n_jobs=1, **RUN)
    assert list(table.columns) == ["cell", "inhibition", "repeat", "seed", "rate_Q", "rate_Qbar",
                                   "bit_Q", "threshold_margin", "error", "traceback"]  # fmt: skip
    assert table["inhibition"].tolist() == [200 * pA, 200 * pA, 400 * pA, 400 * pA]
    assert table["error"].isna().all() and table["seed"].nunique() == 4
    for row in table.itertuples():
        rec = nf.simulate(noisy_latch(row.inhibition), seed=row.seed, **RUN)
        assert row.rate_Q == rec.spikes["Q"].size / 0.1
        assert row.rate_Qbar == rec.spikes["Qbar"].size / 0.1
        assert row.bit_Q == rec.bit("Q")[1][-1]
        assert row.threshold_margin == rec.threshold_margin
    assert table["threshold_margin"].nunique() == 4


def test_trials_are_averaged() -> None:
    def build() -> nf.Circuit:
        return noisy_latch(300 * pA)

    run = {**RUN, "inputs": [{"S": [20 * ms]}, {"S": [20 * ms], "R": [60 * ms]}], "seed": 4}
    row = sweep(build, {}, n_jobs=1, **run).iloc[0]
    rec = nf.simulate(build(), **{**run, "seed": int(row.seed)})
    assert row.bit_Q == 0.5 == np.mean([rec.bit("Q", trial)[1][-1] for trial in (0, 1)])
    assert row.rate_Q == rec.spikes["Q"].size / 0.1 / 2


def test_results_do_not_depend_on_workers_or_order(tmp_path: Path) -> None:
    grid = {"inhibition": [200 * pA, 300 * pA, 400 * pA], "sd": [1 * mV, 3 * mV]}
    one = sweep(noisy_latch, grid, n_jobs=1, **RUN)
    two = sweep(_by_value(), grid, n_jobs=2, path=tmp_path / "a", **RUN)
    assert_frame_equal(one, two, check_exact=True)
    assert_frame_equal(one, pd.read_parquet(tmp_path / "a" / "table.parquet"), check_exact=True)
    settings = [{"inhibition": i, "sd": s} for s in grid["sd"] for i in grid["inhibition"]]
    other = sweep(noisy_latch, settings[::-1], n_jobs=1, **RUN)
    merged = other.drop(columns="cell").sort_values(["inhibition", "sd"], ignore_index=True)
    assert_frame_equal(one.drop(columns="cell"), merged, check_exact=True)


def _by_value() -> Any:
    """`noisy_latch` as a function that other processes need not import."""

    def build(inhibition: float, sd: float) -> nf.Circuit:
        circuit = nf.circuits.sr_latch(inhibition=inhibition)
        noise = [nf.NoiseInput(f"noise of {p.name}", p.name, sd) for p in circuit.populations]
        inputs = [*circuit.inputs, *noise]
        return nf.Circuit(
            "noisy", circuit.populations, circuit.projections, inputs, circuit.readouts
        )

    return build


def test_a_worker_has_one_thread() -> None:
    def threads(x: int) -> dict[str, Any]:
        import os

        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
        return {"pid": os.getpid(), "threads": ",".join(os.environ[name] for name in names)}

    table = sweep(threads, {"x": range(4)}, n_jobs=2)
    assert set(table["threads"]) == {"1,1,1"} and os.getpid() not in set(table["pid"])


def test_rules_are_parameters() -> None:
    def build(rule: Any) -> nf.Recording:
        circuit = nf.Circuit(
            "pair", [nf.Population("out", nf.DeltaLIF(v_threshold=15 * mV))],
            [nf.Projection("in", "out", weight=10 * mV, rule=rule)], [nf.SpikeInput("in")],
        )  # fmt: skip
        return nf.simulate(circuit, {"in": [1 * ms, 2 * ms, 3 * ms, 4 * ms]}, duration=20 * ms)

    def measure(recording: nf.Recording) -> dict[str, Any]:
        return {"weight": recording.weights["in->out"][0]}

    chosen = [PairSTDP(w_max=20 * mV), TripletSTDP(w_max=20 * mV)]
    table = sweep(build, {"rule": chosen}, measure=measure, n_jobs=1)
    assert table["weight"].tolist() == [build(rule).weights["in->out"][0] for rule in chosen]
    assert [text.partition("(")[0] for text in table["rule"]] == ["PairSTDP", "TripletSTDP"]


def test_a_seed_is_given_to_who_asks() -> None:
    def draw(a: float, seed: int) -> dict[str, Any]:
        return {"x": a + np.random.default_rng(seed).random(), "seen": seed}

    table = sweep(draw, {"a": [0.0, 1.0]}, repeats=3, n_jobs=1)
    assert table["seen"].tolist() == table["seed"].tolist()
    assert (np.floor(table["x"]) == table["a"]).all() and table["x"].nunique() == 6
    assert_frame_equal(table, sweep(draw, {"a": [0.0, 1.0]}, repeats=3, n_jobs=1))
    changed = sweep(draw, {"a": [0.0, 1.0]}, repeats=3, n_jobs=1, seed=1)
    assert not set(changed["seed"]) & set(table["seed"])


def failing(a: int) -> dict[str, Any]:
    if a % 3 == 1:
        raise ArithmeticError(f"no {a}")
    return {"double": 2 * a}


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_failing_cell_is_recorded_and_the_rest_goes_on(n_jobs: int) -> None:
    def function(a: int) -> dict[str, Any]:
        if a % 3 == 1:
            raise ArithmeticError(f"no {a}")
        return {"double": 2 * a}

    table = sweep(function, {"a": range(6)}, n_jobs=n_jobs)
    wrong = table["error"].notna()
    assert table["a"][wrong].tolist() == [1, 4]
    assert table["error"][wrong].tolist() == ["ArithmeticError: no 1", "ArithmeticError: no 4"]
    text = table["traceback"][1]
    assert 'raise ArithmeticError(f"no {a}")' in text and "in function" in text
    assert table["double"][~wrong].tolist() == [0, 4, 6, 10] and table["double"][wrong].isna().all()


def test_failed_cells_are_tried_again_on_request(tmp_path: Path) -> None:
    calls: list[int] = []
    broken = {1, 4}

    def function(a: int) -> dict[str, Any]:
        calls.append(a)
        if a in broken:
            raise ArithmeticError("not yet")
        return {"double": 2 * a}

    run: dict[str, Any] = {"path": tmp_path / "s", "n_jobs": 1}
    first = sweep(function, {"a": range(6)}, **run)
    broken.clear()
    calls.clear()
    assert_frame_equal(sweep(function, {"a": range(6)}, **run), first)
    assert calls == []
    again = sweep(function, {"a": range(6)}, retry=True, **run)
    assert calls == [1, 4] and again["error"].isna().all()
    assert again["double"].tolist() == [0, 2, 4, 6, 8, 10]
    assert_frame_equal(read_sweep(tmp_path / "s"), again)
    assert_frame_equal(pd.read_parquet(tmp_path / "s" / "table.parquet"), again)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({"x": [1, 2]}, "TypeError: result 'x' must be a number or a text; got [1, 2]."),
        ({"a": 1}, "ValueError: a result may not be called 'a', which is a column already."),
        ({"seed": 1}, "ValueError: a result may not be called 'seed', which is a column already."),
        ({1: 1}, "ValueError: a result may not be called 1, which is a column already."),
    ],
)
def test_results_that_fit_no_table_are_errors_of_the_cell(results: Any, message: str) -> None:
    table = sweep(lambda a: results, {"a": [1]}, n_jobs=1)
    assert table["error"].tolist() == [message]


def test_a_result_may_not_be_called_as_a_parameter_of_another_cell() -> None:
    table = sweep(lambda **given: {"b": 1}, [{"a": 1}, {"b": 2}], n_jobs=1)
    assert table["error"].str.startswith("ValueError: a result may not be called 'b'").all()


def test_columns_of_mixed_values(tmp_path: Path) -> None:
    given = [
        {"number": 1, "flag": True, "text": "x", "odd": 1},
        {"number": 0.5, "flag": False, "text": None, "odd": True},
        {"number": None, "flag": True, "text": 3, "odd": None},
        {"number": np.float32(0.25), "flag": np.bool_(False), "text": "y", "odd": math.inf},
    ]
    table = sweep(lambda i: given[i], {"i": range(4)}, n_jobs=1, path=tmp_path / "s")
    assert table["number"].tolist()[:2] == [1, 0.5] and table["number"].dtype == float
    assert table["flag"].tolist() == [True, False, True, False] and table["flag"].dtype == bool
    assert table["text"].tolist()[2:] == ["3", "y"] and pd.isna(table["text"][1])
    assert table["odd"].tolist()[:2] == [1.0, 1.0] and table["odd"][3] == math.inf
    assert_frame_equal(read_sweep(tmp_path / "s"), table)
    assert_frame_equal(pd.read_parquet(tmp_path / "s" / "table.parquet"), table)


def build(inhibition: float = 0.3e-9, *, size: int = 1) -> nf.Circuit:
    return nf.circuits.sr_latch(inhibition=inhibition)


GRID = {"inhibition": [0.3e-9]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"build": 3}, "build must be a function"),
        ({"design": {"inhibitoin": [1]}}, "did you mean 'inhibition'"),
        ({"design": [{"inhibition": 1}, {"x": 1}]}, "unexpected keyword argument 'x'"),
        ({"measure": 3}, "measure must be a function"),
        ({"repeats": 0}, "repeats must be a whole number, at least 1"),
        ({"seed": 1.5}, "seed must be a whole number, at least 0"),
        ({"n_jobs": 0}, "n_jobs must be a whole number, at least 1, or -1"),
        ({"n_jobs": -2}, "n_jobs must be a whole number"),
        ({"client": "tcp://x:1"}, "client must be a dask.distributed.Client"),
        ({"duratoin": 1.0}, "did you mean 'duration'"),
        ({"engine": "nmuba"}, "did you mean 'numba'"),
        ({"threds": 1}, "did you mean 'threads'"),
        ({"duration": None}, "needs duration="),
        ({"build": lambda inhibition: 3}, "must return a Circuit, a Recording, or a dictionary"),
        ({"build": lambda inhibition: {}}, "is for functions that return a Circuit"),
    ],
)
def test_wrong_calls_are_refused(arguments: dict[str, Any], message: str) -> None:
    given = {"build": build, "design": GRID, "n_jobs": 1, "duration": 0.1} | arguments
    if arguments.get("duration", 1) is None or message.startswith("must return"):
        del given["duration"]
    with pytest.raises((TypeError, ValueError), match=message):
        sweep(**given)


def test_a_cell_that_kills_its_process_fails_alone(tmp_path: Path) -> None:
    marker, third = tmp_path / "once", tmp_path / "s" / "cells" / "3.json"

    def deadly(a: int) -> dict[str, Any]:
        import os
        import signal
        import time

        while 3 < a < 9 and not third.exists():  # so that 9 is not handed out beside 3
            time.sleep(0.01)
        if a == 3 or (a == 9 and not marker.exists()):
            if a == 9:
                marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"x": a}

    table = sweep(deadly, {"a": range(12)}, n_jobs=2, path=tmp_path / "s")
    assert marker.exists()
    assert table["error"].notna().tolist() == [a == 3 for a in range(12)]
    assert table["x"].dropna().tolist() == [a for a in range(12) if a != 3]
    assert table["error"][3] == (
        "TerminatedWorkerError: the process that computed this cell died: killed, out of memory, "
        "or crashed"
    )
    assert_frame_equal(read_sweep(tmp_path / "s"), table)


def test_progress_counts_what_was_there(tmp_path: Path, capsys: Any) -> None:
    sweep(failing, {"a": range(6)}, n_jobs=1, path=tmp_path / "s", progress=True)
    assert "6/6" in (shown := capsys.readouterr().err) and "cell/s" in shown and "failed=2" in shown
    sweep(failing, {"a": range(6)}, n_jobs=1, path=tmp_path / "s", progress=True)
    assert "6/6" in capsys.readouterr().err


def test_importing_it_imports_no_library(tmp_path: Path) -> None:
    code = (
        "import sys, neuroflip.sweep\n"
        "heavy = ('pandas', 'pyarrow', 'joblib', 'dask', 'distributed', 'torch', 'numba',"
        " 'brian2', 'matplotlib')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("library", "arguments", "extra"),
    [
        ("pandas", {}, "sweep"),
        ("joblib", {"n_jobs": 2}, "sweep"),
        ("pyarrow", {"path": "s"}, "sweep"),
        ("distributed", {"client": 1}, "cluster"),
    ],
)
def test_a_missing_library_is_named(
    library: str, arguments: Any, extra: str, monkeypatch: Any, tmp_path: Path
) -> None:
    class Nothing:
        @staticmethod
        def find_spec(name: str, *_: Any) -> None:
            if name.partition(".")[0] == library:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.chdir(tmp_path)
    for name in [n for n in sys.modules if n.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Nothing, *sys.meta_path])
    with pytest.raises(ImportError) as caught:
        sweep(failing, {"a": [0]}, **arguments)
    assert str(caught.value) == (
        f"this needs the package {library!r}; pip install 'neuroflip[{extra}]'"
    )


def test_cells_are_computed_lazily() -> None:
    """A cell is written before the next is begun, in this process."""
    from neuroflip.sweep.design import cells_of
    from neuroflip.sweep.task import Task, measure

    calls: list[int] = []
    rows = here(Task(lambda a: calls.append(a) or {}, measure), cells_of({"a": [1, 2]}, 1, 0))
    next(rows)
    assert calls == [1]
